"""Blends raw scores of two models into one score in 0..1 (C08-C18, R06)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.bundle import Bundle
from models.ensemble import EnsembleConfig
from models.scoring.scorer import Ranks, min_max

#: The constant of reciprocal rank fusion (C16; Cormack et al. 2009).
RRF_K = 60
#: ALS weight of each named profile (C11-C14). The two-tower gets the rest.
PROFILES = {"collaborative": 0.7, "balanced": 0.6, "semantic": 0.4, "equal": 0.5}


def als_weight(config: EnsembleConfig, count: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
    """Return (b,) weight of ALS: fixed, from a profile, or dynamic (C08, C11-C14, C18).

    dynamic: 0.6 below 50 interactions, 0.5 below 100, else 0.4.
    """
    if config.blend == "dynamic":
        return np.select([count < 50, count < 100], [0.6, 0.5], 0.4).astype(np.float32)
    fixed = PROFILES.get(config.profile or "")
    if fixed is None:
        total = config.als_weight + config.two_tower_weight
        fixed = config.als_weight / total if total else 0.5
    return np.full(len(count), fixed, np.float32)


def resolved_blend(config: EnsembleConfig, chosen: Bundle | None) -> EnsembleConfig:
    """Replace the setting `auto` by the choice in the bundle `ensemble_v1`.

    The blend is "weighted" if nothing was chosen, or if profile or weights are configured.
    """
    if config.blend != "auto":
        return config
    if chosen is None or not blend_is_auto(config):
        return replace(config, blend="weighted")
    return replace(config, blend=chosen.config["blend"], profile=chosen.config["profile"] or None)


def blend_is_auto(config: EnsembleConfig) -> bool:
    """Return whether `auto` may choose: neither profile nor weights are configured."""
    return config == EnsembleConfig()


@dataclass(frozen=True, eq=False)
class Blend:
    """Blends the scores of ALS and two-tower over the same candidates (A06, R06).

    learned: the bundle `ensemble_v1` or None. It holds the coefficients of the learned blend (C17) and the blend that
    "auto" chose on the validation split. Without it the blend is weighted.
    """

    config: EnsembleConfig
    learned: Bundle | None = None

    def __call__(
        self,
        als: NDArray[np.float32],
        two_tower: NDArray[np.float32],
        owner: NDArray[np.int32],
        indptr: NDArray[np.int64],
        count: NDArray[np.integer[Any]],
        age_days: NDArray[np.floating[Any]],
    ) -> NDArray[np.float32]:
        """Return (nnz,) scores in 0..1.

        als, two_tower: raw scores; NaN counts as lowest. count, age_days: (b,) per owner.
        """
        config = resolved_blend(self.config, self.learned)
        if config.blend == "rrf":
            rank = Ranks(indptr).of
            fused = 1 / (RRF_K + rank(als)) + 1 / (RRF_K + rank(two_tower))
            return min_max(fused.astype(np.float32), indptr)
        a, t = (np.nan_to_num(min_max(s, indptr)) for s in (als, two_tower))
        if config.blend == "learned" and self.learned is not None and self.learned.arrays:
            return self._probability(a, t, count[owner], age_days[owner])
        w = als_weight(config, count)[owner]
        return (w * a + (1 - w) * t).astype(np.float32)

    def _probability(
        self,
        a: NDArray[np.float32],
        t: NDArray[np.float32],
        count: NDArray[np.integer[Any]],
        age_days: NDArray[np.floating[Any]],
    ) -> NDArray[np.float32]:
        assert self.learned is not None
        x = learned_features(a, t, count, age_days)
        z = x @ self.learned.arrays["coefficients"].astype(np.float32) + self.learned.arrays["intercept"][0]
        return (1 / (1 + np.exp(-z))).astype(np.float32)


def learned_features(
    als: NDArray[np.floating[Any]],
    two_tower: NDArray[Any],
    count: NDArray[np.integer[Any]],
    age_days: NDArray[np.floating[Any]],
) -> NDArray[np.float32]:
    """Return (n, 4): both scaled scores, log1p of the interaction count and of the account age (C17)."""
    return np.stack([als, two_tower, np.log1p(count), np.log1p(np.maximum(age_days, 0))], axis=1).astype(np.float32)
