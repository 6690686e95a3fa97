"""What resembles the owner's history, weighted by what they did with it: item-item neighbours and the graph filter."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.data.batch import Candidates, Owners, Proposal
from models.data.bundle import Bundle
from models.data.entities import IdMap
from models.scoring.scorer import Sides
from models.scoring.top_k import WIDTH, Scratch, best_in, stacked
from models.spec import Source

_CHUNK_CELLS = 8_000_000
_ROWS = 256  # owners multiplied at once


class _Last(threading.local):
    """The last product of a thread, kept beside what it was made of."""

    history: sparse.csr_matrix | None = None
    product: sparse.csr_matrix | None = None


class NeighbourScorer:
    """The score of an item is the sum, over the owner's history, of weight x similarity; dislikes count against.

    similarity: (m, m) float32 csr over the catalogue. An owner without any item of positive score is not known. Items
    that resemble nothing in the history score 0 and are not proposed, nor is what scores below.
    """

    def __init__(self, similarity: sparse.csr_matrix, source: Source) -> None:
        self.source = source
        self._similarity = sparse.csr_matrix(similarity, dtype=np.float32)
        self._items = similarity.shape[0]
        self._width = self._items + -self._items % WIDTH
        self._chunk = max(16, min(_ROWS, _CHUNK_CELLS // max(1, self._width)))
        self._weight: NDArray[Any] | None = None
        self._scratch = Scratch()
        self._last = _Last()

    def weighted(self, weight: NDArray[np.float32]) -> NeighbourScorer:
        """A source whose scores are this one's times the item's weight: (m,) float32 over the catalogue.

        It shares the similarities, and the product that either of the two has just made."""
        other = copy.copy(self)
        other._weight = np.asarray(weight, np.float32)
        return other

    def propose(self, owners: Owners, k: int) -> Proposal:
        """See `Scorer.propose`."""
        if not len(owners) or not self._items or k < 1:
            return Proposal.empty(len(owners))
        return stacked([self._best(product, owners.barred[part], k) for part, product in self._parts(owners)])

    def score(self, owners: Owners, candidates: Candidates) -> NDArray[np.float32]:
        """See `Scorer.score`."""
        result = np.empty(len(candidates.item), np.float32)
        for part, product in self._parts(owners):
            scores = self._scores(product)
            places = slice(candidates.indptr[part.start], candidates.indptr[part.stop])
            owner = candidates.owner[places] - part.start
            known = scores.max(axis=1, initial=0) > 0
            result[places] = np.where(known[owner], scores[owner, candidates.item[places]], np.nan)
        return result

    def _parts(self, owners: Owners) -> Iterator[tuple[slice, sparse.csr_matrix]]:
        """Chunks of the batch with history @ similarity, each small enough to be laid out."""
        for start in range(0, len(owners), _ROWS):
            rows = min(_ROWS, len(owners) - start)
            product = self._product(owners.history if rows == len(owners) else owners.history[start : start + rows])
            for first in range(0, rows, self._chunk):
                last = min(first + self._chunk, rows)
                yield slice(start + first, start + last), product if last - first == rows else product[first:last]

    def _product(self, history: sparse.csr_matrix) -> sparse.csr_matrix:
        """history @ similarity; `score` asks for the very batch that `propose` has just multiplied."""
        if self._last.history is not history:
            self._last.history, self._last.product = history, history @ self._similarity
        return self._last.product

    def _best(self, product: sparse.csr_matrix, barred: sparse.csr_matrix, k: int) -> Proposal:
        scores = self._scores(product)
        scores[:, self._items :] = -np.inf
        return best_in(scores, barred, k, np.nextafter(np.float32(0), np.float32(1)))

    def _scores(self, product: sparse.csr_matrix) -> NDArray[np.float32]:
        """(c, width) float32 in a buffer of this thread: laid out, since a quarter of a row may be filled."""
        out = self._scratch.array("scores", (product.shape[0], self._width), np.float32)
        out[:] = 0
        rows = np.repeat(np.arange(product.shape[0], dtype=np.int64) * self._width, np.diff(product.indptr))
        weight = 1 if self._weight is None else self._weight[product.indices]
        out.ravel()[rows + product.indices] = product.data * weight
        return out


def open_scorer(bundle: Bundle, sides: Sides, source: Source) -> NeighbourScorer:
    """Of a bundle with a csr over its map "item"."""
    return NeighbourScorer(_similarity(bundle, sides.items.ids, sides.rows), source)


def _similarity(bundle: Bundle, ids: IdMap, rows: NDArray[np.int32]) -> sparse.csr_matrix:
    """The neighbour matrix over catalogue positions, (m, m) float32."""
    n = len(bundle.maps["item"])
    matrix = sparse.csr_matrix((bundle.arrays["data"], bundle.arrays["indices"], bundle.arrays["indptr"]), shape=(n, n))
    place = bundle.maps["item"].rows_of(ids.ids[rows])
    known = np.flatnonzero(place >= 0)
    spread = sparse.csr_matrix((np.ones(len(known), np.float32), (known, place[known])), shape=(len(rows), n))
    return (spread @ matrix @ spread.T).tocsr().astype(np.float32)
