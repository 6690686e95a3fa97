"""Accuracy of lists, per owner: hits, precision, recall, NDCG and average precision at K (C54).

Lists come ragged (indptr, item); the truth is a csr of owners x items. At K places: precision = hits / K (short lists
are not padded with luck), recall = hits / relevant, NDCG is binary with log2 discount and the ideal of
min(K, relevant), average precision is over min(K, relevant). An item that stands in a list again is a miss there.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from models.errors import DataError

K = 10


def places(indptr: np.ndarray, item: np.ndarray, k: int = K) -> np.ndarray:
    """(b, k) int64 items of the first k places of each ragged list, -1 behind the end of a short one."""
    length = np.minimum(np.diff(indptr), k)
    here = np.arange(k)[None, :] < length[:, None]
    shown = np.full(here.shape, -1, np.int64)
    shown[here] = item[(indptr[:-1, None] + np.arange(k))[here]]
    return shown


def hits_of(shown: np.ndarray, truth: sparse.csr_matrix) -> np.ndarray:
    """(b, k) bool: the place holds a relevant item.

    shown: (b, k) items as `places` gives them; a repeated item counts at its first place only. truth: (b, items),
    whose stored cells are the relevant pairs.
    """
    if shown.shape[0] != truth.shape[0]:
        raise DataError(f"expected a list an owner, got {shown.shape[0]} lists and a truth of {truth.shape[0]} owners")
    stride = truth.shape[1]
    owner = np.repeat(np.arange(truth.shape[0], dtype=np.int64), np.diff(truth.indptr))
    keys = np.sort(owner * stride + truth.indices)
    wanted = np.arange(shown.shape[0], dtype=np.int64)[:, None] * stride + shown
    return np.asarray((shown >= 0) & ~repeated(shown) & _contains(keys, wanted))


def ndcg_of(shown: np.ndarray, truth: sparse.csr_matrix) -> np.ndarray:
    """(b,) NDCG of each owner's places: shown (b, k) as `places` gives them, truth (b, items) the relevant pairs."""
    return at_k(hits_of(shown, truth), np.diff(truth.indptr))["ndcg"]


def at_k(hits: np.ndarray, relevant: np.ndarray, k: int = K) -> dict[str, np.ndarray]:
    """Precision, recall, NDCG and average precision, each (b,) float64 in 0..1.

    hits: (b, k) bool in list order. relevant: (b,) how many items each owner has in the truth; 0 gives 0.
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


def repeated(shown: np.ndarray) -> np.ndarray:
    """(b, k) bool: the item already stood at an earlier place of its list."""
    again = np.zeros(shown.shape, bool)
    for place in range(1, shown.shape[1]):
        again[:, place] = (shown[:, :place] == shown[:, place][:, None]).any(1)
    return again


def _contains(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Which of `wanted` stand in the ascending `keys`."""
    if not len(keys):
        return np.zeros(wanted.shape, bool)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.asarray(keys[place] == wanted)
