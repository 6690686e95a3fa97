"""Fit the weights of the stacked ranker: as few data as there are, and a prior for the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.stacked_ranker.scorer import KNOWN, TERMS, UNSEEN

#: Strength of the prior: loss per squared difference. 1 to 15 were equal within noise on eight small markets.
STRENGTH = 5.0
#: Weights of TERMS, fitted with equal shares of india_funding, parts of crunchbase and deskdrop, and the sample.
PRIOR: Mapping[str, Mapping[str, float]] = {
    KNOWN: {
        "content": 0.45,
        "content_scaled": 1.67,
        "als_reverse": 0.41,
        "two_tower": 1.47,
        "neighbours": 1.03,
        "demand": 0.98,
        "recent": 0.25,
    },
    UNSEEN: {
        "content": 0.11,
        "content_scaled": 2.65,
        "two_tower": 2.06,
        "demand": 0.6,
        "demand_scaled": 0.91,
        "recent": 0.25,
        "popular": 0.61,
    },
}


@dataclass(frozen=True, eq=False)
class StackedRows:
    """Candidates with outcomes. cells: (n, terms). group: (n,) the list of each. label: (n,) relevance, 0 for none."""

    cells: NDArray[np.float64]
    group: NDArray[np.int64]
    label: NDArray[np.float64]


def prior_of(part: str) -> NDArray[np.float64]:
    """Return (terms,) weights of KNOWN or UNSEEN owners."""
    return np.array([PRIOR[part].get(term, 0.0) for term in TERMS])


def fit_weights(
    rows: Sequence[StackedRows], prior: NDArray[np.float64], strength: float = STRENGTH
) -> NDArray[np.float64]:
    """Return (terms,) weights of at least 0: the maximum a posteriori of a softmax over each list (ListNet top one).

    Lists without a relevant candidate say nothing. Without lists the prior is returned. Equal rows give equal weights.
    """
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    cells, group, share = _lists(rows, len(prior))
    if not len(group):
        return prior
    first = np.flatnonzero(np.append(True, group[1:] != group[:-1]))
    length = np.diff(np.append(first, len(group)))

    def loss(weight: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        score = cells @ weight
        score -= np.repeat(np.maximum.reduceat(score, first), length)
        chance = np.exp(score)
        total = np.add.reduceat(chance, first)
        chance /= np.repeat(total, length)
        away = weight - prior
        value = -(share @ score) + np.log(total).sum() + strength * (away @ away)
        return float(value), cells.T @ (chance - share) + 2 * strength * away

    with threadpool_limits(1, "blas"):  # the rounding of a product depends on the number of threads
        found = minimize(loss, prior, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(prior))
    return np.asarray(found.x, np.float64).round(4)


def _lists(
    rows: Sequence[StackedRows], terms: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Return cells, ascending groups, and each candidate's share of its list's relevance, of lists with any."""
    blank = StackedRows(np.zeros((0, terms)), np.zeros(0, np.int64), np.zeros(0))
    cells, groups, shares, start = [blank.cells], [blank.group], [blank.label], 0
    for part in rows:
        total = np.bincount(part.group, part.label, minlength=1)
        kept = total[part.group] > 0
        cells.append(part.cells[kept])
        groups.append(part.group[kept] + start)
        shares.append(part.label[kept] / total[part.group[kept]])
        start += len(total)
    order = np.argsort(np.concatenate(groups), kind="stable")
    return np.concatenate(cells)[order], np.concatenate(groups)[order], np.concatenate(shares)[order]
