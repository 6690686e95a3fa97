"""Evaluate one model alone: train it before a temporal validation split and test it after (E09, C25)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models import registry
from models.data.bundle import Bundle
from models.data.interactions import Interactions
from models.metrics.accuracy import K, accuracy_of, ndcg_of, places
from models.metrics.intervals import bootstrap
from models.recommender.recommend import recommend
from models.recommender.surface import SurfaceRecommender, open_recommender
from models.schema import Surface
from models.settings.settings import Settings
from pipelines.export.snapshot import Snapshot
from pipelines.run.run import EPOCH
from pipelines.train.calendar import split_time
from pipelines.train.holdout import Outcome, decided, of_half, outcome_of
from pipelines.train.objective import Objective
from pipelines.train.train import fit


def surfaces_of(name: str) -> tuple[Surface, ...]:
    """Return the surfaces where a bundle is evaluated: those of the owners it serves."""
    owners = registry.named(name).owners
    return tuple(s for s in Surface if s.owner in owners)


@dataclass(frozen=True, eq=False)
class SingleModelSplit:
    """One temporal validation split of a snapshot, for single models.

    before: users x startups, strictly before the cut. objectives: what counts as success. facts: the bundles that
    every list needs.
    """

    snapshot: Snapshot
    cut_us: int
    before: Interactions
    outcome: Outcome
    objectives: Mapping[Surface, Objective]
    facts: Mapping[str, Bundle]

    @classmethod
    def at_share(cls, snapshot: Snapshot, settings: Settings, share: float) -> SingleModelSplit:
        """Make the cut before the last `share` of the events. Raises TooSparse if one side is empty."""
        interactions = snapshot.heard
        cut_us = split_time(interactions, share)
        facts = {name: fit(name, snapshot, settings, cut_us) for name in registry.required()}
        outcome = outcome_of(interactions, cut_us)
        objectives = decided(snapshot, settings, outcome)
        return cls(snapshot, cut_us, interactions.before(cut_us), outcome, objectives, facts)

    @property
    def cut(self) -> str:
        """The cut as ISO 8601."""
        return (EPOCH + timedelta(microseconds=self.cut_us)).isoformat()

    def fitted(self, name: str, settings: Settings) -> Bundle:
        """Fit the model before the cut. Raises TooSparse and TrainingError."""
        return fit(name, self.snapshot, settings, self.cut_us)

    def judged(
        self, bundle: Bundle, settings: Settings, surfaces: Sequence[Surface], choosing: bool
    ) -> dict[str, NDArray[Any]]:
        """Return precision, recall, NDCG and MAP at K for owners who have a new interaction after the cut.

        choosing: the half that selects settings, else the half that reports. Each metric is (owners,) float64 with the
        same owners for every model, at most `holdout_owners` per surface. Unknown owners get 0, and False in `known`.
        Lists exclude earlier interactions. A disliked item is no hit.
        """
        found = [self._on(surface, bundle, settings, choosing) for surface in surfaces]
        return {name: np.concatenate([f[name] for f in found]) for name in found[0]}

    def _on(self, surface: Surface, bundle: Bundle, settings: Settings, choosing: bool) -> dict[str, NDArray[Any]]:
        switches = {"enable_als": True, "enable_two_tower": True, "ranker": "rules"}
        settings = settings.without_mode().layered(switches, "given")
        recipe = open_recommender(surface, {**self.facts, bundle.name: bundle}, settings)
        (scorer,) = recipe.scorers.values()
        rows, relevant = self._asked(recipe, settings, choosing)
        proposal = scorer.propose(recipe.batch(rows, self.before), K)
        figures = accuracy_of(places(proposal.indptr, proposal.item), relevant)
        return {**figures, "known": np.diff(proposal.indptr) > 0}

    def blended(self, als: Bundle, two_tower: Bundle, settings: Settings) -> NDArray[np.float64]:
        """Return (choosing owners,) float64 NDCG at K of the ensemble alone, on the surfaces of people.

        If one member does not know an owner, the other member's list is used.
        """
        alone = settings.without_mode().layered(
            {
                "enable_als": True,
                "enable_two_tower": True,
                "enable_ensemble": True,
                "ranker": "off",
                "candidate_sources": "route",
                "blend": "weighted",
                "cold_start_threshold": 0,
                "warm_user_threshold": 0,
            },
            "given",
        )
        found = []
        for surface in surfaces_of(registry.named("ensemble").bundle):
            recipe = open_recommender(surface, {**self.facts, als.name: als, two_tower.name: two_tower}, alone)
            rows, relevant = self._asked(recipe, settings, choosing=True)
            lists = recommend(recipe, recipe.batch(rows, self.before), K)
            item = np.searchsorted(recipe.catalogue, lists.item).astype(np.int32)
            found.append(ndcg_of(places(lists.indptr, item), relevant))
        return np.concatenate(found)

    def _asked(
        self, recipe: SurfaceRecommender, settings: Settings, choosing: bool
    ) -> tuple[NDArray[np.int32], sparse.csr_matrix]:
        """Return rows of one half of a surface's owners, and their new items after the cut, over the catalogue."""
        mine = self.outcome.on(recipe.surface, self.objectives)
        rows = recipe.owners.owners_of(recipe.surface)
        rows = rows[~recipe.owners.opted_out[rows]]
        rows = rows[np.diff(mine.over(rows, recipe.catalogue).relevant.indptr) > 0]
        rows = np.sort(of_half(recipe.owners.ids, rows, choosing, settings.holdout.owners))
        return rows, mine.over(rows, recipe.catalogue).relevant


def split_test(name: str, snapshot: Snapshot, settings: Settings, share: float) -> dict[str, object]:
    """Return precision, MAP and NDCG at 10 of a model trained without the last `share` of the events.

    NDCG has its 95% interval. Only owners known to the model count. `evaluate` evaluates the lists as served instead.
    Raises TooSparse if one side of the cut is empty.
    """
    split = SingleModelSplit.at_share(snapshot, settings, share)
    figures = split.judged(split.fitted(name, settings), settings, surfaces_of(name), choosing=False)
    known = figures["known"]
    low, high = bootstrap(figures["ndcg"][known])
    return {
        "cut": split.cut,
        "owners": int(known.sum()),
        f"Precision@{K}": _mean(figures["precision"][known]),
        f"MAP@{K}": _mean(figures["map"][known]),
        f"NDCG@{K}": _mean(figures["ndcg"][known]),
        f"NDCG@{K} interval": [round(float(low[0]), 4), round(float(high[0]), 4)],
    }


def _mean(values: NDArray[np.float64]) -> float:
    return round(float(values.mean()), 4) if len(values) else 0.0
