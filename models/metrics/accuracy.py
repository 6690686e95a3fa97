"""Accuracy of lists per owner: hits, precision, recall, NDCG and average precision at K (C54).

Lists are ragged (indptr, item). The truth is a csr of owners x items. precision = hits / K, recall = hits / relevant.
NDCG is graded by the truth's values, with log2 discount over the ideal order (Järvelin and Kekäläinen 2002). Average
precision is divided by min(K, relevant). A repeated item in a list is a miss.
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
    return gains_at(shown, truth) > 0


def gains_at(shown: NDArray[np.int64], truth: sparse.csr_matrix) -> NDArray[np.float64]:
    """Return (b, k) gain of each position, 0 for an item that is not relevant. See `hits_of`."""
    if shown.shape[0] != truth.shape[0]:
        raise DataError(f"expected one list per owner, got {shown.shape[0]} lists for {truth.shape[0]} owners")
    stride = truth.shape[1]
    owner = np.repeat(np.arange(truth.shape[0], dtype=np.int64), np.diff(truth.indptr))
    keys = owner * stride + truth.indices
    order = np.argsort(keys)
    wanted = np.arange(shown.shape[0], dtype=np.int64)[:, None] * stride + shown
    there = (shown >= 0) & ~repeated(shown)
    return np.where(there, _looked_up(keys[order], _gains(truth)[order], wanted), 0.0)


def _gains(truth: sparse.csr_matrix) -> NDArray[np.float64]:
    """Return (nnz,) gains as shares of the largest: NDCG does not depend on their scale, and equal gains are 1."""
    gains = truth.data.astype(np.float64)
    return gains / max(gains.max(initial=0.0), 1e-9)


def accuracy_of(shown: NDArray[np.int64], truth: sparse.csr_matrix, k: int = K) -> dict[str, NDArray[np.float64]]:
    """Return the metrics of `at_k`, NDCG with the gains of the truth. truth: (b, items), the gain of relevant pairs."""
    relevant = np.diff(truth.indptr)
    owner = np.repeat(np.arange(truth.shape[0]), relevant)
    gains = _gains(truth)
    order = np.lexsort((-gains, owner))
    position = np.arange(len(gains)) - truth.indptr[owner]
    best = np.zeros((truth.shape[0], k))
    top = position < k
    best[owner[top], position[top]] = gains[order][top]
    return at_k(gains_at(shown, truth), relevant, k, _dcg(best))


def ndcg_of(shown: NDArray[np.int64], truth: sparse.csr_matrix) -> NDArray[np.float64]:
    """Return (b,) NDCG of each owner.

    shown: (b, k) from `places`. truth: (b, items) relevant pairs.
    """
    return accuracy_of(shown, truth)["ndcg"]


def at_k(
    gained: NDArray[Any], relevant: NDArray[Any], k: int = K, ideal: NDArray[np.float64] | None = None
) -> dict[str, NDArray[np.float64]]:
    """Return precision, recall, NDCG and average precision, (b,) float64 in 0..1 each.

    gained: (b, k) gains, or bool hits, in list order. relevant: (b,) number of relevant items; 0 gives 0.
    ideal: (b,) DCG of the ideal list; None: that of hits.
    """
    gained = np.asarray(gained[:, :k], dtype=float)
    hits = (gained > 0).astype(float)
    relevant = np.maximum(np.asarray(relevant, dtype=float), 1)
    best = np.minimum(relevant, k).astype(int)
    if ideal is None:
        ideal = np.cumsum(1 / np.log2(np.arange(2, k + 2)))[best - 1]
    precision_here = np.cumsum(hits, 1) / np.arange(1, hits.shape[1] + 1)
    return {
        "precision": hits.sum(1) / k,
        "recall": hits.sum(1) / relevant,
        "ndcg": _dcg(gained) / np.where(ideal > 0, ideal, 1.0),
        "map": (precision_here * hits).sum(1) / best,
    }


def _dcg(gained: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (b,) discounted gain. gained: (b, k) in list order."""
    discounted = gained / np.log2(np.arange(2, gained.shape[1] + 2))
    return np.cumsum(discounted, 1)[:, -1] if gained.shape[1] else np.zeros(len(gained))


def repeated(shown: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (b, k) bool: an earlier position of the list holds the same item."""
    again = np.zeros(shown.shape, bool)
    for place in range(1, shown.shape[1]):
        again[:, place] = (shown[:, :place] == shown[:, place][:, None]).any(1)
    return again


def _looked_up(keys: NDArray[np.int64], gains: NDArray[np.float64], wanted: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the gain of each wanted key, 0 for others. keys: ascending."""
    if not len(keys):
        return np.zeros(wanted.shape)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, gains[place], 0.0)


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
