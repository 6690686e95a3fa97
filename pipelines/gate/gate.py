"""Compare a stored release with the live one and the floor. Write runs/<run>/gate.json."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import BundleError, MatchbookError, ReleaseError, ServiceError, TooSparse
from models.lists.release import Release, last_published
from models.schema import Surface
from models.settings.settings import Settings
from pipelines.export.snapshot import Snapshot
from pipelines.gate.checks import (
    ASK,
    GO,
    STOP,
    Accuracy,
    Check,
    accuracy,
    accuracy_checks,
    baseline_checks,
    list_checks,
    overall_verdict,
    with_live,
)
from pipelines.gate.compare import differences
from pipelines.gate.decision import GATE
from pipelines.redis_client import current_release
from pipelines.refs import BuildRef, GateRef, ReleaseRef
from pipelines.run.run import Run, log_decision, parse_instant
from pipelines.store.artifacts import Artifacts
from pipelines.store.mirror import pull
from pipelines.train.holdout import Holdout, open_holdout
from pipelines.train_ranker.validation_models import ValidationModels, open_validation_models

_LOG = logging.getLogger(__name__)
_DAY_S, _DAY_US = 86_400, 86_400_000_000
#: Number of reasons that tasks pass on. gate.json has all.
_TOLD = 12
#: Errors of old models in changed code. They must not block every later build.
_UNFIT = (MatchbookError, KeyError, ValueError, IndexError, TypeError, AttributeError)


def compare_with_live(run: Run, build: BuildRef, release: ReleaseRef, kind: str = "manual") -> GateRef:
    """The step: write gate.json (docs/guides/gate.md) and an entry in the decision log.

    kind: what started the run. Raises ReleaseNotFound.
    """
    new = run.artifacts.release(release.release)
    live, notes = _champion(run.settings)
    older = live is not None and parse_instant(live.built) > parse_instant(new.built)
    again = live is not None and live.id == new.id
    found, cuts = _judged(run, build.snapshot, new, None if older or again else live, notes)
    checks = [*baseline_checks(found, run.settings), *accuracy_checks(found, run.settings)]
    lists = {} if live is None or again else differences(run.artifacts, live, new)
    if live is None:
        checks = [_told_only(c) if c.verdict == ASK else c for c in checks]
    elif older or again:
        checks = [_told_only(c) for c in checks]
        notes.append(
            "it is live already: this build made the same lists"
            if again
            else f"{live.id} with a newer cutoff is live: this release is stored for comparison"
        )
    else:
        checks += list_checks(lists, run.settings, _days(live, new))
    verdict, champion = overall_verdict(checks), None if live is None else live.id
    reasons = _reasons(verdict, checks, live)
    gate = {
        "verdict": verdict,
        "release": new.id,
        "champion": champion,
        "as_of": new.as_of,
        "kind": kind,
        "reasons": reasons,
        "notes": notes,
        "older": older,
        **cuts,
        "checks": [asdict(c) for c in checks],
        "champion_figures": _figures(found),
        "lists": lists,
        "answer": None,
    }
    run.artifacts.write_json(run.directory / GATE, gate)
    log_decision(
        run.settings,
        "gate",
        verdict,
        [*reasons, *notes],
        run=run.id,
        kind=kind,
        release=new.id,
        champion=champion,
    )
    _LOG.info("gate: %s; %s", verdict, "; ".join([*reasons, *notes]))
    return GateRef(run.id, new.id, champion, verdict, reasons[:_TOLD])


def _champion(settings: Settings) -> tuple[Release | None, list[str]]:
    """Return the live release, or None with a note if none can be read."""
    name, notes = current_release(settings), list[str]()
    if name is None:
        name = last_published(settings.artifacts)
        if name is None:
            return None, ["no release is live: only the floor counts"]
        notes = [f"nothing is live in Redis, which has lost its data: compared with {name}, the last published release"]
    pull(settings)  # another machine may have refreshed it
    try:
        return Artifacts(settings).release(name), notes
    except ReleaseError as error:
        raise ServiceError(
            f"the live release {name} cannot be read, so the new one cannot be compared with it "
            f"({error}); clear `weigh` once it is back, or promote a stored release"
        ) from error


def _judged(
    run: Run, snapshot: str, new: Release, live: Release | None, notes: list[str]
) -> tuple[dict[Surface, Accuracy], dict[str, Any]]:
    """Return each evaluation owner's NDCG, and the cuts. Without a hold-out both are empty and a note is added."""
    if not new.judged:
        notes.append("nothing was held out: accuracy is not evaluated")
        return {}, {}
    try:
        holdout = open_holdout(run, Snapshot.open(run.settings.artifacts / "snapshots" / snapshot))
    except TooSparse as error:
        notes.append(f"accuracy is not evaluated: {error}")
        return {}, {}
    mine = open_validation_models(run, new)
    found, cuts = accuracy(holdout, mine), {"cut": holdout.cut}
    theirs = None if live is None else _theirs(run, live, holdout, notes)
    if theirs is None:
        return found, cuts
    try:
        found = with_live(found, holdout, mine, theirs)
    except _UNFIT as error:
        notes.append(f"the models of the live release do not fit this version, so it is not evaluated: {error!r}")
        return found, cuts
    return found, {**cuts, "older_days": round((holdout.cut_us - theirs.cut_us) / _DAY_US, 3)}


def _theirs(run: Run, live: Release, holdout: Holdout, notes: list[str]) -> ValidationModels | None:
    """Return the live release's validation models if they know no event of the evaluation."""
    if not live.judged:
        notes.append(f"the validation models of {live.id} were not kept: accuracy is compared with the floor only")
        return None
    try:
        found = open_validation_models(run, live)
    except (BundleError, KeyError) as error:
        notes.append(f"the validation models of {live.id} cannot be opened, so it is not evaluated: {error}")
        return None
    if found.cut_us > holdout.cut_us:
        notes.append(
            f"the validation models of {live.id} know events after the cut {holdout.cut}, so it is not evaluated "
            "(was [holdout] share changed?)"
        )
        return None
    return found


def _told_only(check: Check) -> Check:
    return replace(check, verdict=GO)


def _days(live: Release, new: Release) -> float:
    return abs((parse_instant(new.built) - parse_instant(live.built)).total_seconds()) / _DAY_S


def _reasons(verdict: str, checks: list[Check], live: Release | None) -> list[str]:
    against = [c.says for v in (STOP, ASK) for c in checks if c.verdict == v]
    held = "the floor" if live is None else f"the floor and {live.id}"
    judged = sum(c.value is not None for c in checks)
    return against if verdict != GO else [f"no check failed: {judged} checks against {held}"]


def _figures(found: Mapping[Surface, Accuracy]) -> dict[str, Any]:

    def mean(values: NDArray[np.float64] | None) -> float | None:
        return None if values is None else round(float(values.mean()), 6)

    return {
        s.value: {"owners": len(a.new), "ndcg": mean(a.live), "new": mean(a.new), "popular": mean(a.popular)}
        for s, a in found.items()
    }
