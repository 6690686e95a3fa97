"""Time of the last event of each pair, and weights that decay with that age."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.data.interactions import DAY_US, Interactions, Span


def faded(interactions: Interactions, share: float, damping: str) -> sparse.csr_matrix:
    """`Interactions.csr` with a half-life as a share of the events' `Span`; 0: no decay.

    Events are sorted first: sums of floats must not depend on the order of rows.
    """
    half_life = half_life_days(interactions, share)
    if not half_life:
        return interactions.csr(damping=damping)
    order = np.lexsort((interactions.kind, interactions.at, interactions.item, interactions.owner))
    return interactions.where(order).csr(half_life_days=half_life, damping=damping)


def half_life_days(interactions: Interactions, share: float) -> float:
    """The half-life in days for a share of the events' `Span`; 0: no decay."""
    return share * Span.from_times(interactions.at).length_us / DAY_US


def last_seen(
    interactions: Interactions, owner: NDArray[np.integer[Any]], item: NDArray[np.int32]
) -> NDArray[np.int64]:
    """(pairs,) int64 time of the last event of each pair; pairs ascend."""
    stride = max(len(interactions.items), 1)
    key = interactions.owner.astype(np.int64) * stride + interactions.item
    last = np.full(len(owner), np.iinfo(np.int64).min)
    wanted = owner.astype(np.int64) * stride + item
    place = np.minimum(np.searchsorted(wanted, key), max(len(wanted) - 1, 0))
    hit = wanted[place] == key if len(wanted) else np.zeros(len(key), bool)
    np.maximum.at(last, place[hit], interactions.at[hit])
    return last


def newest(
    owner: NDArray[np.integer[Any]], item: NDArray[np.int32], last: NDArray[np.int64], longest: int
) -> NDArray[np.int64]:
    """Row numbers of the `longest` newest pairs of each owner, ties by item; owners ascend."""
    order = np.lexsort((item, -last, owner))
    first = np.searchsorted(owner, np.arange(owner[-1] + 1 if len(owner) else 0))
    return np.sort(order[np.arange(len(order)) - first[owner[order]] < longest])
