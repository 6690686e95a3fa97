"""Scores items by similarity to the owner's history: item neighbours and the graph filter."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.data.batch import Candidates, Owners, Proposal
from models.data.bundle import Bundle
from models.schema import COUNTED_TYPES, EventType
from models.scoring.scorer import Sides
from models.scoring.top_k import WIDTH, Scratch, best_in, best_of, stacked
from models.spec import Source

_CHUNK_CELLS = 8_000_000
_ROWS = 256  # owners per product
_SPARSE = 4  # rows are not made dense if at most a quarter of the cells is filled
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
            if self._is_sparse(product):
                bounds = candidates.indptr[part.start : part.stop + 1] - candidates.indptr[part.start]
                result[places] = self._looked_up(product, bounds, candidates.item[places])
                continue
            scores = self._scores(product)
            owner = candidates.owner[places] - part.start
            known = (scores.max(axis=1, initial=0) > 0)[owner]
            result[places] = scores.ravel().take(owner * np.int64(self._width) + candidates.item[places])
            if not known.all():
                result[places][~known] = np.nan
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
        if self._is_sparse(product):
            return self._best_of_sparse(product, barred, k)
        scores = self._scores(product)
        scores[:, self._items :] = -np.inf
        return best_in(scores, barred, k, np.nextafter(np.float32(0), np.float32(1)))

    def _is_sparse(self, product: sparse.csr_matrix) -> bool:
        return bool(product.nnz * _SPARSE <= product.shape[0] * self._items)

    def _best_of_sparse(self, product: sparse.csr_matrix, barred: sparse.csr_matrix, k: int) -> Proposal:
        """Return the same as `_best`, owner by owner, with one mark an item instead of a dense row each."""
        free, found = np.ones(self._items, bool), []
        bounds = pairwise(barred.indptr.tolist())
        for (item, score), (start, stop) in zip(self._rows(product), bounds, strict=True):
            free[barred.indices[start:stop]] = False
            kept = free[item] & (score > 0)
            free[barred.indices[start:stop]] = True
            item, score = item[kept], score[kept]
            if len(item) > k:
                kept = score >= np.partition(score, len(score) - k)[len(score) - k]
                item, score = item[kept], score[kept]
            found.append((item, score))
        items, scores = (np.concatenate(column) for column in zip(*found, strict=True))
        owner = np.repeat(np.arange(len(found)), [len(item) for item, _ in found])
        return best_of(len(found), owner, items.astype(np.int64), scores, k)

    def _looked_up(
        self, product: sparse.csr_matrix, bounds: NDArray[np.int64], wanted: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """Return (n,) scores of the wanted items of each owner, NaN for an unknown owner. bounds: (owners + 1,)."""
        row, result = np.zeros(self._items, np.float32), np.empty(len(wanted), np.float32)
        for (item, score), (start, stop) in zip(self._rows(product), pairwise(bounds.tolist()), strict=True):
            row[item] = score
            result[start:stop] = row[wanted[start:stop]] if (score > 0).any() else np.nan
            row[item] = 0
        return result

    def _rows(self, product: sparse.csr_matrix) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float32]]]:
        """Yield items and scores of each owner."""
        for start, stop in pairwise(product.indptr.tolist()):
            item, score = product.indices[start:stop], product.data[start:stop]
            yield item, score if self._weight is None else score * self._weight[item]

    def _scores(self, product: sparse.csr_matrix) -> NDArray[np.float32]:
        """Return (c, width) in a dense buffer of this thread, because up to a quarter of a row is filled."""
        out = self._scratch.array("scores", (product.shape[0], self._width), np.float32)
        out[:] = 0
        rows = np.repeat(np.arange(product.shape[0], dtype=np.int64) * self._width, np.diff(product.indptr))
        weight = 1 if self._weight is None else self._weight[product.indices]
        out.ravel()[rows + product.indices] = product.data * weight
        return out


def open_scorer(bundle: Bundle, sides: Sides, source: Source) -> NeighbourScorer:
    """Open a bundle with a csr over its map "item"."""
    people = _over_catalogue(bundle, sides, "people_") if "people_indptr" in bundle.arrays else None
    return NeighbourScorer(_over_catalogue(bundle, sides), source, people)


def _over_catalogue(bundle: Bundle, sides: Sides, prefix: str = "") -> sparse.csr_matrix:
    """Return a csr of the bundle over catalogue positions, (m, m), of its own type."""
    ids, rows = sides.items.ids, sides.rows
    n, arrays = len(bundle.maps["item"]), bundle.arrays
    matrix = sparse.csr_matrix(
        (arrays[f"{prefix}data"], arrays[f"{prefix}indices"], arrays[f"{prefix}indptr"]), shape=(n, n)
    )
    place = bundle.maps["item"].rows_of(ids.ids[rows])
    known = np.flatnonzero(place >= 0)
    ones = np.ones(len(known), matrix.dtype)
    spread = sparse.csr_matrix((ones, (known, place[known])), shape=(len(rows), n))
    return (spread @ matrix @ spread.T).tocsr().astype(matrix.dtype)
