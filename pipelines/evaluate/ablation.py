"""What each ingredient of the learned ranker brings: it is taught again without it and judged at the inner cut."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import metrics
from models.data.batch import Owners
from models.errors import TrainingError
from models.learned_ranker.fit import fit_learned_ranker
from models.learned_ranker.scorer import LearnedRanker
from models.recommender.surface import SurfaceRecommender
from models.schema import Surface
from pipelines.evaluate.figures import top_tens
from pipelines.score.shards import score_owners
from pipelines.train.holdout import Holdout, Outcome
from pipelines.train.leakage import check_labels
from pipelines.train_ranker.samples import RankerSamples, samples_until
from pipelines.train_ranker.second_stage import teaching

_LOG = logging.getLogger(__name__)
_MOMENTUM = ("_share", "_momentum", "_density")
#: Tells known owners from strangers, who are ranked apart: it is never left out.
_STAYS = ("owner_events",)
DEMAND, MOMENTUM, FACTS, OTHERS = "demand", "facet momentum", "item facts", "others"
#: By the beginning of a column's name.
_GROUPS = {
    "score_": "models' scores",
    "rank_": "models' scores",
    "proposed_by": "models' scores",
    "item_": FACTS,
    "lift_": "affinities",
    "met_": "affinities",
    "same_": "places",
    "owner_": "owner",
}


def groups(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """By ingredient the columns it is made of. What demand makes of a model's score is demand's."""
    found: dict[str, list[str]] = {}
    for name in names:
        if name in _STAYS:
            continue
        group = next((g for start, g in _GROUPS.items() if name.startswith(start)), OTHERS)
        if "demand" in name:
            group = DEMAND
        elif group == FACTS and name.endswith(_MOMENTUM):
            group = MOMENTUM
        found.setdefault(group, []).append(name)
    return {group: tuple(columns) for group, columns in found.items()}


def ablations(
    holdout: Holdout, surface: Surface, lessons: Sequence[RankerSamples], owners: Owners, outcome: Outcome
) -> dict[str, Mapping[str, float | None]]:
    """By ingredient the paired difference of NDCG@10, with its 95% interval, to the ranker with all of them; below 0:
    it is missed. Empty where the surface teaches no ranker. Columns whose names begin like a group's go with it.

    lessons: of every cut; only what had happened before the inner cut teaches, and check_labels sees to it.
    """
    try:
        rows = samples_until(lessons, holdout.cut_us)
        whole = fit_learned_ranker(rows, *teaching(holdout.settings)).ranker
    except TrainingError as error:
        _LOG.info("nothing to leave out on %s: %s", surface, error)
        return {}
    check_labels(f"the learned ranker of {surface}", rows.newest_us, holdout.cut_us)
    recipe = holdout.recipe(surface)
    reference = _ndcg(recipe, whole, owners, outcome)
    found: dict[str, Mapping[str, float | None]] = {}
    for name, columns in groups(rows.names).items():
        ranker = fit_learned_ranker(rows.without(columns), *teaching(holdout.settings)).ranker
        difference: dict[str, Any] = metrics.paired_difference(_ndcg(recipe, ranker, owners, outcome), reference)
        found[name] = {k: None if np.isnan(v) else round(v, 6) for k, v in difference.items()}
        _LOG.info("%s without %s: NDCG@10 %s", surface, name, found[name])
    return found


def _ndcg(recipe: SurfaceRecommender, ranker: LearnedRanker, owners: Owners, outcome: Outcome) -> NDArray[Any]:
    lists = score_owners(replace(recipe, ranker=ranker), owners)
    return metrics.ndcg_of(top_tens(lists, recipe.catalogue), outcome.relevant)
