"""External models as sources: vectors by dot product, scores by look-up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.data.batch import Candidates, Owners, Proposal
from models.data.bundle import Bundle
from models.scoring.factors import FactorScorer
from models.scoring.scorer import Sides
from models.scoring.top_k import best_of
from models.spec import Source


class PairScorer:
    """Proposes and scores only the stored pairs. Immutable; safe in several threads.

    scores: (n, m) csr, owners' entity rows x catalogue; a stored zero is a score.
    """

    def __init__(self, source: Source, scores: sparse.csr_matrix) -> None:
        self.source = source
        parts = (scores.data, scores.indices, np.append(scores.indptr, scores.indptr[-1:]))
        self._scores = sparse.csr_matrix(parts, (scores.shape[0] + 1, scores.shape[1]))  # row -1: unseen owners
        self._scores.sort_indices()

    def propose(self, owners: Owners, k: int) -> Proposal:
        mine = self._scores[owners.row]
        free = ~np.isin(_keys(mine), _keys(owners.barred))
        owner = np.repeat(np.arange(len(owners)), np.diff(mine.indptr))
        return best_of(len(owners), owner[free], mine.indices[free], mine.data[free], k)

    def score(self, owners: Owners, candidates: Candidates) -> NDArray[np.float32]:
        mine = self._scores[owners.row]
        held, wanted = _keys(mine), candidates.owner.astype(np.int64) * mine.shape[1] + candidates.item
        place = np.searchsorted(held, wanted)
        there = np.append(held, -1)[place] == wanted
        return np.where(there, np.append(mine.data, np.float32(0))[place], np.float32(np.nan))


def _keys(matrix: sparse.csr_matrix) -> NDArray[np.int64]:
    """Return (nnz,) row-major index of every stored cell."""
    row = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    return row * matrix.shape[1] + matrix.indices


def open_vectors(bundle: Bundle, sides: Sides, source: Source) -> FactorScorer:
    """Open a bundle with user_vectors and startup_vectors."""
    order = sides.owners.entity.value, sides.items.entity.value
    return FactorScorer(source, *sides.vectors(bundle, order, "vectors"), make=sides.product)


def open_scores(bundle: Bundle, sides: Sides, source: Source) -> PairScorer:
    """Open a bundle with a csr of users x startups."""
    user = np.repeat(np.arange(len(bundle.maps["user"])), np.diff(bundle.arrays["indptr"]))
    place = {"user": user, "startup": bundle.arrays["indices"]}
    mine, theirs = sides.owners, sides.items
    owner = mine.ids.find(bundle.maps[mine.entity.value].packed())[place[mine.entity.value]]
    position = np.full(len(theirs), -1, np.int32)
    position[sides.rows] = np.arange(len(sides.rows))
    row = theirs.ids.find(bundle.maps[theirs.entity.value].packed())[place[theirs.entity.value]]
    item = np.where(row >= 0, position[row], -1)
    kept = (owner >= 0) & (item >= 0)
    cells = bundle.arrays["data"][kept], (owner[kept], item[kept])
    return PairScorer(source, sparse.csr_matrix(cells, (len(mine), len(sides.rows)), dtype=np.float32))
