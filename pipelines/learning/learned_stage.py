"""The learned ranker of a build: taught on earlier cuts, judged at the inner cut, then taught again by all of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.errors import TrainingError
from models.learned_ranker.fit import Taught, teach
from models.learned_ranker.scorer import LEARNED
from models.nouns.bundle import Bundle
from models.ranker import RankerConfig
from models.schema import Surface
from models.settings import Settings
from pipelines.data.snapshot import Snapshot
from pipelines.judging.report.figure_names import TAUGHT
from pipelines.learning.holdout import Holdout
from pipelines.learning.ranker_jury import CrossFitted, ballot_of, learned_choice, told
from pipelines.learning.teaching import Lessons, lessons_of, rows_until
from pipelines.runs.run import Run

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class LearnedStage:
    """served: taught by everything. judged: the same, taught only by what had happened before the inner cut; None where
    there was too little before it. reason: why there is nothing to serve, empty where there is."""

    served: Bundle | None
    judged: Bundle | None
    reason: str = ""


def train_learned(
    run: Run, snapshot: Snapshot, holdout: Holdout, about: Mapping[str, Any], network: CrossFitted | None = None
) -> LearnedStage:
    """Teach every surface that has enough to be taught by; the config says where it serves, and why or why not.

    network: what else may serve a surface in the place of the rules."""
    lessons = lessons_of(run, snapshot)
    before = _taught(lessons, holdout.cut_us, run.settings)
    judged = _bundle(before, {s: {} for s in before}, about)
    now = _taught(lessons, snapshot.as_of_us, run.settings)
    verdicts = {s: _verdict(holdout, s, judged if isinstance(before.get(s), Taught) else None, network) for s in now}
    served = _bundle(now, verdicts, about)
    reasons = "; ".join(f"{s}: {t}" for s, t in now.items() if isinstance(t, str)) or "no surface has earlier cuts"
    return LearnedStage(served, judged, "" if served is not None else reasons)


def teaching(settings: Settings) -> tuple[RankerConfig, int, int]:
    """What `teach` is told besides the rows: its settings, the seed and threads."""
    return settings.table("ranker"), settings.train.seed, settings.train_threads


def _taught(
    lessons: Mapping[Surface, Sequence[Lessons]], until_us: int, settings: Settings
) -> dict[Surface, Taught | str]:
    """By surface what was taught by the cuts and outcomes before an instant, or why nothing was."""
    found: dict[Surface, Taught | str] = {}
    for surface, those in lessons.items():
        try:
            found[surface] = teach(rows_until(those, until_us), *teaching(settings))
        except TrainingError as error:
            found[surface] = str(error)
            _LOG.warning("the learned ranker is left out on %s: %s", surface, error)
    return found


def _bundle(
    taught: Mapping[Surface, Taught | str], verdicts: Mapping[Surface, Mapping[str, Any]], about: Mapping[str, Any]
) -> Bundle | None:
    arrays: dict[str, np.ndarray] = {}
    surfaces = {}
    for surface, found in taught.items():
        if isinstance(found, Taught):
            arrays |= {f"{surface.folder}-{name}": array for name, array in found.arrays.items()}
            surfaces[surface.value] = {**found.about, "serves": True, **verdicts[surface]}
    if not surfaces:
        return None
    left_out = {s.value: t for s, t in taught.items() if isinstance(t, str)}
    return Bundle(LEARNED, {**about, "surfaces": surfaces, "left_out": left_out}, arrays)


def _verdict(holdout: Holdout, surface: Surface, judged: Bundle | None, network: CrossFitted | None) -> dict[str, Any]:
    """Whether it serves a surface, why, and the NDCG@10 of it and of all it was held against."""
    if judged is None:
        return {"serves": False, "reason": "too little before the inner cut to judge it by", "judged": {}}
    ballot = ballot_of(holdout, surface, network, judged)
    choice = learned_choice(ballot)
    serves, said = told(ballot, choice, TAUGHT)
    reason = f"taught before the inner cut and judged there: {said}"
    _LOG.info("learned ranker on %s: %s", surface, reason)
    figures = {name: round(float(values.mean()), 6) for name, values in ballot.items()} if choice.owners else {}
    return {
        "serves": serves,
        "reason": reason,
        "judged": {"owners": choice.owners, **figures},
        "gains": {
            name: {k: round(v, 6) for k, v in gain.items()} for name, gain in choice.gains.items() if choice.owners > 1
        },
    }
