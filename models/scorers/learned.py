"""The learned ranker: an average of a few learners over many features, safer than the best of them (A07).

A logistic regression, trees that tell positives from the rest, trees that learn the order: each learner's raw score is
put on one scale with the mean and spread it had over the teaching rows, and the mean of them is squeezed into 0..1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from models.errors import BundleCorrupt
from models.nouns.bundle import Bundle
from models.nouns.vocabulary import Surface
from models.scorers.trees import Trees

LEARNED = "learned_ranker_v1"


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
class LearnedRanker:
    """One surface's average. names: (f,) the columns it reads. centre, spread: (learners,) of each raw score."""

    names: tuple[str, ...]
    learners: tuple[Learner, ...]
    centre: np.ndarray
    spread: np.ndarray
    name: str = "learned"

    @classmethod
    def of(cls, bundle: Bundle, surface: Surface) -> LearnedRanker:
        """Arrays `<surface folder>-<learner>_…` of the bundle. Raises BundleCorrupt where the surface has none."""
        about: Mapping[str, Any] | None = bundle.config["surfaces"].get(surface.value)
        if about is None:
            raise BundleCorrupt(f"{bundle.name} {bundle.version} was not taught {surface}; train it again")
        return cls.assembled(about["features"], about["learners"], bundle.arrays, f"{surface.folder}-")

    @classmethod
    def assembled(cls, names: list[str], learners: list[str], arrays: Mapping[str, np.ndarray],
                  prefix: str = "") -> LearnedRanker:
        """From arrays by name: `<prefix><learner>_…` of each learner, `<prefix>centre`, `<prefix>spread`."""
        found = tuple(_learner(name, arrays, f"{prefix}{name}_") for name in learners)
        return cls(tuple(names), found, arrays[f"{prefix}centre"], arrays[f"{prefix}spread"])

    def score(self, features: np.ndarray) -> np.ndarray:
        """(n, f) float32 in the order of `names` to (n,) float32 in 0..1."""
        total = np.zeros(len(features), np.float64)
        for learner, centre, spread in zip(self.learners, self.centre, self.spread, strict=True):
            total += (learner.score(features) - centre) / spread
        return (1 / (1 + np.exp(-total / len(self.learners)))).astype(np.float32)


def _learner(name: str, arrays: Mapping[str, np.ndarray], prefix: str) -> Learner:
    return Logistic(arrays[f"{prefix}weight"]) if name == "logistic" else Trees.of(arrays, prefix)
