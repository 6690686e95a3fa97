"""Item-item cosine over common owners; transposed, users for startups.

A pair counts once, however many events it has. Each owner adds 1 / root of the history length to the similarity of two
items (after Deshpande and Karypis 2004). So owners who view everything do not make all items similar. Old pairs count
less: on five data sets this decay never cost accuracy and often doubled the gain.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.data.batch import indptr_of
from models.data.bundle import Bundle
from models.data.interactions import Interactions, Span, last_seen, newest
from models.data.training_data import TrainingData
from models.errors import TooSparse
from models.item_neighbours import REVERSE, SPEC, NeighboursConfig, NeighboursReverseConfig
from models.schema import COUNTED_TYPES, PEOPLE_LEAST

#: Multiplications per block. They bound the memory of a block of the items x items product (12 bytes each at most).
BLOCK = 8_000_000
_VALUE_BITS = 31
#: Most recent pairs of a history that are compared; half as many, or a quarter, if the fit needs more than PRODUCTS
#: multiplications.
HISTORY, PRODUCTS = 500, 900_000_000
#: Most pairs that are stored. If there are many items, each keeps fewer neighbours than the setting says.
PAIRS = 60_000_000


def fit(data: TrainingData[NeighboursConfig]) -> Bundle:
    """Train the bundle item_neighbours_v1: startups with common users."""
    return fit_neighbours(SPEC.bundle, data.interactions, data.config, data.threads)


def fit_reverse(data: TrainingData[NeighboursReverseConfig]) -> Bundle:
    """Train the bundle item_neighbours_reverse_v1: users with common startups."""
    config = data.config.completed(data.table("item_neighbours"))
    return fit_neighbours(REVERSE.bundle, data.interactions.transposed(), config, data.threads, people=False)


def fit_neighbours(
    name: str,
    interactions: Interactions,
    config: NeighboursConfig,
    threads: int = 1,
    history: int = HISTORY,
    people: bool = True,
) -> Bundle:
    """Compute the csr of each item's `count` most similar items: indptr, indices, data; map item.

    data: the cosine in 0..1. Each term is halved for every `half_life_share` of the events' `Span` since the
    neighbour's pair.
    Indices ascend within a row, without the item itself; ties go to the lower row. An item without positive pairs has
    an empty row. Only an owner's newest `history` pairs are compared, which bounds the work; see HISTORY and PAIRS.
    people: add a second csr over the same pairs (people_indptr, people_indices, people_data). It counts people who met
    the row's item and had an event with the column's item. A cell is uint16 `EventType.code << 8 | number`, for the
    heaviest type with at least PEOPLE_LEAST people. The number is at most 255.
    Raises TooSparse without positive pairs.
    """
    liked = interactions.csr(damping="binary") > 0
    history = _affordable(np.diff(liked.indptr), history)
    keep = min(config.count, max(PAIRS // max(liked.shape[1], 1), 1))
    columns, fresh = _columns(interactions, liked, config.half_life_share, history)
    if not columns.nnz:
        raise TooSparse(
            "expected events of interest to compare items, got none before the cutoff: load events "
            "(`python -m pipelines import FOLDER`) or choose a later cutoff (P01)"
        )
    rows = sparse.csr_matrix(columns.T)
    work = partial(_best, rows, fresh, keep)
    with ThreadPoolExecutor(threads) as pool:
        bounds = list(_blocks(rows, fresh))
        blocks = list(pool.map(lambda block: work(*block), bounds))
        lengths, indices, data = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        arrays = {"indptr": indptr_of(lengths), "indices": indices, "data": data}
        if people:
            square = (rows.shape[0],) * 2
            near = sparse.csr_matrix((np.ones(len(data), np.int32), indices, arrays["indptr"]), shape=square)
            count = partial(_people, near, *_by_type(interactions, columns))
            counts = sparse.vstack(list(pool.map(lambda block: count(*block), bounds)), format="csr")
            arrays |= {f"people_{name}": getattr(counts, name) for name in ("indptr", "indices", "data")}
    told = {
        "neighbours": keep,
        "neighbours_history": history,
        "half_life_share": config.half_life_share,
        "rows": len(interactions),
        "pairs": int(columns.nnz),
        "similar_pairs": len(data),
        "items_with_neighbours": int((lengths > 0).sum()),
    }
    return Bundle(name, told, arrays, {"item": interactions.items})


def _affordable(lengths: NDArray[np.integer[Any]], history: int) -> int:
    """Return the longest history that takes at most PRODUCTS multiplications: `history`, its half, and so on.

    lengths: (owners,) number of positive pairs.
    """
    while history > 1 and int((np.minimum(lengths, history).astype(np.int64) ** 2).sum()) > PRODUCTS:
        history //= 2
    return history


def _columns(
    interactions: Interactions, liked: sparse.csr_matrix, share: float, history: int
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Return (owners, items) columns of length 1, and the same with cells decayed by the pair's age.

    Each row is first divided by the fourth root of its length. A product of two cells is then divided by the square
    root. liked: (owners, items) bool, the positive pairs.
    """
    owner = np.repeat(np.arange(liked.shape[0]), np.diff(liked.indptr))
    last = last_seen(interactions, owner, liked.indices)
    kept = newest(owner, liked.indices, last, history)
    owner, item, last = owner[kept], liked.indices[kept], last[kept]
    weight = np.bincount(owner, minlength=liked.shape[0])[owner] ** -0.25
    length = np.sqrt(np.bincount(item, weight * weight, minlength=liked.shape[1]))
    fade = Span.from_times(interactions.at).fading(last, share)
    plain, faded = (_matrix(w / length[item], owner, item, liked.shape) for w in (weight, weight * fade))
    return plain, faded


def _by_type(
    interactions: Interactions, columns: sparse.csr_matrix
) -> tuple[sparse.csr_matrix, list[tuple[int, sparse.csr_matrix]]]:
    """Return where owners met items, in total and by event type; only for the pairs of `columns`.

    The total is (items, owners) int32, 1 for a pair. Per type code, the heaviest first: (owners, items) int32.
    """
    met = sparse.csr_matrix((np.ones(columns.nnz, np.int32), columns.indices, columns.indptr), shape=columns.shape)
    kinds = met.multiply(interactions.kinds().astype(np.int32)).tocsr()
    found = []
    for kind in COUNTED_TYPES:
        did = kinds.copy()
        did.data = did.data >> kind.code & 1
        did.eliminate_zeros()
        if did.nnz:
            found.append((kind.code, did))
    return sparse.csr_matrix(met.T), found


def _people(
    near: sparse.csr_matrix,
    met: sparse.csr_matrix,
    did: list[tuple[int, sparse.csr_matrix]],
    start: int,
    stop: int,
) -> sparse.csr_matrix:
    """Return (stop - start, items) uint16 csr: see `fit_neighbours`.

    met, did: see `_by_type`.
    """
    wanted, rows = near[start:stop], met[start:stop]
    found = sparse.csr_matrix(wanted.shape, dtype=np.int32)
    for code, pairs in did:
        number = wanted.multiply(rows @ pairs).tocsr()
        number.data = np.where(number.data < PEOPLE_LEAST, 0, code << 8 | np.minimum(number.data, 255))
        number.eliminate_zeros()
        found = found + number
        wanted = wanted - wanted.multiply(number > 0)
        wanted.eliminate_zeros()
    found = found.tocsr().astype(np.uint16)
    found.sort_indices()
    return found


def _matrix(
    value: NDArray[np.float64], owner: NDArray[np.int64], item: NDArray[np.int32], shape: tuple[int, int]
) -> sparse.csr_matrix:
    matrix = sparse.coo_matrix((value.astype(np.float32), (owner, item)), shape=shape).tocsr()
    matrix.sort_indices()
    return matrix


def _blocks(rows: sparse.csr_matrix, columns: sparse.csr_matrix) -> Iterator[tuple[int, int]]:
    """Yield ranges of items whose product costs about BLOCK multiplications, at least one item each."""
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
    """Return lengths, indices and cosines of the `keep` nearest items of the items start..stop.

    Row, cosine and column are packed into one integer. One sort then puts each row's best first, ties by column. Bits
    of a positive float are ordered like its value.
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
    """Unpack sorted keys: int32 indices, ascending within a row, and float32 cosines, at most 1."""
    row, item = key >> (_VALUE_BITS + shift), key & ((1 << shift) - 1)
    bits = (1 << _VALUE_BITS) - 1 - ((key >> shift) & ((1 << _VALUE_BITS) - 1))
    order = np.argsort((row << shift) | item)
    return item[order].astype(np.int32), np.minimum(bits.astype(np.int32).view(np.float32), 1.0)[order]


def _bits(items: int) -> int:
    return max(int(items - 1).bit_length(), 1)
