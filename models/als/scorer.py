"""Fold-in for ALS: solve one owner's vector from new events, with fixed item factors.

This is implicit's partial fit. The result equals a full training in which all other vectors stayed the same. Immutable;
safe in several threads.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.data.batch import Owners
from models.data.bundle import Bundle
from models.data.entities import IdMap
from models.data.interactions import Interactions
from models.scoring.scorer import Scorer, Sides


class AlsFoldIn:
    """Solves equation 4 of Hu, Koren, Volinsky 2008 for one owner, like implicit's `recalculate_user`.

    bundle: als_v1 or als_reverse_v1. items: entity rows of the other side, of every role.
    """

    def __init__(self, bundle: Bundle, items: IdMap) -> None:
        self._factors = np.asarray(bundle.arrays["item_factors"], np.float32)
        self._place = bundle.maps["item"].find(items.packed())
        self._gram = (self._factors.T @ self._factors).astype(np.float64)
        self._config = bundle.config

    def vector(
        self,
        owners: Owners,  # noqa: ARG002 - events alone define the vector
        events: Interactions,
        as_of_us: int,
    ) -> NDArray[np.float32] | None:
        config = self._config
        half_life = float(config.get("half_life_days", 0.0))
        now_us = int(config.get("faded_from_us", as_of_us))  # as in training
        weights = at_least_one(events.csr(half_life or None, now_us, str(config["damping"])), float(config["alpha"]))
        place = self._place[weights.indices]
        confidence = float(config["alpha"]) * weights.data[place >= 0].astype(np.float64)
        if len(events) < int(config["min_interactions"]) or not (confidence > 0).any():
            return None
        met = self._factors[place[place >= 0]].astype(np.float64)
        left = self._gram + (met.T * (np.abs(confidence) - 1)) @ met
        left[np.diag_indices_from(left)] += float(config["regularization"])
        return np.linalg.solve(left, met.T @ np.maximum(confidence, 0)).astype(np.float32)


def at_least_one(weights: sparse.csr_matrix, alpha: float) -> sparse.csr_matrix:
    """Raise weights until their product with alpha is at least 1; keep their signs.

    A lower weight would count less than no event.
    """
    weights.data = np.sign(weights.data) * np.maximum(np.abs(weights.data), np.float32(1.0 / alpha))
    return weights


def open_fold(scorer: Scorer, bundle: Bundle, sides: Sides) -> AlsFoldIn:  # noqa: ARG001 - any FactorScorer takes its vectors
    """Open the fold-in of als_v1 or als_reverse_v1."""
    return AlsFoldIn(bundle, sides.items.ids)
