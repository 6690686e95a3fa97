"""The read side of the models: NumPy and SciPy only, built from bundles, fitted by nobody."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from models.nouns.candidates import Candidates, Proposal
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
