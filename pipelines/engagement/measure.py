"""Measure engagement with answers and store it for the report and the reader's metrics."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from models.errors import MatchbookError
from models.lists.redis_format import Keys
from models.lists.release import Release
from models.settings.settings import Settings
from pipelines.engagement.experiments import (
    BY,
    by,
    daily_interactions,
    editions_of,
    expected,
    experiments,
    figures,
    read_ledger,
    unshown_acts,
)
from pipelines.redis_client import connect, live_release, redis_errors
from pipelines.run.run import parse_instant
from pipelines.store.artifacts import Artifacts

log = logging.getLogger(__name__)

#: Path below the artefact root.
EARNINGS = "earnings.json"


def measure(settings: Settings, as_of: datetime) -> dict[str, Any]:
    """Return the figures of the [engagement] window_days before an instant; deterministic, stores nothing.

    Returns {made_at (the instant), since, window_days, attribution_days, all, unshown_acts, by: {method, route,
    surface, release, arm, day}, experiments, interactions, expected}. Raises ServiceError, ContractError.
    """
    since = as_of - timedelta(days=settings.engagement.window_days)
    ledger = read_ledger(settings, since, as_of)
    groups = {kind: by(ledger, kind) for kind in BY}
    known = editions_of(_stored(settings))
    compared = experiments(ledger, known)
    return {
        "made_at": as_of.isoformat(),
        "since": since.isoformat(),
        "window_days": settings.engagement.window_days,
        "attribution_days": settings.engagement.attribution_days,
        "all": figures(ledger, float(ledger["answers"].sum())),
        "unshown_acts": unshown_acts(settings, since, as_of),
        "by": groups,
        "experiments": compared,
        "interactions": daily_interactions(settings, since, as_of),
        "expected": expected(ledger, groups["method"], _live(settings), compared),
    }


def keep_measured(settings: Settings, as_of: datetime) -> dict[str, Any]:
    """Run `measure` and store the result in the artefact store and Redis, unless a newer one is there.

    Returns {kept, made_at, impressions, answers, uneven: experiments whose arm sizes differ from their weights}.
    """
    return keep(settings, measure(settings, as_of))


def keep(settings: Settings, found: dict[str, Any]) -> dict[str, Any]:
    path = settings.artifacts / EARNINGS
    before = json.loads(path.read_text())["made_at"] if path.is_file() else None
    kept = before is None or parse_instant(before) <= parse_instant(found["made_at"])
    if kept:
        Artifacts(settings).write_json(path, found)
        with redis_errors("storing engagement figures"):
            connect(settings).set(Keys(settings.namespace).earnings, json.dumps(found))
    uneven = [e["name"] for e in found["experiments"] if e["sample_ratio"]["even"] is False]
    if uneven:
        log.warning("the arm sizes of %s differ from their weights", ", ".join(uneven))
    done = {
        "kept": kept,
        "made_at": found["made_at"],
        "answers": found["all"]["answers"],
        "impressions": found["all"]["impressions"],
        "uneven": uneven,
    }
    log.info("engagement measured %s", done)
    return done


def _stored(settings: Settings) -> Iterator[Release]:
    """Yield every readable stored release; log a warning for each other one."""
    artifacts = Artifacts(settings)
    for path in artifacts.stored("releases"):
        try:
            yield artifacts.release(path.name)
        except MatchbookError as error:
            log.warning("skipped the experiments of release %s, which cannot be read: %s", path.name, error)


def _live(settings: Settings) -> Release | None:
    with redis_errors("looking for the live release"):
        return live_release(connect(settings), Keys(settings.namespace))
