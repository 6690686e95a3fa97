"""The seeds' four features, which the rules and the network read, once for training and serving (C45-C51, A31).

What the learned ranker reads besides stands in `models/features/table.py`; docs/models/ranker.md shows how to add to
it (A29).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.entities import UNKNOWN_TIME
from models.data.interactions import DAY_US
from models.schema import DIVERSITY_FACETS

#: Columns of the ranker's input, in order.
FEATURES = ("model_score", "recency", "popularity", "diversity")
#: Diversity where nothing is placed to compare with, and of places beyond the greedy ones (C50).
NEUTRAL_DIVERSITY = 0.5


def recency(created_at: NDArray[np.int64], as_of_us: int, days: float) -> NDArray[np.float32]:
    """exp(-age / days), (n,) float32 in 0..1: 1.0 new, 0.37 after `days`, 0.14 after twice that (C46, C47).

    created_at: (n,) int64 microseconds; UNKNOWN_TIME gives 0. An edit does not make an item new again (R21).
    """
    age_days = np.maximum(as_of_us - np.maximum(created_at, 0), 0) / DAY_US
    return np.where(created_at == UNKNOWN_TIME, 0.0, np.exp(-age_days / days)).astype(np.float32)


def popularity(views: NDArray[Any], interactions: NDArray[np.integer[Any]], maximum: float) -> NDArray[np.float32]:
    """log(views + 3 x interactions + 1) / log(maximum), clipped, (n,) float32 in 0..1 (C49).

    maximum: the largest views + 3 x interactions + 1 of the items at the cutoff, stored with the model (R05); where it
    is 1 nothing has happened yet and everything is 0.
    """
    if maximum <= 1:
        return np.zeros(len(views), np.float32)
    return np.asarray(np.clip(np.log(views + 3.0 * interactions + 1) / np.log(maximum), 0, 1), np.float32)


def overlap(
    facets: Mapping[str, NDArray[np.int64]], left: NDArray[np.int64], right: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Similarity in 0..1 of items `left` and `right` (positions, broadcast): the share of the facets that count for
    diversity which both have and share (C51)."""
    shared = np.zeros(np.broadcast_shapes(left.shape, right.shape), np.float32)
    for name in DIVERSITY_FACETS:
        a, b = facets[name][left], facets[name][right]
        shared += (a == b) & (a >= 0)
    return shared / np.float32(len(DIVERSITY_FACETS))


def static_features(
    model_score: NDArray[np.float32], item_recency: NDArray[np.float32], item_popularity: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(n, len(FEATURES)) float32 with neutral diversity, which depends on what is already placed."""
    neutral = np.full(len(model_score), NEUTRAL_DIVERSITY, np.float32)
    return np.stack([model_score, item_recency, item_popularity, neutral], axis=1).astype(np.float32)
