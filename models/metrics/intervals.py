"""Bootstrap and paired intervals of means over owners (Efron and Tibshirani 1993)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

#: Joint confidence levels of all challengers. SURE: against a configured default. ONE_ERROR, one standard error
#: (Breiman et al. 1984): where nothing is configured, so that a missed gain costs as much.
SURE, ONE_ERROR = 0.95, 0.68
#: With fewer owners no challenger is chosen.
LEAST = 20


@dataclass(frozen=True)
class Choice:
    """The result of comparing challengers with a default.

    taken: the best challenger that is clearly better; None if the default stays. best: the challenger with the highest
    mean, or None.
    owners: sample size. gains: by challenger {"mean", "low", "high"} of its gain. level: of each interval.
    """

    taken: str | None
    best: str | None
    owners: int
    gains: Mapping[str, Mapping[str, float]]
    level: float

    def said(self, challenger: str) -> str:
        gain = self.gains[challenger]
        interval = f"{self.level:.1%} [{gain['low']:+.4f}, {gain['high']:+.4f}]"
        return f"{gain['mean']:+.4f} {interval} over {self.owners} owners"


def choose(gains: Mapping[str, NDArray[np.float64]], level: float = SURE, least: int = LEAST) -> Choice:
    """Choose a challenger whose gain over the default is significant.

    gains: by challenger (owners,) its metric minus the default's. Of equal challengers the first, simpler one wins. The
    owners must be neither training data nor the sample that reports the quality of the choice.
    level: joint level of all intervals (Bonferroni).
    """
    chance = (1 - level) / max(len(gains), 1)
    found = {name: _interval(np.asarray(values, float), chance) for name, values in gains.items()}
    owners = len(next(iter(gains.values()))) if gains else 0
    ranked = sorted(found, key=lambda name: -found[name]["mean"]) if owners else []
    better = [name for name in ranked if found[name]["low"] > 0 and owners >= least]
    return Choice(better[0] if better else None, ranked[0] if ranked else None, owners, found, 1 - chance)


def _interval(values: NDArray[np.float64], chance: float) -> dict[str, float]:
    """Return mean and two-sided interval; NaN for fewer than two owners."""
    n = len(values)
    if n < 2:
        mean = float(values.mean()) if n else float("nan")
        return {"mean": mean, "low": float("nan"), "high": float("nan")}
    mean, error = float(values.mean()), float(values.std(ddof=1)) / float(np.sqrt(n))
    reach = float(stdtrit(n - 1, 1 - chance / 2)) * error
    return {"mean": mean, "low": mean - reach, "high": mean + reach}


#: Draws per block of resampled means. They bound the memory for many owners.
_DRAWS = 4_000_000


def bootstrap(
    values: NDArray[np.float64], times: int = 1000, seed: int = 0, level: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the bootstrap interval of the mean over owners: (low, high), (columns,) each.

    values: (owners,) or (owners, columns). All columns use the same resamples, so they are paired. NaN for fewer than
    two owners.
    """
    table = np.asarray(values, float)
    table = table[:, None] if table.ndim == 1 else table
    n = len(table)
    if n < 2:
        return np.full(table.shape[1], np.nan), np.full(table.shape[1], np.nan)
    rng = np.random.default_rng(seed)
    block = max(1, _DRAWS // n)
    means = [_resampled(table, rng.integers(0, n, (min(block, times - at), n))) for at in range(0, times, block)]
    low, high = np.quantile(np.concatenate(means), ((1 - level) / 2, (1 + level) / 2), axis=0)
    return low, high


def paired_difference(
    values: NDArray[np.float64], other: NDArray[np.float64], times: int = 1000, seed: int = 0, level: float = 0.95
) -> dict[str, float]:
    """Return the mean of values - other, paired by owner, with its interval: {"mean", "low", "high"}."""
    difference = np.asarray(values, float) - np.asarray(other, float)
    low, high = bootstrap(difference, times, seed, level)
    mean = float(difference.mean()) if len(difference) else float("nan")
    return {"mean": mean, "low": float(low[0]), "high": float(high[0])}


def summary(
    metrics: Mapping[str, NDArray[np.float64]], times: int = 1000, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Return for each metric {"mean", "low", "high"} over the owners where it is not NaN."""
    full = [name for name, column in metrics.items() if not np.isnan(column).any()]
    intervals = {}
    if full:
        low, high = bootstrap(np.column_stack([metrics[name] for name in full]), times, seed)
        intervals = {name: (low[i], high[i]) for i, name in enumerate(full)}
    return {name: _entry(column, intervals.get(name), times, seed) for name, column in metrics.items()}


def _entry(
    column: NDArray[np.float64], interval: tuple[float, float] | None, times: int, seed: int
) -> dict[str, float]:
    defined = column[~np.isnan(column)]
    if interval is None:
        low, high = bootstrap(defined, times, seed)
        interval = (low[0], high[0])
    mean = float(defined.mean()) if len(defined) else float("nan")
    return {"mean": mean, "low": float(interval[0]), "high": float(interval[1])}


def _resampled(table: NDArray[np.float64], draws: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (rows of draws, columns) means of the drawn owners."""
    rows, n = draws.shape
    flat = np.bincount((draws + np.arange(rows)[:, None] * n).ravel(), minlength=rows * n)
    return np.asarray(flat.reshape(rows, n) @ table / n)
