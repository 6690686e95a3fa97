"""Sources that score by dot products of vectors: ALS, two-tower, content (A01-A05)."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.data.batch import Candidates, Owners, Proposal, indptr_of
from models.data.bundle import Bundle
from models.errors import BundleCorrupt
from models.scoring.scorer import Rows, Sides, finite
from models.scoring.top_k import Float32Product, Product, on_grid, top_k
from models.spec import Source


class _Last(threading.local):
    """What a thread last found for a batch, see `FactorScorer._asked`."""

    owners: Owners | None = None
    found: tuple[NDArray[np.int64], NDArray[np.float32], sparse.csr_matrix]


class FactorScorer:
    """Proposes and scores by vectors. Immutable; safe in several threads.

    owner_vectors: (n, d) by the owner's entity row; an array or `Rows`. known: (n,) owners with a trained vector.
    item_vectors: (m, d) over the catalogue; an array or `Rows`. item_known: (m,).
    An unknown item is never proposed and scores NaN. An unknown owner gets nothing.
    Raises BundleCorrupt if a known vector is not finite.
    """

    def __init__(
        self,
        source: Source,
        owner_vectors: NDArray[np.float32] | Rows,
        known: NDArray[np.bool_],
        item_vectors: NDArray[np.float32] | Rows,
        item_known: NDArray[np.bool_],
        make: Callable[[NDArray[Any]], Product] = Float32Product,
    ) -> None:
        self.source = source
        self._owner_vectors = owner_vectors
        self._known = np.asarray(known, bool)
        self._items = np.flatnonzero(item_known).astype(np.int32)
        self._place = np.where(item_known, np.cumsum(item_known) - 1, -1)  # row among the known items
        shown = np.asarray(item_vectors[self._items], np.float32)
        if not (finite(owner_vectors, self._known) and np.isfinite(shown).all()):
            raise BundleCorrupt(f"expected finite vectors for {source}, got NaN or infinity; train this model again")
        self._one: NDArray[Any] | None = None
        self._last = _Last()
        self._product = make(on_grid(shown))

    def with_backend(self, make: Callable[[NDArray[Any]], Product]) -> Self:
        other, weight = copy.copy(self), self._product.weight
        product = make(self._product.vectors)
        other._product = product if weight is None else product.weighted(weight)
        return other

    def weighted(self, weight: NDArray[np.float32]) -> Self:
        """Return the same source with scores multiplied by item weights (m,), 0 or more.

        Both share the vectors and the last product.
        """
        other = copy.copy(self)
        other._product = self._product.weighted(np.asarray(weight, np.float32)[self._items])
        return other

    def with_vector(self, vector: NDArray[np.float32]) -> Self:
        other = copy.copy(self)
        other._one, other._last = np.asarray(vector, np.float32)[None], _Last()
        return other

    def with_rows(self, rows: NDArray[np.int64], vectors: NDArray[np.float32]) -> Self:
        """Return the same source with other vectors for some owners.

        rows: (r,) entity rows. vectors: (r, d).
        """
        other = copy.copy(self)
        every, known = self._owner_vectors[np.arange(len(self._known))], self._known.copy()
        every[rows], known[rows] = vectors, True
        other._owner_vectors, other._known, other._last = every, known, _Last()
        return other

    def vector_of(self, owners: Owners) -> NDArray[np.float32] | None:
        """Return the owner's trained vector (d,) for a batch of one, or None."""
        vectors, known = FactorScorer._vectors(self, owners)
        return vectors[0] if known[0] else None

    def propose(self, owners: Owners, k: int) -> Proposal:
        mine, vectors, barred = self._asked(owners)
        found = top_k(vectors, self._product, barred, k)
        length = np.zeros(len(owners), np.int64)
        length[mine] = np.diff(found.indptr)
        item = found.item if len(self._items) == len(self._place) else self._items[found.item]
        return Proposal(indptr_of(length), item, found.score)

    def _asked(self, owners: Owners) -> tuple[NDArray[np.int64], NDArray[np.float32], sparse.csr_matrix]:
        """Return the known owners' numbers, their vectors on the grid, and their barred known items.

        The same batch gets the same objects, so that the product knows its last one.
        """
        last = self._last
        if last.owners is not owners:
            vectors, known = self._vectors(owners)
            mine = np.flatnonzero(known)
            everybody, everything = len(mine) == len(owners), len(self._items) == len(self._place)
            barred = owners.barred if everybody else owners.barred[mine]
            barred = barred if everything else barred[:, self._items].tocsr()
            last.found = mine, on_grid(vectors if everybody else vectors[mine]), barred
            last.owners = owners
        return last.found

    def score(self, owners: Owners, candidates: Candidates) -> NDArray[np.float32]:
        mine, vectors, _ = self._asked(owners)
        place = np.full(len(owners), -1)
        place[mine] = np.arange(len(mine))
        owner, item = place.take(candidates.owner), self._place.take(candidates.item)
        able = (owner >= 0) & (item >= 0)
        if able.all():
            return self._product.score(vectors, owner, item)
        result = np.full(len(item), np.nan, np.float32)
        result[able] = self._product.score(vectors, owner[able], item[able])
        return result

    def _vectors(self, owners: Owners) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return (b, d) vectors and (b,) known owners. Vectors of unknown owners are meaningless."""
        if self._one is not None:
            return self._one, np.ones(1, bool)
        if not len(self._known):
            return np.zeros((len(owners), self._product.vectors.shape[1]), np.float32), np.zeros(len(owners), bool)
        row = np.maximum(owners.row, 0)
        return np.asarray(self._owner_vectors[row], np.float32), self._known[row] & (owners.row >= 0)


#: A shorter vector is unknown: its tokens cancel out and the rest is rounding.
NOTHING = 1e-6


def embed(
    texts: Sequence[Sequence[str]], tokens: NDArray[np.str_], token_vectors: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Embed token lists as unit vectors: the normalised sum of the vectors of known tokens.

    texts: n lists of tokens. tokens: (t,) ascending. token_vectors: (t, d); their lengths include the token's weight
    (idf).
    Returns (n, d) vectors and (n,) known. A text without known tokens, or whose vectors cancel out, has a zero vector.
    """
    flat = np.array([token for text in texts for token in text] or [""])[: sum(map(len, texts))]
    text = np.repeat(np.arange(len(texts)), [len(t) for t in texts])
    place = np.minimum(np.searchsorted(tokens, flat), max(len(tokens) - 1, 0))
    hit = tokens[place] == flat if len(tokens) else np.zeros(len(flat), bool)
    total = np.zeros((len(texts), token_vectors.shape[1]), np.float64)
    np.add.at(total, text[hit], token_vectors[place[hit]])
    norm = np.sqrt((total * total).sum(1))
    known = norm > NOTHING
    return np.where(known[:, None], total / np.maximum(norm, NOTHING)[:, None], 0).astype(np.float32), known


class TextFactorScorer(FactorScorer):
    """A factor source over a text space that also embeds owners' profile text (`Owners.text`).

    tokens: (t,) ascending. token_vectors: (t, d), of the same space as the other vectors.
    """

    def __init__(
        self,
        source: Source,
        owner_vectors: NDArray[np.float32] | Rows,
        known: NDArray[np.bool_],
        item_vectors: NDArray[np.float32] | Rows,
        item_known: NDArray[np.bool_],
        tokens: NDArray[np.str_],
        token_vectors: NDArray[np.float32],
        make: Callable[[NDArray[Any]], Product] = Float32Product,
    ) -> None:
        super().__init__(source, owner_vectors, known, item_vectors, item_known, make)
        self._tokens, self._token_vectors = tokens, np.asarray(token_vectors, np.float32)

    def _vectors(self, owners: Owners) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        vectors, known = super()._vectors(owners)
        if owners.text is None:
            return vectors, known
        unseen = np.flatnonzero(~known)
        found, understood = embed([self._words(owners.text[i]) for i in unseen], self._tokens, self._token_vectors)
        vectors[unseen], known[unseen] = found, understood
        return vectors, known

    def _words(self, text: str) -> list[str]:
        return text.split()


def open_scorer(bundle: Bundle, sides: Sides, source: Source) -> FactorScorer:
    """Open a bundle with user_factors and item_factors: "user" is the owner, "item" the listed side."""
    return FactorScorer(source, *sides.vectors(bundle, ("user", "item"), "factors"), make=sides.product)
