"""Scaling of scores within an owner's candidates: min-max or ranks (A23, C09, R06)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def min_max(score: NDArray[np.float32], indptr: NDArray[np.int64]) -> NDArray[np.float32]:
    """(nnz,) each owner's scores scaled to 0..1 (A23, C09).

    score: (nnz,) raw; NaN (no score) stays NaN. Equal scores, or a single one, become 0.5 (R06). indptr: (b + 1,).
    """
    length = np.diff(indptr)
    full = np.flatnonzero(length)
    low, high = np.full(len(length), np.inf, np.float32), np.full(len(length), -np.inf, np.float32)
    if len(full):
        low[full] = np.fmin.reduceat(score, indptr[full])
        high[full] = np.fmax.reduceat(score, indptr[full])
    with np.errstate(invalid="ignore"):
        span = (high - low).astype(np.float32)
        low, span = np.repeat(low, length), np.repeat(span, length)
        flat = span <= 0
        scaled = (score - low) / np.where(flat, 1, span)
    return np.where(flat & ~np.isnan(score), np.float32(0.5), scaled).astype(np.float32)


def ranks(score: NDArray[np.float32], owner: NDArray[np.int32], indptr: NDArray[np.int64]) -> NDArray[np.int64]:
    """(nnz,) rank from 1 within each owner, best score first, ties by position; NaN ranks last."""
    order = np.lexsort((-np.nan_to_num(score, nan=-np.inf), owner))
    rank = np.empty(len(score), np.int64)
    rank[order] = np.arange(len(score)) - indptr[owner] + 1
    return rank


def log_rank(score: NDArray[np.float32], indptr: NDArray[np.int64]) -> NDArray[np.float32]:
    """(nnz,) ln of the rank within each owner, from rank 1, best first, ties by position, NaN last."""
    length = np.diff(indptr)
    width = int(length.max(initial=0))
    present = np.arange(width) < length[:, None]
    cells = np.full(present.shape, -np.inf, np.float32)
    cells[present] = np.nan_to_num(score, nan=-3e38)
    rank = np.empty(present.shape, np.float32)
    np.put_along_axis(rank, order_by_score(cells), np.log(np.arange(1, width + 1, dtype=np.float32))[None, :], 1)
    return rank[present]


def order_by_score(score: NDArray[np.float32]) -> NDArray[np.int64]:
    """(b, w) columns of (b, w) scores in order, best first, ties by column.

    Score and column are packed into one integer: a plain sort is several times faster than a stable argsort.
    """
    bits = (score + np.float32(0)).view(np.int32)  # -0.0 becomes 0.0
    falling = ~(bits ^ ((bits >> 31) & 0x7FFFFFFF))  # signed, ascending where scores descend
    key = (falling.astype(np.int64) << 32) | np.arange(score.shape[1])
    key.sort(axis=1)
    return key & 0xFFFFFFFF
