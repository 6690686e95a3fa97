"""Popular items as a source for every owner (R08, B08)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.data.batch import Candidates, Owners, Proposal, indptr_of
from models.data.interactions import DAY_US, EVENT_WEIGHTS, EventTime, Interactions
from models.popularity import POPULAR, PopularityConfig

_CELLS = 4_000_000  # most owners x ranks in memory at once


class PopularScorer:
    """Proposes the most popular items that are not barred, also for unseen owners.

    popularity: (m,) over the catalogue, in 0..1. then: (m,) orders equal ones.
    """

    source = POPULAR

    def __init__(self, popularity: NDArray[np.float32], then: NDArray[np.float32] | None = None) -> None:
        self._popularity = np.asarray(popularity, np.float32) + np.float32(0)
        keys = (-self._popularity,) if then is None else (-then, -self._popularity)
        self._order = np.lexsort(keys).astype(np.int32)  # it is stable
        self._rank = np.empty(len(self._order), np.int64)
        self._rank[self._order] = np.arange(len(self._order))

    def propose(self, owners: Owners, k: int) -> Proposal:
        room = max(1, _CELLS // max(1, len(self._order)))
        parts = [self._places(owners.barred[s : s + room], k) for s in range(0, len(owners), room)]
        if not parts or k < 1:
            return Proposal.empty(len(owners))
        item = self._order[np.concatenate([place for _, place in parts])]
        return Proposal(indptr_of(np.concatenate([length for length, _ in parts])), item, self._popularity[item])

    def score(self, owners: Owners, candidates: Candidates) -> NDArray[np.float32]:  # noqa: ARG002
        return np.asarray(self._popularity[candidates.item])

    def _places(self, barred: sparse.csr_matrix, k: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return each owner's number of items, and the first k ranks that are not barred."""
        banned = np.diff(barred.indptr)
        width = min(len(self._order), k + int(banned.max(initial=0)))  # enough ranks for every owner
        free = np.ones((barred.shape[0], width), bool)
        owner, rank = np.repeat(np.arange(barred.shape[0]), banned), self._rank[barred.indices]
        free[owner[rank < width], rank[rank < width]] = False
        free &= np.cumsum(free, axis=1, dtype=np.int32) <= k
        return free.sum(axis=1), np.nonzero(free)[1]


def recent(interactions: Interactions, clock: EventTime, half_life: float) -> NDArray[np.float32]:
    """Return (owners,) in 0..1: interest in which newer events count more.

    Each positive event adds its weight (C01-C07), halved whenever the share `half_life` of all events came after it:
    a market's own pace, not a number of days. Scaled like `trending`. For startups pass `transposed()` events.
    """
    weight = EVENT_WEIGHTS[interactions.kind]
    counted = weight > 0
    fading = weight[counted] * np.exp2(-clock.age(interactions.at[counted]) / half_life)
    return _scaled(interactions, counted, fading)


def trending(interactions: Interactions, as_of_us: int, config: PopularityConfig) -> NDArray[np.float32]:
    """Return (owners,) in 0..1: decayed interest during the days before `as_of_us`.

    Each positive event of the last `trending_days` adds its weight (C01-C07), halved every `trending_half_life_days`.
    The sums are log-scaled and divided by the largest: 1 is the fastest riser, 0 means no events. For startups pass
    `transposed()` events.
    """
    age_days = (as_of_us - interactions.at) / DAY_US
    weight = EVENT_WEIGHTS[interactions.kind]
    counted = (weight > 0) & (age_days >= 0) & (age_days <= config.trending_days)
    fading = weight[counted] * np.exp2(-age_days[counted] / config.trending_half_life_days)
    return _scaled(interactions, counted, fading)


def _scaled(
    interactions: Interactions, counted: NDArray[np.bool_], weight: NDArray[np.floating[Any]]
) -> NDArray[np.float32]:
    """Return (owners,) the logarithm of the sums of counted events' weights, divided by the largest."""
    heat = np.log1p(np.bincount(interactions.owner[counted], weight, minlength=len(interactions.owners)))
    return np.asarray(heat / max(float(heat.max(initial=0.0)), 1e-30), np.float32)
