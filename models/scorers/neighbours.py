"""Item-item neighbours: what resembles the owner's history, weighted by what they did with it."""

from __future__ import annotations

import threading

import numpy as np
from scipy import sparse

from models.nouns.candidates import Candidates, Proposal
from models.nouns.owners import Owners
from models.nouns.vocabulary import Source
from models.scorers.top_k import WIDTH, Scratch, best_in, stacked

_CHUNK_CELLS = 8_000_000


class _Last(threading.local):
    """The last product of a thread, kept beside what it was made of."""

    history: sparse.csr_matrix | None = None
    product: sparse.csr_matrix | None = None


class NeighbourScorer:
    """The score of an item is the sum, over the owner's history, of weight x similarity; dislikes count against.

    similarity: (m, m) float32 csr over the catalogue. An owner without any item of positive score is not known. Items
    that resemble nothing in the history score 0 and are not proposed, nor is what scores below.
    """

    source = Source.ITEM_NEIGHBOURS

    def __init__(self, similarity: sparse.csr_matrix) -> None:
        self._similarity = sparse.csr_matrix(similarity, dtype=np.float32)
        self._items = similarity.shape[0]
        self._width = self._items + -self._items % WIDTH
        self._chunk = max(16, min(256, _CHUNK_CELLS // max(1, self._width)))
        self._scratch = Scratch()
        self._last = _Last()

    def propose(self, owners: Owners, k: int) -> Proposal:
        """See `Scorer.propose`."""
        if not len(owners) or not self._items or k < 1:
            return Proposal.empty(len(owners))
        return stacked([self._best(history, owners.barred[part], k) for part, history in self._parts(owners)])

    def score(self, owners: Owners, candidates: Candidates) -> np.ndarray:
        """See `Scorer.score`."""
        result = np.empty(len(candidates.item), np.float32)
        for part, history in self._parts(owners):
            scores = self._scores(history)
            places = slice(candidates.indptr[part.start], candidates.indptr[part.stop])
            owner = candidates.owner[places] - part.start
            known = scores.max(axis=1, initial=0) > 0
            result[places] = np.where(known[owner], scores[owner, candidates.item[places]], np.nan)
        return result

    def _parts(self, owners: Owners) -> list[tuple[slice, sparse.csr_matrix]]:
        """Chunks of the batch with their history; a batch that is one chunk keeps its own matrix."""
        if len(owners) <= self._chunk:
            return [(slice(0, len(owners)), owners.history)]
        parts = [slice(s, min(s + self._chunk, len(owners))) for s in range(0, len(owners), self._chunk)]
        return [(part, owners.history[part]) for part in parts]

    def _best(self, history: sparse.csr_matrix, barred: sparse.csr_matrix, k: int) -> Proposal:
        scores = self._scores(history)
        scores[:, self._items:] = -np.inf
        return best_in(scores, barred, k, np.nextafter(np.float32(0), np.float32(1)))

    def _product(self, history: sparse.csr_matrix) -> sparse.csr_matrix:
        """history @ similarity; `score` asks for the very batch that `propose` has just multiplied."""
        if self._last.history is not history:
            self._last.history, self._last.product = history, history @ self._similarity
        return self._last.product

    def _scores(self, history: sparse.csr_matrix) -> np.ndarray:
        """(c, width) float32 in a buffer of this thread: laid out, since a quarter of a row may be filled."""
        product = self._product(history)
        out = self._scratch.array("scores", (history.shape[0], self._width), np.float32)
        out[:] = 0
        rows = np.repeat(np.arange(history.shape[0], dtype=np.int64) * self._width, np.diff(product.indptr))
        out.ravel()[rows + product.indices] = product.data
        return out
