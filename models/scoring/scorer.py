"""What a source, a ranker and a model that takes in new events are, as protocols; how a bundle meets a surface."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from models.nouns.candidates import Candidates, Proposal
from models.nouns.interactions import Interactions
from models.nouns.owners import Owners
from models.schema import Source


class Scorer(Protocol):
    """One source of candidates on one surface. Items are positions in the surface's catalogue.

    A scorer abstains for an owner it does not know: an empty row from `propose`, NaN from `score`. It never pads,
    never proposes what is barred, and gives one owner alone what it gives the owner within a batch.
    """

    source: Source

    def propose(self, owners: Owners, k: int) -> Proposal:
        """Up to k best items an owner, best first, ties by position."""
        ...

    def score(self, owners: Owners, candidates: Candidates) -> np.ndarray:
        """(nnz,) float32 raw score of every pair of `candidates`, NaN where the source abstains (R06)."""
        ...


class Fold(Protocol):
    """One model's way to take in what came since."""

    def vector(self, owners: Owners, events: Interactions, as_of_us: int) -> np.ndarray | None:
        """(d,) float32 of a batch of one, None where the events tell this model nothing.

        events: all there are of the owner, by entity row of the item; the model was taught those before as_of_us.
        """
        ...


class Ranker(Protocol):
    """Features to a score in 0..1; higher is better."""

    @property
    def name(self) -> str: ...

    def score(self, features: np.ndarray) -> np.ndarray:
        """(…, len(FEATURES)) float32 to (…) float32."""
        ...
