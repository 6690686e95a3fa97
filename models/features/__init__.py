"""Features of a candidate for the rankers: each formula once, for training and serving."""

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
