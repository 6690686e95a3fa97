"""Beyond-accuracy metrics of lists: coverage, exposure, novelty, diversity, freshness (C58, I21)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.metrics.accuracy import K, accuracy_of, repeated

#: An item is fresh for this many days (I21).
FRESH_DAYS = 30.0


def coverage(shown: NDArray[np.int64], items: int) -> float:
    """Return the share of `items` catalogue items that any list contains."""
    return len(np.unique(shown[shown >= 0])) / max(items, 1)


def exposure(shown: NDArray[np.int64], items: int) -> NDArray[np.int64]:
    """Return (items,) number of positions that show each item."""
    return np.bincount(shown[shown >= 0].ravel(), minlength=items)


def gini(exposure: NDArray[Any]) -> float:
    """Return the Gini index: 0 for equal exposure, near 1 for a single item, NaN for none.

    exposure: (items,) counts over the whole catalogue.
    """
    x = np.sort(np.asarray(exposure, float))
    if not x.sum():
        return float("nan")
    n = len(x)
    return float((2 * np.arange(1, n + 1) - n - 1) @ x / (n * x.sum()))


def popularity_rank(popularity: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (items,) in 0..100: 0 for the most popular, 100 for the least. Ties share their mean rank."""
    _, inverse, count = np.unique(-np.asarray(popularity, float), return_inverse=True, return_counts=True)
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    mean = first + (count - 1) / 2
    return np.asarray(mean[inverse] / max(len(popularity) - 1, 1) * 100)


def self_information(met: NDArray[np.int64], owners: int) -> NDArray[np.float64]:
    """Return (items,) bits of novelty: -log2 of the share of owners who met it (Zhou et al. 2010).

    owners: their number. An item without interactions counts as one with a single owner, to be finite.
    """
    return np.asarray(-np.log2(np.maximum(met, 1) / max(owners, 1)))


def mean_over_shown(shown: NDArray[np.int64], value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (b,) mean of `value` over each list's items where it is not NaN; NaN if none remains.

    shown: (b, k) items, -1 blank. value: (items,) float64.
    """
    there = shown >= 0
    values = np.where(there, value[np.maximum(shown, 0)] if len(value) else np.nan, np.nan)
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0.0).sum(1), known.sum(1))


def diversity(shown: NDArray[np.int64], category: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Return (b,) intra-list diversity: 1 - share of a list's pairs with the same category (C58).

    category: (items,) codes; -1 is ignored. NaN if fewer than two items remain.
    """
    if not len(category):
        return np.full(len(shown), np.nan)
    code = np.where(shown >= 0, category[np.maximum(shown, 0)], -1)
    same, pairs = np.zeros(len(code)), np.zeros(len(code))
    for place in range(1, code.shape[1]):
        both = (code[:, :place] >= 0) & (code[:, place] >= 0)[:, None]
        pairs += both.sum(1)
        same += (both & (code[:, :place] == code[:, place][:, None])).sum(1)
    return 1 - _ratio(same, pairs)


def _ratio(total: NDArray[np.float64], count: NDArray[Any]) -> NDArray[np.float64]:
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


@dataclass(frozen=True, eq=False)
class ItemFacts:
    """Facts at the cutoff about the m items that may be shown.

    met: (m,) number of distinct owners with interactions. owners: number of owners with any interaction.
    age_days: (m,) float64 days since creation, NaN if unknown. category: (m,) codes, -1 blank.
    """

    met: NDArray[np.int64]
    owners: int
    age_days: NDArray[np.float64]
    category: NDArray[np.integer[Any]]

    def __len__(self) -> int:
        return len(self.met)


def per_owner(
    shown: NDArray[np.int64], truth: sparse.csr_matrix, items: ItemFacts, k: int = K
) -> dict[str, NDArray[np.float64]]:
    """Return the metrics of each list, (b,) each, NaN where undefined. A repeated item counts once.

    They are those of `accuracy_of`, and means of "popularity_rank", "novelty", "diversity", "age_days" and "fresh"
    (younger than FRESH_DAYS, I21).
    shown: (b, k) from `places`. truth: (b, m) csr, the gain of each relevant pair.
    """
    once = np.where(repeated(shown), -1, shown)
    young = np.where(np.isnan(items.age_days), np.nan, items.age_days < FRESH_DAYS)
    return {
        **accuracy_of(once, truth, k),
        "popularity_rank": mean_over_shown(once, popularity_rank(items.met)),
        "novelty": mean_over_shown(once, self_information(items.met, items.owners)),
        "diversity": diversity(once, items.category),
        "age_days": mean_over_shown(once, items.age_days),
        "fresh": mean_over_shown(once, young),
    }


def as_a_whole(shown: NDArray[np.int64], items: int) -> dict[str, float]:
    """Return metrics of all lists: "coverage", "gini", and "answered" (share of owners with a list)."""
    answered = float((shown >= 0).any(axis=1).mean()) if len(shown) else float("nan")
    return {"coverage": coverage(shown, items), "gini": gini(exposure(shown, items)), "answered": answered}
