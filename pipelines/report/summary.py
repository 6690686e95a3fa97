"""Keep a summary of each build's report in Redis, where the reader's console finds it.

{release, run, as_of, generated_at, dry_run, kind, verdict, reasons, answer, champion,
against: {surface: {value, low, high}}, quality: {surface: {served, popular}}, steps: [{step, index, wall_s, at}]}

served, popular: {mean, low, high} of NDCG@10. against: the difference from the live release on the same events.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from models.errors import ServiceError
from models.lists.redis_format import Keys
from models.schema import Surface
from models.settings.settings import Settings
from pipelines.redis_client import connect, redis_errors
from pipelines.report.figure_names import POPULAR, SERVED

log = logging.getLogger(__name__)
#: Builds that the console shows.
KEPT = 20
_REASONS = 5


def summary(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the summary of a report.json."""
    gate, surfaces = told.get("gate") or {}, (told.get("evaluation") or {}).get("surfaces") or {}
    return {
        "release": told["release"],
        "run": told["run"],
        "as_of": told["as_of"],
        "generated_at": told["generated_at"],
        "dry_run": bool(told.get("dry_run")),
        "kind": gate.get("kind"),
        "verdict": gate.get("verdict"),
        "reasons": list(gate.get("reasons") or ())[:_REASONS],
        "answer": gate.get("answer"),
        "champion": gate.get("champion"),
        "against": _against(gate),
        "quality": {s.value: _quality(surfaces[s.value]) for s in Surface if s.value in surfaces},
        "steps": [{k: s[k] for k in ("step", "index", "wall_s", "at")} for s in told.get("steps") or ()],
    }


def keep_summary(settings: Settings, told: Mapping[str, Any]) -> None:
    """Store the summary of one report. Without Redis it is only logged: `keep_summaries` stores it later."""
    try:
        with redis_errors("storing the summary of a report"):
            connect(settings).hset(Keys(settings.namespace).builds, told["release"], json.dumps(summary(told)))
    except ServiceError as error:
        log.warning("the console does not show this build yet: %s", error)


def keep_summaries(settings: Settings, found: Iterable[Mapping[str, Any]]) -> int:
    """Replace all summaries by those of the newest KEPT reports; return their number. Raises ServiceError.

    found: the contents of report.json, newest cutoff first.
    """
    newest = [told for told, _ in zip(found, range(KEPT), strict=False)]
    key = Keys(settings.namespace).builds
    with redis_errors("storing the summaries of reports"):
        pipe = connect(settings).pipeline()
        pipe.delete(key)
        for told in newest:
            pipe.hset(key, told["release"], json.dumps(summary(told)))
        pipe.execute()
    return len(newest)


def _against(gate: Mapping[str, Any]) -> dict[str, Any]:
    """Return by surface the difference of NDCG@10 from the live release; empty without one."""
    return {
        c["surface"]: {k: c[k] for k in ("value", "low", "high")}
        for c in gate.get("checks") or ()
        if c["name"] == "accuracy" and c["segment"] == "overall" and c["value"] is not None
    }


def _quality(surface: Mapping[str, Any]) -> dict[str, Any]:
    """Return NDCG@10 of what is served and of popular lists; None without evaluation owners."""
    models = surface.get("models") or {}
    return {name: ((models.get(name) or {}).get("overall") or {}).get("ndcg") for name in (SERVED, POPULAR)}
