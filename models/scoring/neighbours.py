"""Scores items by similarity to the owner's history: item neighbours and the graph filter."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.data.batch import Candidates, Owners, Proposal, indptr_of
from models.data.bundle import Bundle
from models.schema import COUNTED_TYPES, EventType
from models.scoring.scorer import Sides
from models.scoring.top_k import WIDTH, Scratch, best_in, best_of, flat, stacked
from models.spec import Source

_CHUNK_CELLS = 8_000_000
_ROWS = 256  # owners per product
_SPARSE = 4  # rows are not made dense to be sorted if at most a quarter of the cells is filled
_LEAST = np.nextafter(np.float32(0), np.float32(1))
_TYPE = 8  # bit position of the event type in the cells of `people`, above their number
#: By `EventType.code`: its strength, 1 for the lightest that is counted. And the inverse.
_STRENGTH = np.zeros(EventType.codes(), np.uint16)
_STRENGTH[[t.code for t in COUNTED_TYPES]] = np.arange(len(COUNTED_TYPES), 0, -1)
_OF_STRENGTH = np.array([0, *(t.code for t in reversed(COUNTED_TYPES))])


class _Last(threading.local):
    """The last product of a thread and its input."""

    history: sparse.csr_matrix | None = None
    product: sparse.csr_matrix | None = None


class NeighbourScorer:
    """Scores an item by the sum of weight x similarity over the owner's history.

    Dislikes have negative weight. Only items with a positive score are proposed. An owner without any is unknown.
    similarity: (m, m) csr over the catalogue.
    people: (m, m) uint16 csr. A cell is `EventType.code << 8 | number` of people who met the row and had such an event
    with the column.
    """

    def __init__(self, similarity: sparse.csr_matrix, source: Source, people: sparse.csr_matrix | None = None) -> None:
        self.source = source
        self._people = people if people is None or people.nnz else None
        self._similarity = sparse.csr_matrix(similarity, dtype=np.float32)
        self._items = similarity.shape[0]
        self._width = self._items + -self._items % WIDTH
        self._chunk = max(16, min(_ROWS, _CHUNK_CELLS // max(1, self._width)))
        self._weight: NDArray[Any] | None = None
        self._scratch = Scratch()
        self._last = _Last()

    def weighted(self, weight: NDArray[np.float32]) -> NeighbourScorer:
        """Return the same source with scores multiplied by item weights (m,).

        Both share the similarities and the last product.
        """
        other = copy.copy(self)
        other._weight = np.asarray(weight, np.float32)
        return other

    def propose(self, owners: Owners, k: int) -> Proposal:
        if not len(owners) or not self._items or k < 1:
            return Proposal.empty(len(owners))
        return stacked([self._best(product, owners.barred[part], k) for part, product in self._parts(owners)])

    def score(self, owners: Owners, candidates: Candidates) -> NDArray[np.float32]:
        result = np.empty(len(candidates.item), np.float32)
        for part, product in self._parts(owners):
            places = slice(candidates.indptr[part.start], candidates.indptr[part.stop])
            at, score = self._cells(product)
            owner = candidates.owner[places] - part.start
            known = np.zeros(product.shape[0], bool)
            known[at[score > 0] // self._width] = True
            with self._filled(product.shape[0], at, score) as cells:
                found = cells.take(owner * np.int64(self._width) + candidates.item[places])
            result[places] = np.where(known.take(owner), found, np.float32(np.nan))
        return result

    def counted(
        self, owners: Owners, at: NDArray[np.int64], item: NDArray[np.int32]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Count people, see `CountingScorer.counted`, by the strongest item of the history. at: ascending."""
        strongest = np.zeros(len(item), np.uint16)
        if self._people is not None and self._items:
            room = max(1, _CHUNK_CELLS // self._items)
            for start in range(0, len(owners), room):
                mine = slice(*np.searchsorted(at, [start, start + room]))
                cells = self._strongest(owners.history[start : start + room])
                strongest[mine] = cells[at[mine] - start, item[mine]]
        return _OF_STRENGTH[strongest >> _TYPE], (strongest & 0xFF).astype(np.int64)

    def _strongest(self, history: sparse.csr_matrix) -> NDArray[np.uint16]:
        """Return (b, m) uint16 strength << 8 | number; 0 for items that the owner met."""
        people = cast(sparse.csr_matrix, self._people)
        met = np.repeat(np.arange(history.shape[0]), np.diff(history.indptr))
        liked = history.data > 0
        owner, row = met[liked], history.indices[liked]
        length = np.diff(people.indptr)[row]
        place = np.arange(int(length.sum())) + np.repeat(people.indptr[row] - (np.cumsum(length) - length), length)
        cell = people.data[place]
        found = np.zeros((history.shape[0], self._items), np.uint16)
        at = np.repeat(owner * self._items, length) + people.indices[place]
        np.maximum.at(found.ravel(), at, _STRENGTH[cell >> _TYPE] << _TYPE | cell & 0xFF)
        found[met, history.indices] = 0
        return found

    def _parts(self, owners: Owners) -> Iterator[tuple[slice, sparse.csr_matrix]]:
        """Yield chunks of the batch with history @ similarity, each small enough to be dense."""
        for start in range(0, len(owners), _ROWS):
            rows = min(_ROWS, len(owners) - start)
            product = self._product(owners.history if rows == len(owners) else owners.history[start : start + rows])
            for first in range(0, rows, self._chunk):
                last = min(first + self._chunk, rows)
                yield slice(start + first, start + last), product if last - first == rows else product[first:last]

    def _product(self, history: sparse.csr_matrix) -> sparse.csr_matrix:
        """Return history @ similarity. It is cached, because `score` gets the batch of the `propose` before."""
        if self._last.history is not history:
            self._last.history, self._last.product = history, history @ self._similarity
        return self._last.product

    def _best(self, product: sparse.csr_matrix, barred: sparse.csr_matrix, k: int) -> Proposal:
        at, score = self._cells(product)
        with self._filled(product.shape[0], at, score) as cells:
            cells[flat(barred, self._width)] = 0
            if product.nnz * _SPARSE > product.shape[0] * self._items:
                return best_in(cells.reshape(-1, self._width), k, _LEAST)
            kept = at[cells.take(at) > 0]
            owner, item = np.divmod(kept, self._width)
            return best_of(product.shape[0], owner, item, cells.take(kept), k)

    def _cells(self, product: sparse.csr_matrix) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the places of the product's cells in a dense (c, width) array, and their scores."""
        score = product.data if self._weight is None else product.data * self._weight.take(product.indices)
        return flat(product, self._width), score

    @contextmanager
    def _filled(self, rows: int, at: NDArray[np.int64], score: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """Lend the (rows x width) scores of a dense product, flat.

        A thread's buffer is all zeros before and after: it is faster to clear the filled cells than all.
        """
        cells = self._scratch.array("scores", (rows, self._width), np.float32, np.zeros).reshape(-1)
        try:
            cells[at] = score
            yield cells
        finally:
            cells[at] = 0


def open_scorer(bundle: Bundle, sides: Sides, source: Source) -> NeighbourScorer:
    """Open a bundle with a csr over its map "item"."""
    people = _over_catalogue(bundle, sides, "people_") if "people_indptr" in bundle.arrays else None
    return NeighbourScorer(_over_catalogue(bundle, sides), source, people)


def _over_catalogue(bundle: Bundle, sides: Sides, prefix: str = "") -> sparse.csr_matrix:
    """Return a csr of the bundle over catalogue positions, (m, m), of its own type, columns ascending."""
    ids, rows = sides.items.ids, sides.rows
    n, arrays = len(bundle.maps["item"]), bundle.arrays
    matrix = sparse.csr_matrix(
        (arrays[f"{prefix}data"], arrays[f"{prefix}indices"], arrays[f"{prefix}indptr"]), shape=(n, n)
    )
    place = bundle.maps["item"].find(ids.packed()[rows])
    known = np.flatnonzero(place >= 0)
    if np.array_equal(place, np.arange(n)):
        return matrix
    position = np.full(n, -1, np.int32)
    position[place[known]] = known
    mine = matrix[place[known]]
    column = position[mine.indices]
    kept = column >= 0
    length = np.zeros(len(rows), np.int64)
    length[known] = np.diff(np.append(0, np.cumsum(kept))[mine.indptr])
    square = (len(rows),) * 2
    found = sparse.csr_matrix((mine.data[kept], column[kept], indptr_of(length)), shape=square)
    found.sort_indices()
    return sides.keep_csr(found)
