"""The learned ranker: an average of several learners over many features, safer than the best one (A07).

Each raw score is standardised by its mean and spread over the training rows; a sigmoid maps their mean to 0..1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.data.bundle import Bundle
from models.errors import BundleCorrupt
from models.gbdt.trees import Trees
from models.learned_ranker import SPEC
from models.ranker import RankerConfig
from models.schema import Surface
from models.scoring.scorer import RankerAsked, log_rank

LEARNED = SPEC.bundle
#: Facts and demand of all entities, which the ranker's features need.
ACTIVITY = "activity_v1"
#: Parts of the owners: with events, without events (cold-start), all. The column EVENTS is 0 for cold-start owners.
KNOWN, STRANGERS, EVERYBODY = "known", "strangers", "everybody"
EVENTS = "owner_events"
#: Candidates of a list that every learner scores. Twice as many changed no list's first ten on crunchbase.
LOOKED_AT = 100

_ROWS = 8192  # rows per block of a linear score, so that its sums stay in the cache


class Learner(Protocol):
    """Features (n, f) to raw scores (n,); higher is better."""

    def score(self, features: NDArray[Any]) -> NDArray[Any]: ...


@dataclass(frozen=True, eq=False)
class Logistic:
    """A linear score. weight: (f,).

    It adds term by term, so that equal features score equally in every batch.
    """

    weight: NDArray[np.float64]

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        total = np.zeros(len(features), np.float64)
        terms = [(i, self.weight[i]) for i in np.flatnonzero(self.weight).tolist()]
        for start in range(0, len(features), _ROWS):
            block, mine = features[start : start + _ROWS], total[start : start + _ROWS]
            term = np.empty(len(block), np.float64)
            for i, weight in terms:
                np.add(mine, np.multiply(block[:, i], weight, out=term), out=mine)
        return total


@dataclass(frozen=True, eq=False)
class AveragedRanker:
    """The learners of one part. centre, spread: (learners,) of each raw score over the training rows."""

    learners: tuple[Learner, ...]
    centre: NDArray[np.float64]
    spread: NDArray[np.float64]

    @classmethod
    def from_arrays(
        cls, learners: Sequence[str], arrays: Mapping[str, NDArray[Any]], prefix: str = ""
    ) -> AveragedRanker:
        found = tuple(_learner(name, arrays, f"{prefix}{name}_") for name in learners)
        return cls(found, arrays[f"{prefix}centre"], arrays[f"{prefix}spread"])

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        total = np.zeros(len(features), np.float64)
        for learner, centre, spread in zip(self.learners, self.centre, self.spread, strict=True):
            total += (learner.score(features) - centre) / spread
        return (1 / (1 + np.exp(-total / len(self.learners)))).astype(np.float32)


@dataclass(frozen=True, eq=False)
class LearnedRanker:
    """The ranker of one surface. names: (f,) its columns.

    parts: one for owners with events and one for cold-start owners, or one for all if either has too few training
    samples.
    """

    names: tuple[str, ...]
    parts: Mapping[str, AveragedRanker]
    name: str = "learned"

    @classmethod
    def from_bundle(cls, bundle: Bundle, surface: Surface) -> LearnedRanker:
        """Arrays `<surface folder>-<part>-…`. Raises BundleCorrupt if the bundle lacks the surface."""
        about: Mapping[str, Any] | None = bundle.config["surfaces"].get(surface.value)
        if about is None:
            raise BundleCorrupt(f"{bundle.name} {bundle.version} has no ranker of {surface}; train it again")
        return cls.assembled(about, bundle.arrays, f"{surface.folder}-")

    @classmethod
    def assembled(cls, about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], prefix: str = "") -> LearnedRanker:
        """about: "features", "parts" and "learners". arrays: `<prefix><part>-…`, see `AveragedRanker.from_arrays`."""
        parts = {p: AveragedRanker.from_arrays(about["learners"], arrays, f"{prefix}{p}-") for p in about["parts"]}
        return cls(tuple(about["features"]), parts)

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._by_part(features, lambda part, rows: part.score(rows))

    def first_look(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n,) raw score of the first learner: fast, and good enough to select candidates for the others."""
        return self._by_part(features, lambda part, rows: part.learners[0].score(rows))

    def score_lists(self, features: NDArray[np.float32], indptr: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n,) scores in 0..1 of whole lists by a cascade (Viola and Jones 2001).

        All learners score the LOOKED_AT best candidates of each list by `first_look`. The others follow in that order.
        """
        rank = np.rint(np.exp(log_rank(self.first_look(features), indptr)))
        chosen = rank <= LOOKED_AT
        score = np.zeros(len(rank), np.float32)
        score[chosen] = self.score(features.T[:, chosen].T)
        if chosen.all():
            return score
        length = np.diff(indptr)
        floor = np.minimum.reduceat(np.where(chosen, score, np.inf), indptr[:-1][length > 0])
        floors = np.repeat(floor, length[length > 0])
        return np.where(chosen, score, floors * LOOKED_AT / rank).astype(np.float32)

    def _by_part(
        self, features: NDArray[np.float32], of: Callable[[AveragedRanker, NDArray[Any]], NDArray[Any]]
    ) -> NDArray[np.float32]:
        if EVERYBODY in self.parts:
            return of(self.parts[EVERYBODY], features).astype(np.float32)
        unseen = features[:, self.names.index(EVENTS)] == 0
        score = np.empty(len(features), np.float32)
        for part, mask in ((STRANGERS, unseen), (KNOWN, ~unseen)):
            if mask.all():
                return of(self.parts[part], features).astype(np.float32)
            score[mask] = of(self.parts[part], features.T[:, mask].T)  # column by column, as stored
        return score


def _learner(name: str, arrays: Mapping[str, NDArray[Any]], prefix: str) -> Learner:
    return Logistic(arrays[f"{prefix}weight"]) if name == "logistic" else Trees.from_arrays(arrays, prefix)


def open_ranker(asked: RankerAsked, config: RankerConfig) -> LearnedRanker | None:  # noqa: ARG001 - all is stored
    """The surface's ranker if it was trained, passed evaluation, and all sources of its features are available.

    Requested by name it need not have passed.
    """
    bundle = asked.bundle
    if bundle is None or not asked.union or ACTIVITY not in asked.bundles:
        return None
    about = bundle.config["surfaces"].get(asked.surface.value)
    passed = about is not None and (about["serves"] or asked.by_name)
    if not passed or {f"score_{name}" for name in asked.silent} & set(about["features"]):
        return None
    return LearnedRanker.from_bundle(bundle, asked.surface)
