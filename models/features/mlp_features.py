"""The four features of the rules and the network, for training and serving (C45-C51, A31).

The learned ranker also reads `models/features/table.py`; docs/models/ranker.md shows how to add a feature (A29).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.entities import UNKNOWN_TIME
from models.data.interactions import DAY_US
from models.schema import DIVERSITY_FACETS

#: Columns of the network's input, in order (003 L20).
FEATURES = ("model_score", "recency", "popularity", "diversity")
#: Diversity without selected items to compare with, and beyond the greedy positions (C50).
NEUTRAL_DIVERSITY = 0.5


def recency(created_at: NDArray[np.int64], as_of_us: int, days: float) -> NDArray[np.float32]:
    """exp(-age / days), (n,) in 0..1: 1.0 new, 0.37 after `days`, 0.14 after twice that (C46, C47).

    created_at: (n,) microseconds since 1970 UTC; UNKNOWN_TIME gives 0. Edits of an item do not count (R21).
    """
    age_days = np.maximum(as_of_us - np.maximum(created_at, 0), 0) / DAY_US
    return np.where(created_at == UNKNOWN_TIME, 0.0, np.exp(-age_days / days)).astype(np.float32)


def popularity(views: NDArray[Any], interactions: NDArray[np.integer[Any]], maximum: float) -> NDArray[np.float32]:
    """log(views + 3 x interactions + 1) / log(maximum), clipped, (n,) in 0..1 (C49).

    maximum: largest views + 3 x interactions + 1 of the items at the cutoff, stored with the model (R05). 1 gives
    zeros.
    """
    if maximum <= 1:
        return np.zeros(len(views), np.float32)
    return np.asarray(np.clip(np.log(views + 3.0 * interactions + 1) / np.log(maximum), 0, 1), np.float32)


def overlap(
    facets: Mapping[str, NDArray[np.int64]], left: NDArray[np.int64], right: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Similarity in 0..1 of items `left` and `right` (rows, broadcast): the share of equal facets (C51).

    Blank values equal nothing; the facets are DIVERSITY_FACETS.
    """
    shared = np.zeros(np.broadcast_shapes(left.shape, right.shape), np.float32)
    for name in DIVERSITY_FACETS:
        a, b = facets[name][left], facets[name][right]
        shared += (a == b) & (a >= 0)
    return shared / np.float32(len(DIVERSITY_FACETS))


def static_features(
    model_score: NDArray[np.float32], item_recency: NDArray[np.float32], item_popularity: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(n, len(FEATURES)) with neutral diversity, which depends on the items selected so far."""
    neutral = np.full(len(model_score), NEUTRAL_DIVERSITY, np.float32)
    return np.stack([model_score, item_recency, item_popularity, neutral], axis=1).astype(np.float32)
