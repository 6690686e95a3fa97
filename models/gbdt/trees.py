"""Sums of small regression trees, scored in NumPy with bit masks.

Based on QuickScorer (Lucchese et al., SIGIR 2015). A node whose test fails excludes the leaves on its left. A row
reaches the leftmost leaf that remains. The failed tests of a feature depend only on the interval of thresholds that
contains its value, so each interval's mask is computed once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.data.columns import Part
from models.errors import BundleCorrupt

#: Most leaves per tree: one bit each in the widest integer.
MOST_LEAVES = 64
#: The arrays that `Trees.from_arrays` reads.
TREE_ARRAYS = ("leaves", "feature", "threshold", "first", "last", "value")

_ROWS = 4096  # rows per block; NumPy compares shorter blocks several times slower
_MASK_BYTES = 1 << 18  # masks per step; two of them and a table fit into the second-level cache
_TABLE_BYTES = 1 << 17  # most bytes of a table of several features, so that it stays in the cache
_COUNTED = 128  # most thresholds for which counting those exceeded beats a binary search


@dataclass(frozen=True, eq=False)
class _Column:
    """One feature. threshold: (k, 1) ascending. Interval i in 0..k adds i * `step` to the table index."""

    feature: int
    threshold: NDArray[np.float32]
    step: int


@dataclass(frozen=True, eq=False)
class _Table:
    """Masks (entries, trees) of the remaining leaves, for each combination of the columns' intervals."""

    columns: tuple[_Column, ...]
    masks: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Trees:
    """A sum of regression trees, at most MOST_LEAVES leaves each. Immutable; safe in several threads.

    used: ascending columns that any tree splits on.
    """

    used: NDArray[np.int64]
    _single: tuple[_Table, ...]  # one for each feature
    _tables: dict[tuple[int, ...], tuple[_Table, ...]]  # by columns of a part
    _leaves: int
    _masks: int  # number of trees, rounded up to even
    _unsigned: np.dtype[Any]
    _starts: NDArray[np.int32]  # (pairs,) offset of each pair's values
    _value: NDArray[np.float64]  # sums of one leaf of each tree of a pair

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], prefix: str = "") -> Trees:
        """Read the trees of `models.gbdt.fit.fit_trees`; ignore other arrays.

        leaves (trees,): leaves per tree. A tree has one node fewer.
        Per node, tree by tree: feature, its column; threshold float32, a row goes left if its value is <= it; first,
        last: range of the leaves on its left, last excluded.
        value: of each leaf, tree by tree, left to right.
        Raises BundleCorrupt if the arrays do not match.
        """
        a = {name: np.asarray(arrays.get(prefix + name, np.empty((0, 0)))) for name in TREE_ARRAYS}
        _check(a)
        leaves = a["leaves"].astype(np.int64)
        tree = np.repeat(np.arange(len(leaves)), leaves - 1)
        most, even = int(leaves.max(initial=1)), len(leaves) + len(leaves) % 2
        unsigned = np.dtype(f"u{next(size for size in (1, 2, 4, 8) if most <= 8 * size)}")
        single = _tables(a, tree, even, unsigned)
        pairs = _pairs(_by_tree(a["value"], leaves, even, most))
        return cls(
            np.unique(a["feature"]).astype(np.int64),
            single,
            {},
            most,
            even,
            unsigned,
            (np.arange(len(pairs)) * pairs.shape[1]).astype(np.int32),
            pairs.ravel(),
        )

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Score (…, f) finite features as (…) sums. Other rows do not affect the bits of a row's sum."""
        if len(self.used) and features.shape[-1] <= self.used[-1]:
            raise ValueError(f"expected more than {self.used[-1]} features, got {features.shape}")
        rows = features.reshape(math.prod(features.shape[:-1]), features.shape[-1])
        return self.score_parts([Part(tuple(range(rows.shape[1])), rows)]).reshape(features.shape[:-1])

    def score_parts(self, parts: Sequence[Part]) -> NDArray[np.float32]:
        """Score features in parts, with the bits of `score`. Only the first part lacks `place`."""
        whole, shared = parts[0], [(self._left(part), cast(NDArray[Any], part.place)) for part in parts[1:]]
        rows, tables = whole.cells, self._tables_of(whole.columns)
        total = np.empty(len(rows), np.float32)
        scratch = _Scratch(self, min(len(rows), self._step))
        for start, codes in _codes(tables, rows, self._step):
            part = slice(start, start + codes.shape[1])
            self._rule_out(tables, codes, scratch)
            for masks, place in shared:
                more = scratch.more[: codes.shape[1]]
                masks.take(place[part], axis=0, out=more, mode="clip")
                np.bitwise_and(scratch.left[: len(more)], more, out=scratch.left[: len(more)])
            self._add_up(scratch, total[part])
        return total

    @property
    def _step(self) -> int:
        return min(_ROWS, max(64, _MASK_BYTES // max(1, self._masks * self._unsigned.itemsize)))

    def _tables_of(self, columns: tuple[int, ...]) -> tuple[_Table, ...]:
        if columns not in self._tables:
            mine = [table for table in self._single if table.columns[0].feature in set(columns)]
            self._tables[columns] = tuple(_combined(mine))
        return self._tables[columns]

    def _left(self, part: Part) -> NDArray[Any]:
        """Return (k, trees) bits of the leaves that no failed test of the part's columns excludes."""
        if part.kept is None:
            return self._computed(part)
        if self not in part.kept:
            part.kept[self] = self._computed(part)
        return part.kept[self]

    def _computed(self, part: Part) -> NDArray[Any]:
        tables, found = self._tables_of(part.columns), np.empty((len(part.cells), self._masks), self._unsigned)
        scratch = _Scratch(self, min(len(found), self._step))
        for start, codes in _codes(tables, part.cells, self._step):
            self._rule_out(tables, codes, scratch)
            found[start : start + codes.shape[1]] = scratch.left[: codes.shape[1]]
        return found

    def _rule_out(self, tables: Sequence[_Table], codes: NDArray[np.int64], scratch: _Scratch) -> None:
        """Write the bits of the leaves that no failed test excludes to scratch.left.

        codes: (tables, n).
        """
        left, more = scratch.left[: codes.shape[1]], scratch.more[: codes.shape[1]]
        if not tables:
            left.fill(np.iinfo(left.dtype).max)
        for i, (table, code) in enumerate(zip(tables, codes, strict=True)):
            table.masks.take(code, axis=0, out=more if i else left, mode="clip")  # "raise" would make a copy
            if i:
                np.bitwise_and(left, more, out=left)

    def _add_up(self, scratch: _Scratch, total: NDArray[np.float32]) -> None:
        """Fill total (n,) with sums of the values at each mask's lowest bit, two trees per lookup."""
        n, half = len(total), self._masks // 2
        left, more, leaf, at = scratch.left[:n], scratch.more[:n], scratch.leaf[:n], scratch.at[:n]
        np.subtract(left, left.dtype.type(1), out=more)
        np.bitwise_xor(left, more, out=more)  # the lowest bit and all below: as many bits as the leaf's number
        np.bitwise_count(more, out=leaf)
        np.add(_pair_code(leaf[:, :half], leaf[:, half:], self._leaves), self._starts, out=at)
        total[:] = scratch.ones(n) @ self._value  # a sparse product gathers and adds in one pass


def _codes(tables: tuple[_Table, ...], rows: NDArray[np.float32], step: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield the first row and (tables, n) table indices, for `step` rows at a time."""
    place = _Places(tables, min(len(rows), _ROWS))
    for start in range(0, len(rows), _ROWS):
        block = rows[start : start + _ROWS]
        place.fill(block)
        for s in range(0, len(block), step):
            yield start + s, place.codes[:, s : min(s + step, len(block))]


class _Places:
    """Table index of each row. codes: (tables, rows)."""

    def __init__(self, tables: tuple[_Table, ...], rows: int) -> None:
        most = max((len(c.threshold) for t in tables for c in t.columns if len(c.threshold) <= _COUNTED), default=0)
        self._tables = tables
        self._exceeds, self._count = np.empty((most, rows), bool), np.empty(rows, np.uint8)
        self._step = np.empty(rows, np.intp)
        self.codes = np.empty((len(tables), rows), np.intp)

    def fill(self, block: NDArray[np.float32]) -> None:
        for table, code in zip(self._tables, self.codes[:, : len(block)], strict=True):
            for i, column in enumerate(table.columns):
                interval = self._interval(column, np.ascontiguousarray(block[:, column.feature]))
                step = self._step[: len(block)] if i else code
                np.multiply(interval, column.step, out=step, dtype=np.intp)
                if i:
                    np.add(code, step, out=code)

    def _interval(self, column: _Column, value: NDArray[np.float32]) -> NDArray[np.integer[Any]]:
        if len(column.threshold) > _COUNTED:
            return column.threshold[:, 0].searchsorted(value)
        exceeds = self._exceeds[: len(column.threshold), : len(value)]
        np.greater(value, column.threshold, out=exceeds)
        return np.add.reduce(exceeds.view(np.uint8), axis=0, dtype=np.uint8, out=self._count[: len(value)])


class _Scratch:
    """Buffers of one call, because fresh memory costs more time than the arithmetic."""

    def __init__(self, trees: Trees, rows: int) -> None:
        self.left, self.more = np.empty((2, rows, trees._masks), trees._unsigned)
        self.leaf = np.empty((rows, trees._masks), _code_type(trees._leaves))
        self.at = np.empty((rows, trees._masks // 2), np.int32)
        self._values, self._ones = len(trees._value), sparse.csr_matrix((0, 0))

    def ones(self, rows: int) -> sparse.csr_matrix:
        """Return (rows, values) with ones at the columns in `at`."""
        if self._ones.shape[0] != rows:
            columns = self.at[:rows].ravel()
            indptr = np.arange(rows + 1, dtype=np.int32) * self.at.shape[1]
            self._ones = sparse.csr_matrix((np.ones(len(columns)), columns, indptr), shape=(rows, self._values))
        return self._ones


def _check(a: Mapping[str, NDArray[Any]]) -> None:
    """Raise BundleCorrupt if the arrays do not belong to one forest."""
    leaves = a["leaves"].ravel().astype(np.int64)
    nodes, of_tree = int((leaves - 1).sum()), np.repeat(leaves, np.maximum(leaves - 1, 0))
    fits = a["leaves"].ndim == 1 and bool(((leaves >= 1) & (leaves <= MOST_LEAVES)).all())
    fits = fits and all(a[name].shape == (nodes,) for name in ("feature", "threshold", "first", "last"))
    fits = fits and a["value"].shape == (int(leaves.sum()),) and bool(np.isfinite(a["value"]).all())
    fits = fits and bool(((a["first"] >= 0) & (a["first"] < a["last"]) & (a["last"] < of_tree)).all())
    if not fits or (a["feature"] < 0).any() or np.isnan(a["threshold"]).any():
        raise BundleCorrupt(
            f"expected trees of 1..{MOST_LEAVES} leaves and one node fewer, got "
            f"{ {name: array.shape for name, array in a.items()} }; train again"
        )


def _tables(
    a: Mapping[str, NDArray[Any]], tree: NDArray[np.int64], trees: int, unsigned: np.dtype[Any]
) -> tuple[_Table, ...]:
    one = np.uint64(1)
    below = [(one << a[end].astype(np.uint64)) - one for end in ("first", "last")]
    kept = (~(below[0] ^ below[1])).astype(unsigned)
    single = []
    for feature in np.unique(a["feature"]):
        mine = np.flatnonzero(a["feature"] == feature)
        threshold, at = np.unique(a["threshold"][mine].astype(np.float32), return_inverse=True)
        masks = np.full((len(threshold) + 1, trees), np.iinfo(unsigned).max, unsigned)
        np.bitwise_and.at(masks, (at + 1, tree[mine]), kept[mine])
        np.bitwise_and.accumulate(masks, axis=0, out=masks)
        single.append(_Table((_Column(int(feature), threshold[:, None], 1),), masks))
    return tuple(sorted(single, key=lambda table: len(table.masks)))


def _combined(tables: list[_Table]) -> Iterator[_Table]:
    """Combine adjacent small tables, because each table costs a pass over all masks."""
    held: _Table | None = None
    for table in tables:
        if held is None:
            held = table
        elif len(held.masks) * table.masks.nbytes <= _TABLE_BYTES:
            columns = (
                *(_Column(c.feature, c.threshold, c.step * len(table.masks)) for c in held.columns),
                *table.columns,
            )
            held = _Table(columns, (held.masks[:, None] & table.masks).reshape(-1, table.masks.shape[1]))
        else:
            yield held
            held = table
    if held is not None:
        yield held


def _by_tree(value: NDArray[np.float64], leaves: NDArray[np.int64], trees: int, most: int) -> NDArray[np.float64]:
    """Round (trees, most) values to a step at which every sum is exact in any order.

    The step is too small to change a float32 sum.
    """
    table = np.zeros((trees, most))
    table[: len(leaves)][np.arange(most) < leaves[:, None]] = value
    bound = float(np.abs(table).max(axis=1, initial=0).sum())
    step = math.ldexp(1.0, max(math.frexp(bound)[1], -900) - 52)
    return np.asarray(np.rint(table / step) * step)


def _code_type(leaves: int) -> type[np.unsignedinteger]:
    return np.uint8 if leaves <= 16 else np.uint16


def _pair_code(one: NDArray[np.uint8], other: NDArray[np.uint8], leaves: int) -> NDArray[np.uint8]:
    """Combine two leaves, counted from 1, into a unique number. It may wrap around."""
    return one * one.dtype.type(leaves) + other


def _pairs(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum leaves of trees i and i + trees / 2: (trees, leaves) to (trees / 2, codes)."""
    half, leaves = len(value) // 2, value.shape[1]
    number = np.arange(1, leaves + 1).astype(_code_type(leaves))
    code = _pair_code(number[:, None], number, leaves)
    table = np.zeros((half, int(code.max()) + 1))
    table[:, code] = value[:half, :, None] + value[half:, None, :]
    return table
