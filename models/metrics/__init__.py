"""What a set of lists is worth: accuracy, reach and spread, of each owner and of all, and how sure that is."""

from models.metrics.accuracy import K, at_k, hits_of, ndcg_of, places
from models.metrics.agreement import mix_distance, overlap, rank_biased_overlap
from models.metrics.calibration import reliability
from models.metrics.intervals import bootstrap, paired_difference, summary
from models.metrics.lists import ItemFacts, as_a_whole, per_owner
from models.metrics.spread import (
    FRESH_DAYS,
    coverage,
    diversity,
    exposure,
    gini,
    mean_over_shown,
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
