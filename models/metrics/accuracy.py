"""Accuracy of lists per owner: hits, precision, recall, NDCG and average precision at K (C54).

Lists are ragged (indptr, item). The truth is a csr of owners x items. precision = hits / K, recall = hits / relevant.
NDCG is binary, with log2 discount and the ideal of min(K, relevant) items. Average precision is divided by min(K,
relevant). A repeated item in a list is a miss.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.errors import DataError

K = 10


def places(indptr: NDArray[np.int64], item: NDArray[np.integer[Any]], k: int = K) -> NDArray[np.int64]:
    """Return (b, k) items of the first k positions of each ragged list, padded with -1."""
    length = np.minimum(np.diff(indptr), k)
    here = np.arange(k)[None, :] < length[:, None]
    shown = np.full(here.shape, -1, np.int64)
    shown[here] = item[(indptr[:-1, None] + np.arange(k))[here]]
    return shown


def hits_of(shown: NDArray[np.int64], truth: sparse.csr_matrix) -> NDArray[np.bool_]:
    """Return (b, k) bool: the position holds a relevant item.

    shown: (b, k) from `places`; of a repeated item only the first counts. truth: (b, items) csr of relevant pairs.
    """
    if shown.shape[0] != truth.shape[0]:
        raise DataError(f"expected one list per owner, got {shown.shape[0]} lists for {truth.shape[0]} owners")
    stride = truth.shape[1]
    owner = np.repeat(np.arange(truth.shape[0], dtype=np.int64), np.diff(truth.indptr))
    keys = np.sort(owner * stride + truth.indices)
    wanted = np.arange(shown.shape[0], dtype=np.int64)[:, None] * stride + shown
    return np.asarray((shown >= 0) & ~repeated(shown) & _contains(keys, wanted))


def ndcg_of(shown: NDArray[np.int64], truth: sparse.csr_matrix) -> NDArray[np.float64]:
    """Return (b,) NDCG of each owner.

    shown: (b, k) from `places`. truth: (b, items) relevant pairs.
    """
    return at_k(hits_of(shown, truth), np.diff(truth.indptr))["ndcg"]


def at_k(hits: NDArray[np.bool_], relevant: NDArray[Any], k: int = K) -> dict[str, NDArray[np.float64]]:
    """Return precision, recall, NDCG and average precision, (b,) float64 in 0..1 each.

    hits: (b, k) bool in list order. relevant: (b,) number of relevant items; 0 gives 0.
    """
    hits = np.asarray(hits[:, :k], dtype=float)
    relevant = np.maximum(np.asarray(relevant, dtype=float), 1)
    best = np.minimum(relevant, k).astype(int)
    discount = 1 / np.log2(np.arange(2, k + 2))[: hits.shape[1]]
    ideal = np.cumsum(1 / np.log2(np.arange(2, k + 2)))
    precision_here = np.cumsum(hits, 1) / np.arange(1, hits.shape[1] + 1)
    return {
        "precision": hits.sum(1) / k,
        "recall": hits.sum(1) / relevant,
        "ndcg": (hits * discount).sum(1) / ideal[best - 1],
        "map": (precision_here * hits).sum(1) / best,
    }


def repeated(shown: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (b, k) bool: an earlier position of the list holds the same item."""
    again = np.zeros(shown.shape, bool)
    for place in range(1, shown.shape[1]):
        again[:, place] = (shown[:, :place] == shown[:, place][:, None]).any(1)
    return again


def _contains(keys: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.bool_]:
    if not len(keys):
        return np.zeros(wanted.shape, bool)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.asarray(keys[place] == wanted)


#: Persistence of rank-biased overlap: the first ten positions have 86 % of the weight.
PERSISTENCE = 0.9


def mix_distance(share: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the total variation distance of two distributions, 0..1."""
    return float(np.abs(share - other).sum() / 2)


def overlap(shown: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (b,) shared items as a share of the longer ranking; 1 if both are empty."""
    longer = np.maximum(_length(shown), _length(other))
    return np.where(longer > 0, _agreed(shown, other)[:, -1] / np.maximum(longer, 1), 1.0)


def rank_biased_overlap(
    shown: NDArray[np.int64], other: NDArray[np.int64], p: float = PERSISTENCE
) -> NDArray[np.float64]:
    """Return (b,) rank-biased overlap: 0 for disjoint rankings, 1 for equal ones.

    Past the last position it extrapolates by equation 32 (Webber et al. 2010), for unequal lengths too.
    """
    agreed, depth = _agreed(shown, other).astype(float), np.arange(1, shown.shape[1] + 1)
    lengths = np.stack([_length(shown), _length(other)])
    short, long = lengths.min(axis=0)[:, None], lengths.max(axis=0)[:, None]
    at_short, at_long = _at(agreed, short), _at(agreed, long)
    known = np.where(depth <= long, agreed / depth, 0)
    behind = np.where((depth > short) & (depth <= long), at_short * (depth - short) / (np.maximum(short, 1) * depth), 0)
    series = (1 - p) / p * ((known + behind) * p**depth).sum(axis=1)
    rest = ((at_long - at_short) / np.maximum(long, 1) + at_short / np.maximum(short, 1))[:, 0] * p ** long[:, 0]
    return np.where(long[:, 0] > 0, series + rest, 1.0)


def _agreed(shown: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (b, k) number of items that the first 1, 2 … k positions of both rankings share."""
    owners, k = shown.shape
    stride = int(max(shown.max(initial=0), other.max(initial=0))) + 1
    key, wanted = (np.arange(owners, dtype=np.int64)[:, None] * stride + side for side in (other, shown))
    there = np.flatnonzero(other >= 0)
    order = there[np.argsort(key.ravel()[there])]
    keys = key.ravel()[order]
    place = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
    met = (shown >= 0) & (keys[place] == wanted) if len(keys) else np.zeros(shown.shape, bool)
    owner, mine = np.nonzero(met)
    theirs = order[place[met]] % k
    both = np.bincount(owner * k + np.maximum(mine, theirs), minlength=owners * k)
    return np.asarray(both.reshape(owners, k).cumsum(axis=1))


def _length(shown: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray((shown >= 0).sum(axis=1))


def _at(agreed: NDArray[np.float64], depth: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (b, 1) value at a depth; 0 at depth 0."""
    return np.where(depth > 0, np.take_along_axis(agreed, np.maximum(depth - 1, 0), axis=1), 0)


def reliability(
    score: NDArray[np.floating[Any]], hit: NDArray[np.bool_], bins: int = 10
) -> list[dict[str, float | int]]:
    """Compare scores with outcomes: {"score": mean, "rate": observed, "count"} per bin, lowest first.

    There are at most `bins` bins of about equally many pairs. Equal scores share a bin.
    score: (n,) finite. hit: (n,) bool, the pair had a positive outcome.
    Raises DataError if the lengths differ.
    """
    if len(score) != len(hit):
        raise DataError(f"expected one hit per score, got {len(score)} scores and {len(hit)} hits")
    values, place, count = np.unique(np.asarray(score, float), return_inverse=True, return_counts=True)
    if not len(values):
        return []
    middle = np.cumsum(count) - count / 2
    group = np.minimum((middle * bins / len(score)).astype(int), bins - 1)[place]
    found = []
    for i in np.unique(group).tolist():
        mine = group == i
        found.append(
            {
                "score": round(float(np.mean(score[mine])), 6),
                "rate": round(float(np.mean(hit[mine])), 6),
                "count": int(mine.sum()),
            }
        )
    return found
