"""NDCG@10 of every judged owner by the new release's models, by the live one's, and by popularity.

The same owners, the same catalogue, the same outcome after the same cut. The live release's models end at their own
cut, a little earlier; what an owner did since then is barred and counts as history for both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from models.metrics import K, ndcg_of, places
from models.nouns.catalogue import CATALOGUE
from models.nouns.owners import Owners
from models.recipe import Recipe
from models.recommend.exposure import capped, places_of_an_item
from models.schema import Surface
from pipelines.judging.exposure import tops
from pipelines.judging.figures import groups
from pipelines.judging.gate.judged import Judged
from pipelines.learning.holdout import Holdout, Outcome
from pipelines.scoring.shards import score_owners


@dataclass(frozen=True, eq=False)
class Accuracy:
    """Of one surface, each (b,) NDCG@10 by judged owner; live is None where there is nothing to judge it by.

    masks: (b,) bool by group: overall, none (no event before the cut), cold, warm, hot.
    """

    new: np.ndarray
    popular: np.ndarray
    live: np.ndarray | None
    masks: Mapping[str, np.ndarray]


def accuracy(holdout: Holdout, new: Judged) -> dict[Surface, Accuracy]:
    """Every surface that has an owner to judge by, the live release left out. holdout: of the new build."""
    found = {}
    for surface in Surface:
        recipe = new.recipe(surface, holdout.bundles[CATALOGUE])
        owners, outcome = holdout.owners(recipe, teaching=False)
        if not len(owners):
            continue
        popular = recipe.popular.propose(owners, K)
        masks = {name: mask for name, mask in groups(recipe, owners).items() if name != "known"}
        found[surface] = Accuracy(
            _ndcg(recipe, owners, recipe.catalogue, outcome),
            ndcg_of(places(popular.indptr, popular.item), outcome.relevant),
            None,
            masks,
        )
    return found


def with_live(
    found: Mapping[Surface, Accuracy], holdout: Holdout, new: Judged, live: Judged
) -> dict[Surface, Accuracy]:
    """The same with what the live release's models would have shown to the same owners, out of the same catalogue."""
    both = {}
    for surface, a in found.items():
        recipe, other = (side.recipe(surface, holdout.bundles[CATALOGUE]) for side in (new, live))
        owners, outcome = holdout.owners(recipe, teaching=False)
        both[surface] = replace(a, live=_ndcg(other, holdout.batch(other, owners.row), recipe.catalogue, outcome))
    return both


def _ndcg(recipe: Recipe, owners: Owners, catalogue: np.ndarray, outcome: Outcome) -> np.ndarray:
    """Of the lists as they would be served. catalogue: (m,) item rows that the outcome speaks of."""
    lists, multiple = score_owners(recipe, owners), recipe.settings.lists.exposure_cap
    if multiple:
        lists = capped(lists, places_of_an_item(multiple, lists, len(recipe.catalogue)))
    return ndcg_of(tops(lists, catalogue), outcome.relevant)
