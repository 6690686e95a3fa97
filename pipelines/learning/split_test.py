"""A quick judgement of one factor model alone: trained before an inner cut, judged by what came after (E09, C25)."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from models.metrics import K, at_k, hits_of, places
from models.nouns.bundle import Bundle
from models.nouns.id_map import IdMap
from models.scorers.top_k import Float32Product, top_k
from models.settings import Settings
from pipelines.data.snapshot import Snapshot
from pipelines.learning.holdout import inner_cut, outcome_of
from pipelines.learning.train import fit
from pipelines.run import EPOCH

#: Whose owners are startups.
REVERSED = ("als_reverse_v1",)


def split_test(name: str, snapshot: Snapshot, settings: Settings, share: float) -> dict[str, float | int | str]:
    """Precision@10 and MAP@10 of a model that saw all but the last `share` of the events.

    Means over the owners it knows who first met something new after the cut; what they had met before is left out of
    their lists, and a disliked item is no hit. This judges the model alone: `evaluate` judges the lists as served.
    Raises TooSparse where one side of the cut is empty.
    """
    interactions = snapshot.interactions()
    cut_us = inner_cut(interactions, share)
    bundle = fit(name, snapshot, settings, cut_us)
    outcome, before = outcome_of(interactions, cut_us), interactions.before(cut_us)
    if name in REVERSED:
        outcome, before = outcome.transposed(), before.transposed()
    owner_vectors, known = _aligned(bundle, "user", before.owners)
    item_vectors, offered = _aligned(bundle, "item", before.items)
    catalogue = np.flatnonzero(offered)
    rows = np.flatnonzero(known & (np.diff(outcome.relevant.indptr) > 0))
    seen = before.pairs()[rows][:, catalogue].tocsr()
    lists = top_k(owner_vectors[rows], Float32Product(item_vectors[catalogue]), seen, K)
    hits = hits_of(places(lists.indptr, catalogue[lists.item]), outcome.relevant[rows])
    figures = at_k(hits, np.diff(outcome.relevant[rows].indptr))
    return {"cut": (EPOCH + timedelta(microseconds=cut_us)).isoformat(), "owners": len(rows),
            f"Precision@{K}": _mean(figures["precision"]), f"MAP@{K}": _mean(figures["map"])}


def _aligned(bundle: Bundle, side: str, ids: IdMap) -> tuple[np.ndarray, np.ndarray]:
    """(n, d) vectors in the order of `ids`, and (n,) bool: which of them the model knows."""
    place = bundle.maps[side].rows_of(ids.ids)
    factors = bundle.arrays[f"{side}_factors"]
    vectors = np.where(place[:, None] >= 0, factors[place], 0).astype(np.float32)
    return vectors, np.asarray(vectors.any(axis=1))


def _mean(values: np.ndarray) -> float:
    return round(float(values.mean()), 4) if len(values) else 0.0
