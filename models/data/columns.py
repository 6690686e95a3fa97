"""Features of candidates, stored by what they depend on: the pair, the item, or the owner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

PAIR = "pair"
_SHARED = 8  # a group with this many columns or more is stored separately
_ROWS = 8192  # rows per block of a sum, so that it stays in the cache


class Column(NamedTuple):
    """A feature of n candidates.

    values: (k,). place: (n,) index into values; None: one value per candidate, k = n.
    group: what the feature depends on. Columns of a group have the same `place`.
    """

    values: NDArray[Any]
    place: NDArray[np.integer[Any]] | None = None
    group: str = PAIR

    def of(self, rows: NDArray[np.int64] | None = None) -> NDArray[Any]:
        """Return the feature of all candidates, or of these rows."""
        place = _among(self.place, rows)
        return self.values if place is None else self.values.take(place)


@dataclass(frozen=True, eq=False)
class Features:
    """Ordered columns of n candidates, by name.

    whole: by group, the part of all its values that many batches share, see `whole_parts`.
    """

    columns: Mapping[str, Column]
    rows: int
    whole: Mapping[str, Part] = field(default_factory=dict)

    @classmethod
    def dense(cls, names: Sequence[str], cells: NDArray[Any]) -> Features:
        return cls({name: Column(column) for name, column in zip(names, cells.T, strict=True)}, len(cells))

    def only(self, names: Sequence[str]) -> Features:
        """Return the first columns. names: theirs, in order, so that `whole` stays valid."""
        return replace(self, columns={name: self.columns[name] for name in names})

    def cells(self, rows: NDArray[np.int64] | None = None, wanted: Sequence[int] | None = None) -> NDArray[np.float32]:
        """Return (n, f) float32 of all candidates, or of these rows; each column is contiguous.

        wanted: numbers of the columns to fill; None: all.
        """
        shape = len(self.columns), self.rows if rows is None else len(rows)
        found = np.empty(shape, np.float32) if wanted is None else np.zeros(shape, np.float32)
        places: dict[str, NDArray[Any] | None] = {}
        every = list(self.columns.values())
        for i in range(len(every)) if wanted is None else wanted:
            cell, column = found[i], every[i]
            if column.group not in places:
                places[column.group] = _among(column.place, rows)
            place = places[column.group]
            cell[:] = column.values if place is None else column.values.take(place)
        return found.T

    def weighted(self, weight: NDArray[np.float64], rows: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Return (n,) sums of weight (f,) times feature, for all candidates or these rows.

        Terms are added one by one in a fixed order, so that equal features have equal sums in every batch.
        """
        groups: dict[str, list[tuple[np.float64, Column]]] = {}
        for factor, column in zip(weight, self.columns.values(), strict=True):
            if factor:
                groups.setdefault(column.group, []).append((factor, column))
        total = np.zeros(self.rows if rows is None else len(rows))
        for group in groups.values():
            place = _among(group[0][1].place, rows)
            if place is not None and len(group[0][1].values) > len(place):
                total += weighted_sum([(factor, column.values.take(place)) for factor, column in group])
            else:
                part = weighted_sum([(factor, column.values) for factor, column in group])
                total += part if place is None else part.take(place)
        return total

    def parts(self, rows: NDArray[np.int64]) -> list[Part]:
        """Split the features of these rows into parts.

        A large group with few distinct values is its own part, and so is a group in `whole`.
        """
        every, shared, found = list(self.columns.values()), set(), []
        for group, mine in self._by_group().items():
            place = every[mine[0]].place
            if place is None or (len(mine) < _SHARED and group not in self.whole):
                continue
            if group in self.whole:
                part = self.whole[group]._replace(place=place.take(rows))
            else:
                used, which = _renumbered(place.take(rows), len(every[mine[0]].values))
                if 2 * len(used) > len(rows):
                    continue
                part = self._part(mine, used)._replace(place=which)
            found.append(part)
            shared |= set(mine)
        rest = tuple(i for i in range(len(every)) if i not in shared)
        return [Part(rest, self.cells(rows, rest)), *found]

    def whole_parts(self, *groups: str) -> dict[str, Part]:
        """Return the part of all values of each group that has columns. It keeps the results of learners."""
        every, by_group = list(self.columns.values()), self._by_group()
        size = {group: len(every[by_group[group][0]].values) for group in groups if group in by_group}
        return {g: self._part(by_group[g], np.arange(n))._replace(kept={}) for g, n in size.items()}

    def _by_group(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for i, column in enumerate(self.columns.values()):
            found.setdefault(column.group, []).append(i)
        return found

    def _part(self, mine: Sequence[int], used: NDArray[np.int64]) -> Part:
        every = list(self.columns.values())
        cells = np.zeros((len(every), len(used)), np.float32)
        for i in mine:
            cells[i] = every[i].values.take(used)
        return Part(tuple(mine), cells.T)


class Part(NamedTuple):
    """Some features of n candidates.

    columns: their numbers. cells: (k, f) float32, each column contiguous; only `columns` are filled.
    place: (n,) row of the cells for each candidate; None: k = n, in order.
    kept: results by learner, if other batches use the same cells.
    """

    columns: tuple[int, ...]
    cells: NDArray[np.float32]
    place: NDArray[np.integer[Any]] | None = None
    kept: dict[object, NDArray[Any]] | None = None


def _renumbered(place: NDArray[np.integer[Any]], most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct places below `most`, ascending, and each place's position among them."""
    number = np.zeros(most, np.int64)
    number[place] = 1
    used = np.flatnonzero(number)
    number[used] = np.arange(len(used))
    return used, number.take(place)


def _among(place: NDArray[Any] | None, rows: NDArray[np.int64] | None) -> NDArray[Any] | None:
    """Select the places of these rows; None: every candidate has its own value, in order."""
    if rows is None:
        return place
    return rows if place is None else place.take(rows)


def weighted_sum(terms: Sequence[tuple[np.float64, NDArray[Any]]]) -> NDArray[np.float64]:
    """Return (n,) sum of factor times values (n,), term by term, without terms of factor 0."""
    total = np.zeros(len(terms[0][1]))
    term = np.empty(min(len(total), _ROWS))
    for start in range(0, len(total), _ROWS):
        mine = total[start : start + _ROWS]
        for factor, values in terms:
            if factor:
                block = values[start : start + _ROWS]
                np.add(mine, np.multiply(block, factor, out=term[: len(block)]), out=mine)
    return total
