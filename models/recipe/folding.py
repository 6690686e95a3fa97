"""What somebody did since the models were taught, folded into those that have a vector of everybody.

ALS is solved anew for the one owner with the items' factors held still (implicit's partial fit); the two-tower's user
tower reads the longer history. Both give the vector that training would have given, but for what it had learned of
everybody else by then. Immutable; safe to use from several threads.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from scipy import sparse

from models.nouns.bundle import Bundle
from models.nouns.id_map import IdMap
from models.nouns.interactions import Interactions
from models.nouns.owners import Owners
from models.scorers.tower import TowerScorer


class Fold(Protocol):
    """One model's way to take in what came since."""

    def vector(self, owners: Owners, events: Interactions, as_of_us: int) -> np.ndarray | None:
        """(d,) float32 of a batch of one, None where the events tell this model nothing.

        events: all there are of the owner, by entity row of the item; the model was taught those before as_of_us.
        """
        ...


class AlsFold:
    """Hu, Koren, Volinsky 2008, equation 4, for one owner; the same numbers as implicit's `recalculate_user`.

    bundle: als_v1 or als_reverse_v1. items: entity rows of the other side, of every role.
    """

    def __init__(self, bundle: Bundle, items: IdMap) -> None:
        self._factors = np.asarray(bundle.arrays["item_factors"], np.float32)
        self._place = bundle.maps["item"].rows_of(items.ids)
        self._gram = (self._factors.T @ self._factors).astype(np.float64)
        self._config = bundle.config

    def vector(
        self,
        owners: Owners,  # noqa: ARG002 - knows people by what they did alone
        events: Interactions,
        as_of_us: int,
    ) -> np.ndarray | None:
        """See `Fold.vector`."""
        config = self._config
        half_life = float(config.get("half_life_days", 0.0))
        now_us = int(config.get("faded_from_us", as_of_us))  # as the factors were taught
        weights = lifted(events.csr(half_life or None, now_us, str(config["damping"])), float(config["alpha"]))
        place = self._place[weights.indices]
        confidence = float(config["alpha"]) * weights.data[place >= 0].astype(np.float64)
        if len(events) < int(config["min_interactions"]) or not (confidence > 0).any():
            return None
        met = self._factors[place[place >= 0]].astype(np.float64)
        left = self._gram + (met.T * (np.abs(confidence) - 1)) @ met
        left[np.diag_indices_from(left)] += float(config["regularization"])
        return np.linalg.solve(left, met.T @ np.maximum(confidence, 0)).astype(np.float32)


class TowerFold:
    """The user tower with a longer history: words and id as they were, the mean of the startups met as it is now.

    scorer: the two-tower of a surface whose owners are people. lengths: (owners,) float32 of each one's vector before
    it was scaled to 1. history: (startups, d) float32 what each says of whoever met it, zeros where nobody trained it.
    longest: startups of a history that are read, the newest.
    """

    def __init__(self, scorer: TowerScorer, lengths: np.ndarray, history: np.ndarray, longest: int) -> None:
        self._scorer, self._lengths, self._history, self._longest = scorer, lengths, history, longest
        self._taught = np.asarray(history.any(axis=1))

    def vector(self, owners: Owners, events: Interactions, as_of_us: int) -> np.ndarray | None:
        """See `Fold.vector`."""
        now = self._told_by(events)
        trained = self._scorer.trained(owners)
        if trained is None:
            total = self._scorer.words_vector("" if owners.text is None else owners.text[0]) + now
        else:
            total = self._lengths[owners.row[0]] * trained - self._told_by(events.before(as_of_us)) + now
        length = float(np.linalg.norm(total))
        return (total / length).astype(np.float32) if now.any() and length > 1e-9 else None

    def _told_by(self, events: Interactions) -> np.ndarray:
        """(d,) the mean of the newest startups that the person was interested in."""
        liked = events.csr()
        item = liked.indices[liked.data > 0]
        item = item[self._taught[item]]
        last = np.zeros(self._history.shape[0], np.int64)
        np.maximum.at(last, events.item, events.at)
        newest = item[np.lexsort((item, -last[item]))][: self._longest]
        return self._history[newest].mean(axis=0) if len(newest) else np.zeros(self._history.shape[1], np.float32)


def lifted(weights: sparse.csr_matrix, alpha: float) -> sparse.csr_matrix:
    """The same signs, and a product with alpha of at least 1: less would count less than never having met."""
    weights.data = np.sign(weights.data) * np.maximum(np.abs(weights.data), np.float32(1.0 / alpha))
    return weights
