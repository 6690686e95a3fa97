"""Features of candidates for the rankers. Training and serving share each formula."""

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
