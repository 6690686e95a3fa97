"""The two-tower at serving: a factor source that also embeds unseen owners' profile text (A05)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.batch import Owners
from models.data.bundle import Bundle
from models.data.interactions import Interactions
from models.schema import Entity, Role, Surface
from models.scoring.factors import FactorScorer, TextFactorScorer
from models.scoring.scorer import Rows, Scorer, Sides, aligned, some
from models.scoring.top_k import Float32Product, Product
from models.spec import Source
from models.two_tower import TWO_TOWER


def role_word(role: Role) -> str:
    """Return the token for a user's role."""
    return f"role:{role}"


class TwoTowerScorer(TextFactorScorer):
    """Embeds the rarest tokens of an unseen owner's profile, including the role of the surface.

    bundle: two_tower_v1 with the arrays of its tokens. Other arrays as for FactorScorer. A text without a known token
    besides the role is unknown.
    """

    def __init__(
        self,
        surface: Surface,
        bundle: Bundle,
        owner_vectors: NDArray[np.float32] | Rows,
        known: NDArray[np.bool_],
        item_vectors: NDArray[np.float32] | Rows,
        item_known: NDArray[np.bool_],
        make: Callable[[NDArray[Any]], Product] = Float32Product,
    ) -> None:
        person = surface.owner is Entity.USER
        vectors = bundle.arrays["token_vectors" if person else "startup_token_vectors"]
        super().__init__(
            TWO_TOWER, owner_vectors, known, item_vectors, item_known, bundle.arrays["tokens"], vectors, make
        )
        self._rarity = bundle.arrays["rarity"]
        self._most = int(bundle.config["words"])
        self._role = [role_word(surface.role)] if person else []

    def words_vector(self, text: str) -> NDArray[np.float32]:
        """Return (d,) mean of the token vectors of a text and the role; zero without a known token."""
        place = self._rarest(self._read_text(text))
        return self._token_vectors[place].mean(axis=0) if len(place) else np.zeros_like(self._product.vectors[0])

    def _words(self, text: str) -> list[str]:
        told = self._read_text(text)
        return list(self._tokens[self._rarest(told)]) if len(told) else []

    def _rarest(self, told: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return indices of the rarest tokens, ties by name, as in `models.two_tower.inputs.words_of`."""
        place = np.unique(np.append(told, self._read(np.array(self._role, str))))
        return place[np.lexsort((place, -self._rarity[place]))][: self._most]

    def _read_text(self, text: str) -> NDArray[np.int64]:
        return self._read(np.unique(np.array(text.split(), str)))

    def _read(self, words: NDArray[np.str_]) -> NDArray[np.int64]:
        if not len(self._tokens):
            return np.zeros(0, np.int64)
        place = np.minimum(np.searchsorted(self._tokens, words), len(self._tokens) - 1)
        return place[self._tokens[place] == words]


class TwoTowerFoldIn:
    """The user tower with a longer history: id and tokens stay, the mean of the startups is recomputed.

    scorer: of a surface whose owners are users. lengths: (owners,) vector lengths before normalisation.
    history: (startups, d) contributions, zeros if untrained. longest: most startups of a history, the newest.
    """

    def __init__(
        self, scorer: TwoTowerScorer, lengths: NDArray[np.float32], history: NDArray[np.float32], longest: int
    ) -> None:
        self._scorer, self._lengths, self._history, self._longest = scorer, lengths, history, longest
        self._trained = some(history)

    def vector(self, owners: Owners, events: Interactions, as_of_us: int) -> NDArray[np.float32] | None:
        now = self._told_by(events)
        trained = self._scorer.vector_of(owners)
        if trained is None:
            total = self._scorer.words_vector("" if owners.text is None else owners.text[0]) + now
        else:
            total = self._lengths[owners.row[0]] * trained - self._told_by(events.before(as_of_us)) + now
        length = float(np.linalg.norm(total))
        return (total / length).astype(np.float32) if now.any() and length > 1e-9 else None

    def _told_by(self, events: Interactions) -> NDArray[np.float32]:
        """Return (d,) mean contribution of the newest startups with positive interactions."""
        liked = events.csr()
        item = liked.indices[liked.data > 0]
        item = item[self._trained[item]]
        last = np.zeros(self._history.shape[0], np.int64)
        np.maximum.at(last, events.item, events.at)
        newest = item[np.lexsort((item, -last[item]))][: self._longest]
        return self._history[newest].mean(axis=0) if len(newest) else np.zeros(self._history.shape[1], np.float32)


def open_scorer(bundle: Bundle, sides: Sides, source: Source) -> FactorScorer:
    """Open the bundle two_tower_v1, with sides swapped on founders' surfaces (R24)."""
    vectors = sides.vectors(bundle, ("user", "item") if sides.forward else ("item", "user"), "factors")
    if "tokens" not in bundle.arrays:  # from a version that did not store token vectors
        return FactorScorer(source, *vectors, make=sides.product)
    return TwoTowerScorer(sides.surface, bundle, *vectors, make=sides.product)


def open_fold(scorer: Scorer, bundle: Bundle, sides: Sides) -> TwoTowerFoldIn | None:
    """Open the fold-in; None for startups, which have no history, and for bundles without history vectors."""
    if not (sides.forward and isinstance(scorer, TwoTowerScorer) and "history_vectors" in bundle.arrays):
        return None
    lengths = aligned(bundle, "user_lengths", "user", sides.owners.ids)
    history = aligned(bundle, "history_vectors", "item", sides.items.ids)
    return TwoTowerFoldIn(scorer, lengths, history, int(bundle.config["history"]))
