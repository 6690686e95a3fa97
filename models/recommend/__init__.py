"""From a batch of owners to their lists: candidates, then the second stage."""

from models.recommend.candidates import answering, candidates_of, learned_table, model_scores, wide_candidates
from models.recommend.lists import CHUNK, Ranking, rank, recommend

__all__ = [
    "CHUNK",
    "Ranking",
    "answering",
    "candidates_of",
    "learned_table",
    "model_scores",
    "rank",
    "recommend",
    "wide_candidates",
]
