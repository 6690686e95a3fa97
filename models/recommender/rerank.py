"""Greedy reranking for diversity: each position gets the best candidate given the items above it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.features.table import FEATURES
from models.schema import DIVERSITY_FACETS
from models.scoring.scorer import Ranker, order_by_score

_DIVERSITY = FEATURES.index("diversity")

#: From (b, p) columns, returns a function of their (b, p) diversity in 0..1 to their (b, p) scores.
Rescore = Callable[[NDArray[Any]], Callable[[NDArray[Any]], NDArray[Any]]]


def rescore_with_diversity(ranker: Ranker, features: NDArray[np.float32]) -> Rescore:
    """Score with the ranker and each candidate's diversity. features: (b, w, 4) with neutral diversity."""

    def of(pool: NDArray[np.int64]) -> Callable[[NDArray[Any]], NDArray[Any]]:
        x = np.take_along_axis(features, pool[:, :, None], 1)

        def score(diversity: NDArray[np.float32]) -> NDArray[np.float32]:
            x[:, :, _DIVERSITY] = diversity
            return ranker.score(x)

        return score

    return of


def diversify(base: NDArray[np.float32], weight: float) -> Rescore:
    """Score by base (b, w) minus `weight` times the mean similarity to the selected items.

    This is maximal marginal relevance (Carbonell and Goldstein 1998) with the mean instead of the maximum.
    """

    def of(pool: NDArray[np.int64]) -> Callable[[NDArray[Any]], NDArray[Any]]:
        mine = np.take_along_axis(base, pool, 1)
        return lambda diversity: np.asarray(mine - np.float32(weight) * (1 - diversity), np.float32)

    return of


def place_greedily(
    again: Rescore, base: NDArray[np.float32], facets: Mapping[str, NDArray[np.int32]], places: int, depth: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Order candidates greedily.

    base: (b, w) scores with neutral diversity, padded with -inf. facets: (b, w) codes of DIVERSITY_FACETS.
    The best base score gets the first position. Each further one of the first `places` goes to the best score `again`,
    with diversity relative to the items above (C51). The rest follows by base score. `base_diversity`
    (pipelines/train_ranker/mlp_samples.py) computes the same for training.
    Returns order (b, min(depth, w)), columns, best first, ties by column, padding last; and score (same shape), which
    never rises along a list.
    """
    everything = order_by_score(base)
    order = everything[:, :depth]
    places = min(places, order.shape[1])
    if places:
        pool = np.sort(everything[:, : 3 * places], axis=1)
        head, head_score = _greedy(again, facets, base, pool, places)
        order = _head_first(head, order)
        score = np.take_along_axis(base, order, 1)
        score[:, :places] = head_score
    else:
        score = np.take_along_axis(base, order, 1)
    return order, np.minimum.accumulate(score, axis=1)


def _greedy(
    again: Rescore,
    facets: Mapping[str, NDArray[np.integer[Any]]],
    base: NDArray[np.float32],
    pool: NDArray[np.int64],
    places: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the first positions: columns (b, places) and their scores, selected from `pool`, ascending."""
    row, score_of = np.arange(len(base)), again(pool)
    codes = [np.take_along_axis(facets[f], pool, 1) for f in DIVERSITY_FACETS]
    free = np.isfinite(np.take_along_axis(base, pool, 1))
    shared = np.zeros(free.shape, np.float32)
    chosen, chosen_score = np.empty((len(base), places), np.int64), np.empty((len(base), places), np.float32)
    for p in range(places):
        told = score_of(1 - shared / (p * len(DIVERSITY_FACETS))) if p else np.take_along_axis(base, pool, 1)
        score = np.where(free, told, -np.inf)
        best = score.argmax(axis=1)
        chosen[:, p], chosen_score[:, p] = pool[row, best], score[row, best]
        free[row, best] = False
        for code in codes:
            mine = code[row, best][:, None]
            shared += (code == mine) & (mine >= 0)
    return chosen, chosen_score


def _head_first(head: NDArray[np.int64], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return `order` with the columns of `head` moved to the front, in head's order."""
    key = (_isin_rows(order, head).astype(np.int32) << 20) | np.arange(order.shape[1], dtype=np.int32)
    key.sort(axis=1)  # columns outside head keep their order, those in head go last
    rest = key & 0xFFFFF
    tail = np.take_along_axis(order, rest, 1)[:, : order.shape[1] - head.shape[1]]
    return np.concatenate([head, tail], axis=1)


def _isin_rows(order: NDArray[np.int64], head: NDArray[np.int64]) -> NDArray[np.bool_]:
    width = int(max(order.max(initial=0), head.max(initial=0))) + 1
    marks = np.zeros((len(order), width), bool)
    np.put_along_axis(marks, head, True, 1)
    return np.take_along_axis(marks, order, 1)
