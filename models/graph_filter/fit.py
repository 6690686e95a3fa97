"""A linear graph filter: two-hop neighbours, the largest eigenvectors sharpened; no training.

An item's score is the sum of rows of F = D^-h (p P + V (q(L) - p L) V') D^h + b D^-e V V' D^e, h = e / 2, one for each
startup of the history. P is the gram matrix of the interactions. Each cell is divided by both sides' counts to the
power e (D: the startups' counts). P is scaled to a largest eigenvalue of 1. V, L are its largest eigenvectors and
values. q(x) = 1/2 - sign(1 - 2x) |1 - 2x|^p / 2 lifts large eigenvalues to a plateau (ChebyCF, Kim et al. 2025).
Beyond the kept eigenvectors it is p x, its slope at 0. With p = 1 it is GF-CF (Shen et al. 2021). h lies halfway
between no preference for popular startups (0) and ChebyCF's (e); docs/decisions/0056-graph-filter.md has figures.
Each row's largest cells are stored and served like item neighbours.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.data.batch import indptr_of
from models.data.bundle import Bundle
from models.data.interactions import Interactions, Span, last_seen
from models.data.training_data import TrainingData
from models.errors import TooSparse
from models.graph_filter import SPEC, GraphFilterConfig

#: Cells of the filter in memory per thread; most startups for which it is computed.
CELLS, LARGEST = 8_000_000, 100_000
#: Cells stored per row.
NEIGHBOURS = 500


@dataclass(frozen=True, eq=False)
class _Parts:
    """The filter F = gram of `meetings` + left @ right, with rows and columns multiplied by `row` and `column`.

    left: (items, 2 d). right: (2 d, items). row, column: (items,).
    """

    meetings: sparse.csr_matrix
    left: NDArray[np.float32]
    right: NDArray[np.float32]
    row: NDArray[np.float32]
    column: NDArray[np.float32]


def fit(data: TrainingData[GraphFilterConfig]) -> Bundle:
    """Train the bundle graph_filter_v1, with the half-life of [item_neighbours]."""
    share = data.table("item_neighbours").half_life_share
    return fit_graph_filter(SPEC.bundle, data.interactions, data.config, share, data.seed, data.threads)


def fit_graph_filter(
    name: str,
    interactions: Interactions,
    config: GraphFilterConfig,
    half_life_share: float = 0.5,
    seed: int = 42,
    threads: int = 1,
    keep: int = NEIGHBOURS,
) -> Bundle:
    """Compute the csr of each row's `keep` largest cells: indptr, indices, data; map item.

    Cells are positive float32 off the diagonal. A column is multiplied by the mean decay of its pairs, halved for every
    `half_life_share` of the data's span. Equal bytes for any number of threads.
    Raises TooSparse with more than LARGEST items, or fewer than `min_pairs` items per owner on average: there it adds
    nothing to neighbours.
    """
    liked, fresh = _meetings(interactions, half_life_share)
    _check_dense_enough(liked, config)
    met = np.flatnonzero(liked.getnnz(axis=0))
    parts = _parts(liked[:, met].tocsr(), fresh[met], config, seed)
    rows = max(1, CELLS // len(met))
    blocks = [(start, min(start + rows, len(met))) for start in range(0, len(met), rows)]
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(lambda b: _largest(_block(parts, *b), keep), blocks))
    lengths = np.zeros(len(interactions.items), np.int64)
    lengths[met] = np.concatenate([f[0] for f in found])
    indices, data = (np.concatenate([f[place] for f in found]) for place in (1, 2))
    told = {
        "rank": parts.left.shape[1] // 2,
        "weight": config.weight,
        "sharpening": config.sharpening,
        "exponent": config.exponent,
        "neighbours": keep,
        "half_life_share": half_life_share,
        "seed": seed,
        "rows": len(interactions),
        "pairs": int(liked.nnz),
        "cells": len(data),
    }
    arrays = {"indptr": indptr_of(lengths), "indices": met[indices].astype(np.int32), "data": data}
    return Bundle(name, told, arrays, {"item": interactions.items})


def _meetings(interactions: Interactions, share: float) -> tuple[sparse.csr_matrix, NDArray[np.float32]]:
    """Return (owners, items), 1 for a positive pair, and (items,) mean decay of each item's pairs."""
    liked = (interactions.csr(damping="binary") > 0).astype(np.float32)
    if not (share > 0 and liked.nnz):
        return liked, np.ones(liked.shape[1], np.float32)
    owner = np.repeat(np.arange(liked.shape[0]), np.diff(liked.indptr))
    last = last_seen(interactions, owner, liked.indices)
    fade = Span.from_times(interactions.at).fading(last, share)
    total = np.bincount(liked.indices, fade, minlength=liked.shape[1])
    return liked, (total / np.maximum(liked.getnnz(axis=0), 1)).astype(np.float32)


def _check_dense_enough(liked: sparse.csr_matrix, config: GraphFilterConfig) -> None:
    owners, items = int((liked.getnnz(axis=1) > 0).sum()), int((liked.getnnz(axis=0) > 0).sum())
    mean = liked.nnz / max(owners, 1)
    if mean < config.min_pairs or min(owners, items) < 3:
        raise TooSparse(
            f"expected {config.min_pairs:g} or more items per owner on average for a graph filter to pay, "
            f"got {mean:.1f}; lower [graph_filter] min_pairs to use it anyway"
        )
    if items > LARGEST:
        raise TooSparse(f"expected at most {LARGEST} items for a graph filter, got {items}, which would take hours")


def _parts(liked: sparse.csr_matrix, fresh: NDArray[np.float32], config: GraphFilterConfig, seed: int) -> _Parts:
    from sklearn.utils.extmath import randomized_svd
    from threadpoolctl import threadpool_limits

    power = -config.exponent
    per_owner = np.maximum(np.diff(liked.indptr), 1).astype(np.float64) ** power
    per_item = liked.getnnz(axis=0).astype(np.float64) ** power
    meetings = (sparse.diags(per_owner) @ liked @ sparse.diags(per_item)).tocsr().astype(np.float32)
    meetings.sort_indices()
    rank = max(min(config.rank, min(meetings.shape) // 8), 1)
    with threadpool_limits(1, "blas"):  # the rounding of a product depends on the number of threads
        _, size, right = randomized_svd(meetings, rank, n_iter=6, random_state=seed)
    value, vectors, slope = (size / size[0]) ** 2, right.astype(np.float32), config.sharpening
    meetings.data *= np.float32(np.sqrt(slope) / size[0])
    plateau = 0.5 - 0.5 * np.sign(1 - 2 * value) * np.abs(1 - 2 * value) ** slope
    half = np.sqrt(per_item).astype(np.float32)
    left = np.concatenate([(plateau - slope * value)[:, None] * vectors, config.weight * vectors * half])
    right = np.concatenate([vectors, vectors / half])
    return _Parts(meetings, left.T.astype(np.float32), right, half, fresh / half)


def _block(parts: _Parts, start: int, stop: int) -> NDArray[np.float32]:
    """Compute (stop - start, items) rows of the filter, with diagonal 0."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):
        dense = parts.left[start:stop] @ parts.right
    hops = (parts.meetings[:, start:stop].T.tocsr() @ parts.meetings).tocsr()
    row = np.repeat(np.arange(stop - start), np.diff(hops.indptr))
    dense[row, hops.indices] += hops.data
    dense[np.arange(stop - start), np.arange(start, stop)] = 0.0
    dense *= parts.row[start:stop, None]
    dense *= parts.column
    return dense


def _largest(dense: NDArray[np.float32], keep: int) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Return lengths, ascending indices and values of each row's `keep` largest positive cells.

    Ties go by column.
    """
    width = dense.shape[1]
    if keep < width:
        least = np.partition(dense, width - keep, axis=1)[:, width - keep, None]
        above, equal = dense > least, dense == least
        equal &= np.cumsum(equal, axis=1, dtype=np.int32) <= keep - above.sum(axis=1, keepdims=True)
        chosen = (above | equal) & (dense > 0)
    else:
        chosen = dense > 0
    return chosen.sum(axis=1), np.nonzero(chosen)[1].astype(np.int32), dense[chosen]
