"""Every metric of a set of lists at once: those of each owner, and those of all lists together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from models.metrics.accuracy import K, at_k, hits_of, repeated
from models.metrics.spread import (
    FRESH_DAYS,
    coverage,
    diversity,
    exposure,
    gini,
    mean_over_shown,
    popularity_rank,
    self_information,
)


@dataclass(frozen=True, eq=False)
class ItemFacts:
    """What was known at the cut of the m items that may be shown.

    met: (m,) how many different owners had met each. owners: how many owners had met anything. age_days: (m,) float64
    days since each was created, NaN where unknown. category: (m,) codes, -1 blank.
    """

    met: np.ndarray
    owners: int
    age_days: np.ndarray
    category: np.ndarray

    def __len__(self) -> int:
        return len(self.met)


def per_owner(shown: np.ndarray, truth: sparse.csr_matrix, items: ItemFacts, k: int = K) -> dict[str, np.ndarray]:
    """Each (b,): those of `at_k`, and the mean over what a list shows of "popularity_rank", "novelty", "diversity",
    "age_days" and "fresh", the share younger than FRESH_DAYS (I21). NaN where undefined; a repeated item counts once.

    shown: (b, k) as `places` gives them. truth: (b, m), whose stored cells are the relevant pairs.
    """
    once = np.where(repeated(shown), -1, shown)
    young = np.where(np.isnan(items.age_days), np.nan, items.age_days < FRESH_DAYS)
    return {
        **at_k(hits_of(once, truth), np.diff(truth.indptr), k),
        "popularity_rank": mean_over_shown(once, popularity_rank(items.met)),
        "novelty": mean_over_shown(once, self_information(items.met, items.owners)),
        "diversity": diversity(once, items.category),
        "age_days": mean_over_shown(once, items.age_days),
        "fresh": mean_over_shown(once, young),
    }


def as_a_whole(shown: np.ndarray, items: int) -> dict[str, float]:
    """Of all lists together: "coverage", "gini" of exposure, and "answered", the share of owners shown anything."""
    answered = float((shown >= 0).any(axis=1).mean()) if len(shown) else float("nan")
    return {"coverage": coverage(shown, items), "gini": gini(exposure(shown, items)), "answered": answered}
