"""Rates over owners (clicks of impressions and the like), with intervals; and whether arms are as large as drawn.

What one owner is shown and does hangs together, so owners are the units: an impression more of the same owner tells
less than an impression of another.
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
    """A rate, or a mean, with its interval at `level`; None throughout where there was nothing to count.

    trials: what it is a rate of. owners: those who had any. effective: how many independent trials tell as much.
    """

    value: float | None
    low: float | None
    high: float | None
    trials: int
    owners: int
    effective: float = 0.0
    level: float = LEVEL

    def as_json(self) -> dict[str, float | int | None]:
        """Value, low, high (six digits), trials and owners."""
        told = asdict(self)
        return {
            k: round(v, 6) if isinstance(v, float) else v
            for k, v in told.items()
            if k in ("value", "low", "high", "trials", "owners")
        }


def rate(hits: NDArray[Any], trials: NDArray[Any], level: float = LEVEL) -> Rate:
    """Hits over trials, summed over owners.

    hits, trials: (n,) of each owner, 0 <= hits <= trials. The variance of the ratio is linearised over owners (delta
    method); what it says of independent trials goes into Wilson's score interval (1927), which stays within 0..1 and
    has width where nobody or everybody hit; where few owners decide, Student's quantile makes it wider (Korn and
    Graubard 1998 do so with the exact interval). Where all or none hit, one owner counts as one trial.
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
    """Sums over counts, summed over owners, with a normal interval; of what is no share. sums, counts: (n,)."""
    there = counts > 0
    sums, counts = sums[there].astype(float), counts[there].astype(float)
    if not len(counts):
        return Rate(None, None, None, 0, 0, 0.0, level)
    value, quantile = float(sums.sum() / counts.sum()), _quantile(len(counts) - 1, level)
    half = quantile * math.sqrt(_variance(sums, counts)) if len(counts) > 1 else math.nan
    low, high = (None, None) if math.isnan(half) else (value - half, value + half)
    return Rate(value, low, high, int(counts.sum()), len(counts), float(len(counts)), level)


def difference(one: Rate, other: Rate) -> tuple[float, float, float] | None:
    """`one` less `other`, of different owners, with the interval of Newcombe's tenth method (1998), which is made of
    both intervals and inherits their coverage. None where either has nothing."""
    if one.value is None or other.value is None:
        return None
    gap = one.value - other.value
    low = math.hypot(one.value - (one.low or 0.0), (other.high or 0.0) - other.value)
    high = math.hypot((one.high or 0.0) - one.value, other.value - (other.low or 0.0))
    return gap, gap - low, gap + high


def unevenness(counts: NDArray[np.int64], weights: NDArray[Any]) -> tuple[float, float]:
    """Pearson's chi-square of (k,) counts that were drawn by (k,) weights, and its p-value; (0, 1) of nobody.

    Whoever stands where the weight is 0 cannot have come there by the draw: infinity, 0.
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
    """Of the ratio of the sums over (n,) owners, linearised; 0 of a single one."""
    n = len(counts)
    if n < 2:
        return 0.0
    off = total - total.sum() / counts.sum() * counts
    return float(n / (n - 1) * (off**2).sum() / counts.sum() ** 2)


def _freedom(residuals: NDArray[np.float64]) -> float:
    """How many owners the variance is really known from, less one (Satterthwaite 1946): few where few differ much."""
    n = len(residuals)
    tails = n * (residuals**4).sum() / (residuals**2).sum() ** 2
    return float(min(n - 1, max(1, 2 * n / (tails - 1)))) if tails > 1 else n - 1.0


def _quantile(freedom: float, level: float) -> float:
    """Student's; without bound for a single owner."""
    return float(special.stdtrit(freedom, (1 + level) / 2)) if freedom >= 1 else math.inf


def _wilson(value: float, trials: float, quantile: float) -> tuple[float, float]:
    if math.isinf(quantile):
        return 0.0, 1.0
    square = quantile**2 / trials
    middle = (value + square / 2) / (1 + square)
    half = math.sqrt(square * (value * (1 - value) + square / 4)) / (1 + square)
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))
