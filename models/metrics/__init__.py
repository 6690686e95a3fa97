"""Quality metrics of lists, per owner and overall, with confidence intervals."""

from models.metrics.accuracy import (
    K,
    at_k,
    hits_of,
    mix_distance,
    ndcg_of,
    overlap,
    places,
    rank_biased_overlap,
    reliability,
)
from models.metrics.intervals import bootstrap, paired_difference, summary
from models.metrics.list_metrics import (
    FRESH_DAYS,
    ItemFacts,
    as_a_whole,
    coverage,
    diversity,
    exposure,
    gini,
    mean_over_shown,
    per_owner,
    popularity_rank,
    self_information,
)

__all__ = [
    "FRESH_DAYS",
    "ItemFacts",
    "K",
    "as_a_whole",
    "at_k",
    "bootstrap",
    "coverage",
    "diversity",
    "exposure",
    "gini",
    "hits_of",
    "mean_over_shown",
    "mix_distance",
    "ndcg_of",
    "overlap",
    "paired_difference",
    "per_owner",
    "places",
    "popularity_rank",
    "rank_biased_overlap",
    "reliability",
    "self_information",
    "summary",
]
