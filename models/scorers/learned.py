"""The learned ranker: an average of a few learners over many features, safer than the best of them (A07).

A logistic regression, trees that tell positives from the rest, trees that learn the order: each learner's raw score is
put on one scale with the mean and spread it had over the teaching rows, and the mean of them is squeezed into 0..1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from models.errors import BundleCorrupt
from models.nouns.bundle import Bundle
from models.nouns.vocabulary import Surface
from models.scorers.trees import Trees

LEARNED = "learned_ranker_v1"
#: Who a part of the ranker is for, and the column that tells them apart: 0 is a stranger.
KNOWN, STRANGERS, EVERYBODY = "known", "strangers", "everybody"
EVENTS = "owner_events"


class Learner(Protocol):
    """Features (n, f) float32 to raw scores (n,), higher is better."""

    def score(self, features: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class Logistic:
    """A linear score. weight: (f,) float32. Term by term, so that equal features score equally wherever they stand."""

    weight: np.ndarray

    def score(self, features: np.ndarray) -> np.ndarray:
        total = np.zeros(len(features), np.float64)
        for i in np.flatnonzero(self.weight).tolist():
            total += features[:, i] * self.weight[i]
        return total


@dataclass(frozen=True, eq=False)
class Average:
    """Learners of one part of the owners. centre, spread: (learners,) of each raw score over the teaching rows."""

    learners: tuple[Learner, ...]
    centre: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, learners: Sequence[str], arrays: Mapping[str, np.ndarray], prefix: str = "") -> Average:
        """From arrays by name: `<prefix><learner>_…` of each learner, `<prefix>centre`, `<prefix>spread`."""
        found = tuple(_learner(name, arrays, f"{prefix}{name}_") for name in learners)
        return cls(found, arrays[f"{prefix}centre"], arrays[f"{prefix}spread"])

    def score(self, features: np.ndarray) -> np.ndarray:
        """(n, f) float32 to (n,) float32 in 0..1."""
        total = np.zeros(len(features), np.float64)
        for learner, centre, spread in zip(self.learners, self.centre, self.spread, strict=True):
            total += (learner.score(features) - centre) / spread
        return (1 / (1 + np.exp(-total / len(self.learners)))).astype(np.float32)


@dataclass(frozen=True, eq=False)
class LearnedRanker:
    """One surface's ranker. names: (f,) the columns it reads.

    parts: "known" for owners with events and "strangers" for those without, of whom only the profile speaks; or
    "everybody" where one of the two had too little to be taught by.
    """

    names: tuple[str, ...]
    parts: Mapping[str, Average]
    name: str = "learned"

    @classmethod
    def of(cls, bundle: Bundle, surface: Surface) -> LearnedRanker:
        """Arrays `<surface folder>-<part>-…` of the bundle. Raises BundleCorrupt where the surface was not taught."""
        about: Mapping[str, Any] | None = bundle.config["surfaces"].get(surface.value)
        if about is None:
            raise BundleCorrupt(f"{bundle.name} {bundle.version} was not taught {surface}; train it again")
        return cls.assembled(about, bundle.arrays, f"{surface.folder}-")

    @classmethod
    def assembled(cls, about: Mapping[str, Any], arrays: Mapping[str, np.ndarray], prefix: str = "") -> LearnedRanker:
        """about: "features", "parts" and "learners"; arrays `<prefix><part>-…`, see `Average.of`."""
        parts = {p: Average.of(about["learners"], arrays, f"{prefix}{p}-") for p in about["parts"]}
        return cls(tuple(about["features"]), parts)

    def score(self, features: np.ndarray) -> np.ndarray:
        """(n, f) float32 in the order of `names` to (n,) float32 in 0..1."""
        if EVERYBODY in self.parts:
            return self.parts[EVERYBODY].score(features)
        stranger = features[:, self.names.index(EVENTS)] == 0
        score = np.empty(len(features), np.float32)
        for part, mask in ((STRANGERS, stranger), (KNOWN, ~stranger)):
            if mask.all():
                return self.parts[part].score(features)
            score[mask] = self.parts[part].score(features[mask])
        return score


def _learner(name: str, arrays: Mapping[str, np.ndarray], prefix: str) -> Learner:
    return Logistic(arrays[f"{prefix}weight"]) if name == "logistic" else Trees.of(arrays, prefix)
