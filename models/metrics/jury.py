"""The one rule by which owners choose between ways to make lists: what is not clearly better leaves the default.

The default is what somebody set, or what was better wherever it was tried. A challenger is taken where the interval of
its paired gain lies above 0: a jury too small to tell leaves the default, and a large one lets no worse default stay.
All challengers share the chance of being taken by luck, as the best of many looks good by luck alone (Bonferroni 1936).
The interval is Student's (1908), paired over owners, and wide where they are few (Smucker et al. 2007, "A comparison of
statistical significance tests for information retrieval evaluation").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

#: Level of the intervals of all challengers together: SURE where what somebody set has a right to stand; ONE_ERROR,
#: that of one standard error (Breiman et al. 1984), where nothing is set and a gain that is missed costs as well.
SURE, ONE_ERROR = 0.95, 0.68
#: Fewer owners than this choose nothing.
LEAST = 20


@dataclass(frozen=True)
class Choice:
    """taken: the challenger with the highest mean of those that are clearly better, None where the default stays.
    best: the challenger with the highest mean, clear or not; None without any. owners: how many were asked.
    gains: by challenger {"mean", "low", "high"} of its gain over the default. level: of each interval."""

    taken: str | None
    best: str | None
    owners: int
    gains: Mapping[str, Mapping[str, float]]
    level: float

    def said(self, challenger: str) -> str:
        """The gain of one challenger in words."""
        gain = self.gains[challenger]
        interval = f"{self.level:.1%} [{gain['low']:+.4f}, {gain['high']:+.4f}]"
        return f"{gain['mean']:+.4f} {interval} over {self.owners} owners"


def choose(gains: Mapping[str, np.ndarray], level: float = SURE, least: int = LEAST) -> Choice:
    """gains: by challenger, the simpler one first among equals, (owners,) its figure less that of the default, of the
    same owners. None of them may have taught a challenger, and none may report how good the choice is."""
    chance = (1 - level) / max(len(gains), 1)
    found = {name: _interval(np.asarray(values, float), chance) for name, values in gains.items()}
    owners = len(next(iter(gains.values()))) if gains else 0
    ranked = sorted(found, key=lambda name: -found[name]["mean"]) if owners else []
    better = [name for name in ranked if found[name]["low"] > 0 and owners >= least]
    return Choice(better[0] if better else None, ranked[0] if ranked else None, owners, found, 1 - chance)


def _interval(values: np.ndarray, chance: float) -> dict[str, float]:
    """Mean and two-sided interval; NaN where there are fewer than two owners."""
    n = len(values)
    if n < 2:
        mean = float(values.mean()) if n else float("nan")
        return {"mean": mean, "low": float("nan"), "high": float("nan")}
    mean, error = float(values.mean()), float(values.std(ddof=1)) / float(np.sqrt(n))
    reach = float(stdtrit(n - 1, 1 - chance / 2)) * error
    return {"mean": mean, "low": mean - reach, "high": mean + reach}
