"""The learned ranker of a build: taught on earlier cuts, judged at the inner cut, then taught again by all of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.errors import TrainingError
from models.nouns.bundle import Bundle
from models.nouns.vocabulary import Surface
from models.scorers.learned import LEARNED
from models.settings import Settings
from models.training.learned_ranker import Taught, teach
from pipelines.data.snapshot import Snapshot
from pipelines.judging.contenders import POPULAR, RULES, TAUGHT, contenders, mean_ndcg
from pipelines.learning.holdout import Holdout
from pipelines.learning.teaching import Lessons, lessons_of, rows_until
from pipelines.runs.run import Run

_LOG = logging.getLogger(__name__)
#: It serves a surface where it reaches this share of the best single model's NDCG@10, or of the rules'. Lenient: on a
#: few hundred owners the better of two comes out behind often enough.
PASSES_AT = 0.7
#: Owners of a surface who are asked whether it passes.
JURY = 2000


@dataclass(frozen=True, eq=False)
class LearnedStage:
    """served: taught by everything. judged: the same, taught only by what had happened before the inner cut; None where
    there was too little before it. reason: why there is nothing to serve, empty where there is."""

    served: Bundle | None
    judged: Bundle | None
    reason: str = ""


def train_learned(run: Run, snapshot: Snapshot, holdout: Holdout, about: Mapping[str, Any]) -> LearnedStage:
    """Teach every surface that has enough to be taught by; the config says where it serves, and why or why not."""
    lessons = lessons_of(run, snapshot)
    before = _taught(lessons, holdout.cut_us, run.settings)
    judged = _bundle(before, {s: {} for s in before}, about)
    now = _taught(lessons, snapshot.as_of_us, run.settings)
    verdicts = {s: _verdict(holdout, s, judged if isinstance(before.get(s), Taught) else None) for s in now}
    served = _bundle(now, verdicts, about)
    reasons = "; ".join(f"{s}: {t}" for s, t in now.items() if isinstance(t, str)) or "no surface has earlier cuts"
    return LearnedStage(served, judged, "" if served is not None else reasons)


def _taught(lessons: Mapping[Surface, Sequence[Lessons]], until_us: int,
            settings: Settings) -> dict[Surface, Taught | str]:
    """By surface what was taught by the cuts and outcomes before an instant, or why nothing was."""
    found: dict[Surface, Taught | str] = {}
    for surface, those in lessons.items():
        try:
            found[surface] = teach(rows_until(those, until_us), settings)
        except TrainingError as error:
            found[surface] = str(error)
            _LOG.warning("the learned ranker is left out on %s: %s", surface, error)
    return found


def _bundle(taught: Mapping[Surface, Taught | str], verdicts: Mapping[Surface, Mapping[str, Any]],
            about: Mapping[str, Any]) -> Bundle | None:
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


def _verdict(holdout: Holdout, surface: Surface, judged: Bundle | None) -> dict[str, Any]:
    """Whether it serves a surface, why, and the NDCG@10 of it and of all it was held against."""
    if judged is None:
        return {"serves": False, "reason": "too little before the inner cut to judge it by", "judged": {}}
    recipe = holdout.recipe(surface)
    owners, outcome = holdout.owners(recipe, teaching=False)
    jury = np.arange(min(len(owners), JURY))
    if not len(jury):
        return {"serves": False, "reason": "nobody to judge it by", "judged": {}}
    truth = outcome.relevant[jury]
    those = contenders(holdout, surface, None, None, judged)
    found = mean_ndcg(those, owners.take(jury), truth, holdout.settings.threads)
    best, bar = max(((n, v) for n, v in found.items() if n in (*(s.value for s in recipe.scorers), POPULAR, RULES)),
                    key=lambda x: x[1])
    serves = found[TAUGHT] > 0 and found[TAUGHT] >= PASSES_AT * bar
    reason = (f"NDCG@10 {found[TAUGHT]:.4f} on the inner cut, taught before it; {best} {bar:.4f}; "
              f"{'it passes' if serves else 'it does not reach'} at {PASSES_AT:g} of that")
    _LOG.info("learned ranker on %s: %s", surface, reason)
    return {"serves": serves, "reason": reason, "judged": {"owners": len(jury), **found}}
