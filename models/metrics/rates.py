"""Rates over owners (for example clicks per impression) with intervals, and the sample ratio test.

Impressions of one owner are correlated, so owners are the units of analysis.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

LEVEL = 0.95


@dataclass(frozen=True)
class Rate:
    """A rate or a mean with its interval at `level`; None without trials.

    trials: the denominator. owners: owners with any trial. effective: equivalent number of independent trials.
    """

    value: float | None
    low: float | None
    high: float | None
    trials: int
    owners: int
    effective: float = 0.0
    level: float = LEVEL

    def as_json(self) -> dict[str, float | int | None]:
        values = asdict(self)
        return {
            k: round(v, 6) if isinstance(v, float) else v
            for k, v in values.items()
            if k in ("value", "low", "high", "trials", "owners")
        }


def rate(hits: NDArray[Any], trials: NDArray[Any], level: float = LEVEL) -> Rate:
    """Return hits over trials, summed over owners.

    hits, trials: (n,), 0 <= hits <= trials.
    The variance of the ratio is linearised over owners (delta method). It gives an effective number of independent
    trials for Wilson's score interval (1927). That interval stays within 0..1. At rates of 0 and 1 it still has width;
    there each owner counts as one trial. Student's quantile widens it for few owners (as Korn and Graubard 1998 do for
    the exact interval).
    """
    there = trials > 0
    hits, trials = hits[there].astype(float), trials[there].astype(float)
    owners, total = len(trials), trials.sum()
    if not owners:
        return Rate(None, None, None, 0, 0, 0.0, level)
    value, spread = hits.sum() / total, _variance(hits, trials)
    effective, freedom = float(owners), owners - 1.0
    if 0 < value < 1 and spread > 0:
        effective, freedom = min(total, value * (1 - value) / spread), _freedom(hits - value * trials)
    low, high = _wilson(value, effective, _quantile(freedom, level))
    return Rate(float(value), low, high, int(total), owners, float(effective), level)


def mean(sums: NDArray[np.float64], counts: NDArray[np.float64], level: float = LEVEL) -> Rate:
    """Return sums over counts, (n,) each, with a normal interval; for quantities that are not shares."""
    there = counts > 0
    sums, counts = sums[there].astype(float), counts[there].astype(float)
    if not len(counts):
        return Rate(None, None, None, 0, 0, 0.0, level)
    value, quantile = float(sums.sum() / counts.sum()), _quantile(len(counts) - 1, level)
    half = quantile * math.sqrt(_variance(sums, counts)) if len(counts) > 1 else math.nan
    low, high = (None, None) if math.isnan(half) else (value - half, value + half)
    return Rate(value, low, high, int(counts.sum()), len(counts), float(len(counts)), level)


def difference(one: Rate, other: Rate) -> tuple[float, float, float] | None:
    """Return `one` minus `other`, of disjoint owners, with the interval of Newcombe's method 10 (1998).

    None if either has no trials.
    """
    if one.value is None or other.value is None:
        return None
    gap = one.value - other.value
    low = math.hypot(one.value - (one.low or 0.0), (other.high or 0.0) - other.value)
    high = math.hypot((one.high or 0.0) - one.value, other.value - (other.low or 0.0))
    return gap, gap - low, gap + high


def unevenness(counts: NDArray[np.int64], weights: NDArray[Any]) -> tuple[float, float]:
    """Test for sample ratio mismatch: Pearson's chi-square and its p-value.

    counts, weights: (k,). Returns (0, 1) without counts, and (infinity, 0) if a weight of 0 has counts.
    """
    if counts[weights <= 0].any():
        return math.inf, 0.0
    counts, weights = counts[weights > 0], weights[weights > 0]
    if not counts.sum() or len(counts) < 2:
        return 0.0, 1.0
    expected = counts.sum() * weights / weights.sum()
    statistic = float(((counts - expected) ** 2 / expected).sum())
    return statistic, float(special.chdtrc(len(counts) - 1, statistic))


def _variance(total: NDArray[np.float64], counts: NDArray[np.float64]) -> float:
    """Return the linearised variance of the ratio of sums over (n,) owners; 0 for one owner."""
    n = len(counts)
    if n < 2:
        return 0.0
    off = total - total.sum() / counts.sum() * counts
    return float(n / (n - 1) * (off**2).sum() / counts.sum() ** 2)


def _freedom(residuals: NDArray[np.float64]) -> float:
    """Return degrees of freedom of the variance (Satterthwaite 1946): few if few owners dominate it."""
    n = len(residuals)
    tails = n * (residuals**4).sum() / (residuals**2).sum() ** 2
    return float(min(n - 1, max(1, 2 * n / (tails - 1)))) if tails > 1 else n - 1.0


def _quantile(freedom: float, level: float) -> float:
    return float(special.stdtrit(freedom, (1 + level) / 2)) if freedom >= 1 else math.inf


def _wilson(value: float, trials: float, quantile: float) -> tuple[float, float]:
    if math.isinf(quantile):
        return 0.0, 1.0
    square = quantile**2 / trials
    middle = (value + square / 2) / (1 + square)
    half = math.sqrt(square * (value * (1 - value) + square / 4)) / (1 + square)
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))
