"""What somebody did since ALS was fitted: solved anew for the one owner with the items' factors held still.

It is implicit's partial fit: the vector that training would have given, but for what it had learned of everybody else
by then. Immutable; safe to use from several threads.
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
    """Hu, Koren, Volinsky 2008, equation 4, for one owner; the same numbers as implicit's `recalculate_user`.

    bundle: als_v1 or als_reverse_v1. items: entity rows of the other side, of every role.
    """

    def __init__(self, bundle: Bundle, items: IdMap) -> None:
        self._factors = np.asarray(bundle.arrays["item_factors"], np.float32)
        self._place = bundle.maps["item"].rows_of(items.ids)
        self._gram = (self._factors.T @ self._factors).astype(np.float64)
        self._config = bundle.config

    def vector(
        self,
        owners: Owners,  # noqa: ARG002 - knows people by what they did alone
        events: Interactions,
        as_of_us: int,
    ) -> NDArray[np.float32] | None:
        """See `Fold.vector`."""
        config = self._config
        half_life = float(config.get("half_life_days", 0.0))
        now_us = int(config.get("faded_from_us", as_of_us))  # as the factors were taught
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
    """The same signs, and a product with alpha of at least 1: less would count less than never having met."""
    weights.data = np.sign(weights.data) * np.maximum(np.abs(weights.data), np.float32(1.0 / alpha))
    return weights


def open_fold(scorer: Scorer, bundle: Bundle, sides: Sides) -> AlsFoldIn:  # noqa: ARG001 - any FactorScorer takes its vectors
    """Of als_v1 or als_reverse_v1."""
    return AlsFoldIn(bundle, sides.items.ids)
