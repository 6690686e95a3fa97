"""What a ranker is told of a candidate: each formula once, for training and for serving."""

from models.features.table import (
    FEATURES,
    NEUTRAL_DIVERSITY,
    overlap,
    popularity,
    recency,
    static_features,
)

__all__ = [
    "FEATURES",
    "NEUTRAL_DIVERSITY",
    "overlap",
    "popularity",
    "recency",
    "static_features",
]
