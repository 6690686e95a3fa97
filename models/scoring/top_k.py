"""Exact top-k of owners x items for factor models, without the whole owners x items matrix.

    chunk of owners -> product (cache-sized, reused buffer) -> barred pairs to the minimum
        -> maximum of strided blocks -> k-th block maximum: a lower bound of the k-th best item
        -> items that reach it -> their scores -> one integer sort

Vectors are rounded to a grid (`on_grid`), so that float32 products are exact in any order of summation: chunks,
batches, threads and processors make no difference. A product may be approximate if its error is bounded (bfloat16 in
pipelines). Exact scores decide then, too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.data.batch import Proposal, indptr_of

#: Columns of a product are a multiple of this: whole strided blocks, and whole words of the mask.
WIDTH = 128
_BLOCKS = (16, 8, 4, 2)
_PAIRS = 512  # pairs per block: two gathered blocks of 256 KiB at 128 factors fit into the second-level cache
_RUN = 128  # with this many pairs of one owner in a row it is cheaper to score them together
_HOT = 1 << 20  # bytes of a product that are read twice in a row, for the same reason
_BUFFER = 64_000_000  # entries of a chunk's product; a chunk of few owners reads all vectors too often
_BLOCK = 8192  # rows that are rounded, or whose lengths are computed, at once
_LONGEST = 2**12  # steps of the grid in a vector: the square is the largest integer below which float32 has all
_SMALLEST = -62  # exponent of the smallest step, so that products are no subnormal numbers

#: From an array to the array to hold in its place, with equal content.
Keep = Callable[[NDArray[Any]], NDArray[Any]]


def on_grid(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Round each row of (n, d) to multiples of a power of two, at most 2^12 of them long.

    Every partial sum of a dot product of two such rows is a whole number of the product of both steps, at most 2^24 by
    Cauchy-Schwarz. So float32 holds it exactly. A coordinate changes by less than 1/4000 of the row's length.
    Rows shorter than 1e-18 become zero.
    """
    most = np.float32(_LONGEST - np.sqrt(vectors.shape[1]) / 2)  # rounding adds half a step to each coordinate at most
    found = np.empty(vectors.shape, np.float32)
    for start in range(0, len(vectors), _BLOCK):  # little memory for what is in between
        part = vectors[start : start + _BLOCK]
        step = np.ldexp(np.float32(1), np.maximum(np.frexp(lengths(part) / most)[1], _SMALLEST))[:, None]
        np.multiply(np.rint(part / step), step, out=found[start : start + _BLOCK])
    return found


class Product(Protocol):
    """Scores of all items for a chunk of owners, or values in almost the same order. All vectors are `on_grid`.

    vectors: (m, d) item vectors. weight: (m,) factors of the scores, 0 or more, or None.
    chunk: best number of owners per call. lowest: sorts below every score.
    """

    vectors: NDArray[Any]
    weight: NDArray[Any] | None
    chunk: int
    lowest: Any

    def product(self, owners: NDArray[np.float32], barred: sparse.csr_matrix) -> NDArray[Any]:
        """Return (c, width) of (c, d) owners. The next call on the same thread reuses the array.

        width: m rounded up to WIDTH. barred: (c, m). Barred pairs and columns past m are `lowest`.
        """
        ...

    def floor(self, owners: NDArray[np.float32], kth: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return the least value of a true top-k item, if k items reach `kth` (c,).

        Returns (c,) floors above `lowest` and (c,) bool. Where it is False there is no bound, and the owner is computed
        again in float32.
        """
        ...

    def score(
        self, owners: NDArray[np.float32], owner: NDArray[np.integer[Any]], item: NDArray[np.integer[Any]]
    ) -> NDArray[np.float32]:
        """Return (n,) exact scores of pairs, barred ones too. It is fast for the owners of the last `product`."""
        ...

    def weighted(self, weight: NDArray[np.float32]) -> Product:
        """Return the same product with scores multiplied by item weights (m,), 0 or more."""
        ...


class Float32Product:
    """The exact product by BLAS.

    vectors: (m, d) `on_grid`. keep: returns the array to hold, such as a memory-mapped copy.
    """

    lowest = np.float32(-np.inf)
    weight: NDArray[np.float32] | None = None

    def __init__(self, vectors: NDArray[np.float32], keep: Keep = np.asarray) -> None:
        whole = keep(padded(np.ascontiguousarray(vectors, np.float32)))
        self.vectors, self._columns = whole[: len(vectors)], whole.T  # two views of one array
        self._scratch, self._last = Scratch(), _Last()
        self.chunk = max(16, min(256, _BUFFER // max(1, self._columns.shape[1])))

    def product(self, owners: NDArray[np.float32], barred: sparse.csr_matrix) -> NDArray[np.float32]:
        """See `Product.product`. A thread keeps its last one, because `score` and `WeightedProduct` need it again."""
        last = self._last
        if last.owners is not owners or last.barred is not barred:
            last.owners = None
            last.scores = self._scratch.array("product", (len(owners), self._columns.shape[1]), np.float32)
            without(self._multiply(owners, barred, last.scores), len(self.vectors), barred, self.lowest)
            last.owners, last.barred = owners, barred
        return last.scores

    def _multiply(
        self,
        owners: NDArray[np.float32],
        barred: sparse.csr_matrix,  # noqa: ARG002 - for `WeightedProduct`
        out: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        return np.matmul(owners, self._columns, out=out)

    def floor(
        self,
        owners: NDArray[np.float32],  # noqa: ARG002 - the scores are exact
        kth: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        return np.maximum(kth, np.finfo(np.float32).min), np.ones(len(kth), bool)

    def score(
        self, owners: NDArray[np.float32], owner: NDArray[np.integer[Any]], item: NDArray[np.integer[Any]]
    ) -> NDArray[np.float32]:
        """See `Product.score`."""
        if self._last.owners is not owners:
            return exact(self, owners, owner, item)
        scores = self._last.scores
        found = scores.reshape(-1).take(owner * np.int64(scores.shape[1]) + item) + np.float32(0)
        barred = np.flatnonzero(found == self.lowest)
        if len(barred):
            found[barred] = exact(self, owners, owner[barred], item[barred])
        return found

    def weighted(self, weight: NDArray[np.float32]) -> WeightedProduct:
        return WeightedProduct(self, weight)


class WeightedProduct(Float32Product):
    """The scores of another product multiplied by item weights (m,). It has no vectors of its own."""

    def __init__(self, plain: Float32Product, weight: NDArray[np.float32]) -> None:
        self.vectors, self.weight, self._plain = plain.vectors, weight, plain
        self._columns, self._factors = plain._columns, np.pad(weight, (0, -len(weight) % WIDTH))
        self._scratch, self._last, self.chunk = Scratch(), _Last(), plain.chunk

    def _multiply(
        self, owners: NDArray[np.float32], barred: sparse.csr_matrix, out: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        with np.errstate(invalid="ignore"):  # barred pairs of weight 0
            return np.multiply(self._plain.product(owners, barred), self._factors, out=out)

    def weighted(self, weight: NDArray[np.float32]) -> WeightedProduct:
        return WeightedProduct(self._plain, self._factors[: len(weight)] * weight)


class _Last(threading.local):
    """The last product of a thread and its input."""

    owners: NDArray[np.float32] | None = None
    barred: sparse.csr_matrix | None = None
    scores: NDArray[np.float32]


class Scratch(threading.local):
    """Buffers that a thread reuses, because fresh memory costs more time than the arithmetic."""

    def __init__(self) -> None:
        self._held: dict[str, NDArray[Any]] = {}

    def array(
        self, name: str, shape: tuple[int, ...], dtype: Any, make: Callable[[int, Any], NDArray[Any]] = np.empty
    ) -> NDArray[Any]:
        """Return an array with what the last call left in it. make: makes a new one."""
        size = int(np.prod(shape))
        if name not in self._held or self._held[name].size < size:
            self._held[name] = make(size, dtype)
        return self._held[name][:size].reshape(shape)


def padded(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Append rows of zeros up to a multiple of WIDTH."""
    return np.pad(vectors, ((0, -len(vectors) % WIDTH), (0, 0)))


def longest(vectors: NDArray[np.float32]) -> np.float32:
    """Return the largest Euclidean length of a row, rounded up."""
    return np.float32(lengths(vectors).max(initial=0))


def lengths(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (n,) Euclidean length of each row, rounded up."""
    length = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), _BLOCK):  # little memory for float64
        part = slice(start, start + _BLOCK)
        length[part] = np.sqrt(np.square(vectors[part], dtype=np.float64).sum(1))
    return np.asarray(np.nextafter(length, np.float32(np.inf)))


def without(scores: NDArray[Any], items: int, barred: sparse.csr_matrix, lowest: Any) -> NDArray[Any]:
    """Set barred pairs and the columns past `items` of (c, width) scores to `lowest`."""
    scores[:, items:] = lowest
    scores.reshape(-1)[flat(barred, scores.shape[1])] = lowest
    return scores


def pair_scores(
    owners: NDArray[np.float32],
    items: NDArray[np.float32],
    owner: NDArray[np.integer[Any]],
    item: NDArray[np.integer[Any]],
) -> NDArray[np.float32]:
    """Return (n,) dot products of owners[owner] with items[item]. All vectors are `on_grid`."""
    out = np.empty(len(owner), np.float32)
    runs = np.append(0, np.flatnonzero(owner[1:] != owner[:-1]) + 1) if len(owner) else owner
    if len(owner) >= _RUN * len(runs):
        right = np.empty((_PAIRS, items.shape[1]), np.float32)
        for first, last in pairwise([*runs.tolist(), len(owner)]):
            mine = owners[owner[first]]
            for start in range(first, last, _PAIRS):
                part = slice(start, min(start + _PAIRS, last))
                theirs = right[: part.stop - start]
                items.take(item[part], axis=0, out=theirs, mode="clip")
                np.vecdot(mine, theirs, out=out[part])
        return out + np.float32(0)
    size = max(1, min(_PAIRS, len(owner)))
    left, right = np.empty((size, owners.shape[1]), np.float32), np.empty((size, items.shape[1]), np.float32)
    for start in range(0, len(owner), size):
        part = slice(start, start + size)
        n = len(owner[part])
        owners.take(owner[part], axis=0, out=left[:n], mode="clip")
        items.take(item[part], axis=0, out=right[:n], mode="clip")
        np.vecdot(left[:n], right[:n], out=out[part])
    return out + np.float32(0)  # -0.0 becomes 0.0: equal scores have equal bits


def exact(
    product: Product, owners: NDArray[np.float32], owner: NDArray[np.integer[Any]], item: NDArray[np.integer[Any]]
) -> NDArray[np.float32]:
    """Return (n,) exact scores of owners[owner] and items[item]."""
    score = pair_scores(owners, product.vectors, owner, item)
    return score if product.weight is None else score * product.weight[item] + np.float32(0)


def top_k(
    owners: NDArray[np.float32], product: Product, barred: sparse.csr_matrix, k: int, threads: int = 1
) -> Proposal:
    """Return the k items of largest dot product for each of b owners, ties by row.

    owners: (b, d), finite, `on_grid`. barred: (b, m) csr of excluded pairs. Returns fewer than k where fewer exist.
    Product, threads and the rest of the batch make no difference.
    """
    if not len(owners) or not len(product.vectors) or k < 1:
        return Proposal.empty(len(owners))
    owners = np.ascontiguousarray(owners, np.float32)
    parts = [slice(s, min(s + product.chunk, len(owners))) for s in range(0, len(owners), product.chunk)]

    def one(part: slice) -> Proposal:
        whole = len(parts) == 1  # then the same objects, so that `Float32Product` knows its last product
        return _chunk(owners if whole else owners[part], product, barred if whole else barred[part], k)

    return stacked(list(_each(one, parts, threads)))


def stacked(parts: list[Proposal]) -> Proposal:
    """Join the proposals of consecutive batches."""
    lengths_ = np.concatenate([np.diff(p.indptr) for p in parts])
    item, score = (np.concatenate([getattr(p, name) for p in parts]) for name in ("item", "score"))
    return Proposal(indptr_of(lengths_), item, score)


def _each(one: Any, parts: list[slice], threads: int) -> Iterator[Proposal]:
    if threads < 2 or len(parts) < 2:
        yield from map(one, parts)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(one, parts)


def _chunk(owners: NDArray[np.float32], product: Product, barred: sparse.csr_matrix, k: int) -> Proposal:
    scores, place = product.product(owners, barred), []
    sure = np.ones(len(owners), bool)
    rows = max(1, _HOT // (scores.shape[1] * scores.itemsize))
    for start in range(0, len(owners), rows):
        part = slice(start, start + rows)
        floor, sure[part] = product.floor(owners[part], _kth_block(scores[part], k))
        floor = np.where(sure[part], floor, _highest(scores.dtype)).astype(scores.dtype)
        place.append(_at_least(scores[part], floor) + start * scores.shape[1])
    owner, item = np.divmod(np.concatenate(place), scores.shape[1])
    if sure.all():
        return best_of(len(owners), owner, item, product.score(owners, owner, item), k)
    return _second_try(owners, product, barred, k, sure, owner, item)


def best_in(scores: NDArray[np.float32], k: int, least: np.float32) -> Proposal:
    """Return the k best of each row of (c, width) exact scores, none below `least`. width: a multiple of WIDTH."""
    owner, item = np.divmod(_at_least(scores, np.maximum(_kth_block(scores, k), least)), scores.shape[1])
    return best_of(len(scores), owner, item, scores[owner, item], k)


def _second_try(
    owners: NDArray[np.float32],
    product: Product,
    barred: sparse.csr_matrix,
    k: int,
    sure: NDArray[np.bool_],
    owner: NDArray[np.int64],
    item: NDArray[np.int64],
) -> Proposal:
    again = np.flatnonzero(~sure)
    plain = Float32Product(product.vectors)
    found = _chunk(owners[again], plain if product.weight is None else plain.weighted(product.weight), barred[again], k)
    kept = sure[owner]
    owner = np.concatenate([owner[kept], again[found.owner]])
    item = np.concatenate([item[kept], found.item])
    return best_of(len(owners), owner, item, product.score(owners, owner, item), k)


def _highest(dtype: np.dtype[Any]) -> Any:
    return np.iinfo(dtype).max if dtype.kind == "i" else np.inf


def flat(matrix: sparse.csr_matrix, width: int) -> NDArray[np.int64]:
    """Return (nnz,) places of the matrix's cells in a flat array of rows of this width."""
    rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int64) * width, np.diff(matrix.indptr))
    return np.asarray(rows + matrix.indices)


def _kth_block(scores: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """Return (c,) a value that at least k entries of each row reach; `lowest` if a row has fewer.

    It is the k-th largest maximum of blocks. Blocks are strided (columns j, j + w, j + 2w ...), so that the maximum
    runs over long contiguous memory. With four times as many blocks as k the bound is within a few items of the true
    k-th.
    """
    size = next((s for s in _BLOCKS if scores.shape[1] // s >= 4 * k), 1)
    maxima = scores.reshape(len(scores), size, -1).max(axis=1)
    place = max(maxima.shape[1] - k, 0)
    maxima.partition(place, axis=1)
    return np.asarray(maxima[:, place])


def _at_least(scores: NDArray[np.float32], floor: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return ascending flat indices of the entries that reach their row's floor, in words of eight."""
    mask = scores >= floor[:, None]
    words = np.flatnonzero(mask.view(np.uint64).ravel() != 0)
    inside = np.flatnonzero(mask.reshape(-1, 8)[words])
    return np.asarray(words[inside >> 3] * 8 + (inside & 7))


def best_of(
    owners: int, owner: NDArray[np.int64], item: NDArray[np.int64], score: NDArray[np.float32], k: int
) -> Proposal:
    """Return the first k pairs of each owner by (score descending, item ascending).

    Owner, score and item are packed into one 64-bit integer for a plain sort. Batches too large for that are split.
    Scores are finite, without -0.0.
    """
    item_bits = int(item.max(initial=0)).bit_length()
    room = 1 << (32 - item_bits)
    if owners > room:
        cuts = [(s, owner >= s) for s in range(0, owners, room)]
        return stacked(
            [
                best_of(min(room, owners - s), owner[m] - s, item[m], score[m], k)
                for s, after in cuts
                for m in [after & (owner < s + room)]
            ]
        )
    bits = np.ascontiguousarray(score, np.float32).view(np.int32)
    rising = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).astype(np.int64) + 2**31  # 0 .. 2^32 - 1, in the order of the scores
    key = owner.astype(np.uint64) << np.uint64(32 + item_bits)
    key |= ((2**32 - 1) - rising).astype(np.uint64) << np.uint64(item_bits)
    key |= item.astype(np.uint64)
    key.sort()
    return _decoded(owners, key, item_bits, k)


def _decoded(owners: int, key: NDArray[np.uint64], item_bits: int, k: int) -> Proposal:
    owner = (key >> np.uint64(32 + item_bits)).astype(np.int64)
    length = np.bincount(owner, minlength=owners)
    start = np.cumsum(length) - length
    kept = np.arange(len(key)) - start[owner] < k
    key = key[kept]
    rising = (2**32 - 1) - ((key >> np.uint64(item_bits)) & np.uint64(2**32 - 1)).astype(np.int64) - 2**31
    bits = rising.astype(np.int32)
    score = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).view(np.float32)
    item = (key & np.uint64((1 << item_bits) - 1)).astype(np.int32)
    return Proposal(indptr_of(np.minimum(length, k)), item, score)
