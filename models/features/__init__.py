"""What a ranker is told of a candidate: each formula once, for training and for serving."""

from models.features.mlp_features import (
    DIVERSITY_FACETS,
    FEATURES,
    NEUTRAL_DIVERSITY,
    overlap,
    popularity,
    recency,
    static_features,
)

__all__ = [
    "DIVERSITY_FACETS",
    "FEATURES",
    "NEUTRAL_DIVERSITY",
    "overlap",
    "popularity",
    "recency",
    "static_features",
]
