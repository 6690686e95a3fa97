"""Item-item cosine: who met this also met that. Startups for users, and users for startups once transposed.

Before factors in sparse data: with few events a pair of items says more than a hundred dimensions do. A pair counts
once, however often it met, and two items met by one owner count 1 / root of that owner's history length, so that
somebody who looked at everything does not make everything alike (after Deshpande and Karypis 2004). What an item was
met by long ago speaks less for showing it now: measured on five sets, that fade never costs and often doubles the gain.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.data.batch import indptr_of
from models.data.bundle import Bundle
from models.data.interactions import Interactions, Span, last_seen, newest
from models.data.training_data import TrainingData
from models.errors import TooSparse
from models.item_neighbours import REVERSE, SPEC, NeighboursConfig, NeighboursReverseConfig

#: Multiplications of one block: bounds what a block of the items x items product can hold (12 bytes each at worst).
BLOCK = 8_000_000
_VALUE_BITS = 31
#: Newest pairs of a history that are compared.
HISTORY = 500


def fit(data: TrainingData[NeighboursConfig]) -> Bundle:
    """The bundle item_neighbours_v1: startups by the people they share."""
    return fit_neighbours(SPEC.bundle, data.interactions, data.config, data.threads)


def fit_reverse(data: TrainingData[NeighboursReverseConfig]) -> Bundle:
    """The bundle item_neighbours_reverse_v1: people by the startups they share."""
    config = data.config.completed(data.table("item_neighbours"))
    return fit_neighbours(REVERSE.bundle, data.interactions.transposed(), config, data.threads)


def fit_neighbours(
    name: str, interactions: Interactions, config: NeighboursConfig, threads: int = 1, history: int = HISTORY
) -> Bundle:
    """The csr of the `count` most similar items of each item, as arrays indptr, indices, data; map item.

    data is the cosine in 0..1, its parts halved for every `half_life_share` of the events' `Span` since the neighbour
    was met; indices ascend within a row, an item is no neighbour of its own; of equally similar items those with the
    lower row are kept. An item nobody was interested in has an empty row. Of a history longer than
    `history` only the newest pairs are compared, which bounds the work by events x that length.
    Raises TooSparse where there is no interest at all.
    """
    columns, fresh = _columns(interactions, config.half_life_share, history)
    if not columns.nnz:
        raise TooSparse(
            "expected events of interest to compare items by, got none before the cutoff: load events "
            "(`python -m pipelines import FOLDER`) or choose a later cutoff (P01)"
        )
    rows = sparse.csr_matrix(columns.T)
    work = partial(_best, rows, fresh, config.count)
    with ThreadPoolExecutor(threads) as pool:
        blocks = list(pool.map(lambda block: work(*block), _blocks(rows, fresh)))
    lengths, indices, data = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    arrays = {"indptr": indptr_of(lengths), "indices": indices, "data": data}
    told = {
        "neighbours": config.count,
        "neighbours_history": history,
        "half_life_share": config.half_life_share,
        "rows": len(interactions),
        "pairs": int(columns.nnz),
        "similar_pairs": len(data),
        "items_with_neighbours": int((lengths > 0).sum()),
    }
    return Bundle(name, told, arrays, {"item": interactions.items})


def _columns(interactions: Interactions, share: float, history: int) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """(owners, items) float32 columns of length 1, and the same with every cell faded by the age of its pair.

    Before, each row was divided by the fourth root of its length, so that the product of two cells is by the root.
    """
    liked = interactions.csr(damping="binary") > 0
    owner = np.repeat(np.arange(liked.shape[0]), np.diff(liked.indptr))
    last = last_seen(interactions, owner, liked.indices)
    kept = newest(owner, liked.indices, last, history)
    owner, item, last = owner[kept], liked.indices[kept], last[kept]
    weight = np.bincount(owner, minlength=liked.shape[0])[owner] ** -0.25
    length = np.sqrt(np.bincount(item, weight * weight, minlength=liked.shape[1]))
    fade = Span.from_times(interactions.at).fading(last, share)
    plain, faded = (_matrix(w / length[item], owner, item, liked.shape) for w in (weight, weight * fade))
    return plain, faded


def _matrix(
    value: NDArray[np.float64], owner: NDArray[np.int64], item: NDArray[np.int32], shape: tuple[int, int]
) -> sparse.csr_matrix:
    matrix = sparse.coo_matrix((value.astype(np.float32), (owner, item)), shape=shape).tocsr()
    matrix.sort_indices()
    return matrix


def _blocks(rows: sparse.csr_matrix, columns: sparse.csr_matrix) -> Iterator[tuple[int, int]]:
    """Ranges of items whose product costs about BLOCK multiplications each (one item at least)."""
    cost = np.diff(columns.indptr)[rows.indices].astype(np.int64)
    per_item = np.add.reduceat(np.append(cost, 0), rows.indptr[:-1]) * (np.diff(rows.indptr) > 0)
    block = np.minimum(np.cumsum(per_item) // BLOCK, np.iinfo(np.int64).max)
    most = 1 << (63 - _VALUE_BITS - _bits(rows.shape[0]))
    edges = np.flatnonzero(np.append(True, block[1:] != block[:-1]))
    edges = np.unique(np.concatenate([edges, np.arange(0, rows.shape[0], most), [rows.shape[0]]]))
    return zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)


def _best(
    rows: sparse.csr_matrix, columns: sparse.csr_matrix, keep: int, start: int, stop: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Lengths, indices and cosines of the `keep` nearest of the items start..stop.

    Row, cosine (bits of a positive float ascend like its value) and column are packed into one integer: a single
    sort brings each row's best to its front, lower columns first among equals.
    """
    block = rows[start:stop] @ columns
    shift = _bits(rows.shape[0])
    row = np.repeat(np.arange(stop - start, dtype=np.int64), np.diff(block.indptr))
    other = (block.indices != row + start) & (block.data > 0)
    row, item = row[other], block.indices[other].astype(np.int64)
    far = (1 << _VALUE_BITS) - 1 - block.data[other].view(np.int32).astype(np.int64)
    key = np.sort((row << (_VALUE_BITS + shift)) | (far << shift) | item)
    row = key >> (_VALUE_BITS + shift)
    first = np.searchsorted(row, np.arange(stop - start + 1))
    key = key[np.arange(len(key)) - first[row] < keep]
    return np.minimum(np.diff(first), keep), *_unpacked(key, shift)


def _unpacked(key: NDArray[np.int64], shift: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Indices (int32, ascending within a row) and cosines (float32, at most 1) of sorted keys."""
    row, item = key >> (_VALUE_BITS + shift), key & ((1 << shift) - 1)
    bits = (1 << _VALUE_BITS) - 1 - ((key >> shift) & ((1 << _VALUE_BITS) - 1))
    order = np.argsort((row << shift) | item)
    return item[order].astype(np.int32), np.minimum(bits.astype(np.int32).view(np.float32), 1.0)[order]


def _bits(items: int) -> int:
    return max(int(items - 1).bit_length(), 1)
