"""The learned ranker: an average of several learners, safer than the best one (A07).

Each raw score is standardised by its mean and spread over the training rows. A sigmoid maps the mean of these scores to
0..1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.data.bundle import Bundle
from models.data.columns import Features, weighted_sum
from models.errors import BundleCorrupt
from models.gbdt.trees import Trees
from models.learned_ranker import SPEC
from models.ranker import RankerConfig
from models.schema import Surface
from models.scoring.scorer import RankerAsked, Ranks

LEARNED = SPEC.bundle
#: Facts and demand of all entities, for the ranker's features.
ACTIVITY = "activity_v1"
#: Parts of the owners: with events, cold-start (without events), all. The column EVENTS is 0 for cold-start owners.
KNOWN, STRANGERS, EVERYBODY = "known", "strangers", "everybody"
EVENTS = "owner_events"
#: Candidates of a list that every learner scores. Twice as many changed no NDCG@10 beyond the third digit.
LOOKED_AT = 50


class Learner(Protocol):
    """Maps features (n, f) to raw scores (n,); higher is better."""

    def score(self, features: NDArray[Any]) -> NDArray[Any]: ...


@dataclass(frozen=True, eq=False)
class Logistic:
    """A linear score. weight: (f,).

    Terms are added one by one, so that equal features score equally in every batch.
    """

    weight: NDArray[np.float64]

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        return weighted_sum(list(zip(self.weight, features.T, strict=True)))


@dataclass(frozen=True, eq=False)
class AveragedRanker:
    """The learners of one part. centre, spread: (learners,) of the raw scores in training."""

    learners: tuple[Learner, ...]
    centre: NDArray[np.float64]
    spread: NDArray[np.float64]

    @classmethod
    def from_arrays(
        cls, learners: Sequence[str], arrays: Mapping[str, NDArray[Any]], prefix: str = ""
    ) -> AveragedRanker:
        found = tuple(_learner(name, arrays, f"{prefix}{name}_") for name in learners)
        return cls(found, arrays[f"{prefix}centre"], arrays[f"{prefix}spread"])

    def score(self, features: Features, rows: NDArray[np.int64], first: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return (n,) scores in 0..1 of these rows. first: their raw scores by the first learner."""
        total, parts = (first - self.centre[0]) / self.spread[0], features.parts(rows)
        for learner, centre, spread in zip(self.learners[1:], self.centre[1:], self.spread[1:], strict=True):
            raw = learner.score_parts(parts) if isinstance(learner, Trees) else learner.score(features.cells(rows))
            total += (raw - centre) / spread
        return (1 / (1 + np.exp(-total / len(self.learners)))).astype(np.float32)

    def first_look(self, features: Features, rows: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Return (n,) raw scores of the first learner.

        It is fast, and good enough to select candidates for the others.
        """
        first = self.learners[0]
        if isinstance(first, Logistic):
            return features.weighted(first.weight, rows)
        return np.asarray(first.score(features.cells(rows)), np.float64)


@dataclass(frozen=True, eq=False)
class LearnedRanker:
    """The ranker of one surface. names: (f,) its columns.

    parts: owners with events and cold-start owners, or one for all if either has too few training samples.
    """

    names: tuple[str, ...]
    parts: Mapping[str, AveragedRanker]
    name: str = "learned"

    @property
    def mean_of(self) -> tuple[str, ...]:
        """Return the kinds of rankers whose mean this one is; empty if it is only itself."""
        return ()

    @classmethod
    def from_bundle(cls, bundle: Bundle, surface: Surface) -> LearnedRanker:
        """Read the arrays `<surface folder>-<part>-…`. Raises BundleCorrupt if the bundle lacks the surface."""
        if not is_trained(bundle, surface):
            raise BundleCorrupt(f"{bundle.name} {bundle.version} has no ranker of {surface}; train it again")
        return cls.assembled(bundle.config["surfaces"][surface.value], bundle.arrays, f"{surface.folder}-")

    @classmethod
    def assembled(cls, about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], prefix: str = "") -> LearnedRanker:
        """Make the ranker from arrays `<prefix><part>-…`, see `AveragedRanker.from_arrays`.

        about: "features", "parts" and "learners".
        """
        parts = {p: AveragedRanker.from_arrays(about["learners"], arrays, f"{prefix}{p}-") for p in about["parts"]}
        return cls(tuple(about["features"]), parts)

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n,) scores in 0..1 of (n, f) features, by all learners."""
        whole = Features.dense(self.names, features)
        score = np.empty(len(features), np.float32)
        for part, rows in self._by_part(whole):
            score[rows] = part.score(whole, rows, part.first_look(whole, rows))
        return score

    def score_lists(self, features: Features, indptr: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return (n,) scores in 0..1 of whole lists by a cascade (Viola and Jones 2001).

        The first learner orders each list. All learners score its LOOKED_AT best; the others follow in its order.
        """
        parts = self._by_part(features)
        look = np.empty(features.rows)
        for part, rows in parts:
            look[rows] = part.first_look(features, None if len(rows) == features.rows else rows)
        rank = Ranks(indptr).of(look.astype(np.float32))
        chosen = rank <= LOOKED_AT
        score = np.zeros(features.rows, np.float32)
        for part, rows in parts:
            mine = rows[chosen[rows]]
            score[mine] = part.score(features, mine, look[mine])
        if chosen.all():
            return score
        length = np.diff(indptr)
        floor = np.minimum.reduceat(np.where(chosen, score, np.inf), indptr[:-1][length > 0])
        floors = np.repeat(floor, length[length > 0])
        return np.where(chosen, score, floors * LOOKED_AT / rank).astype(np.float32)

    def _by_part(self, features: Features) -> list[tuple[AveragedRanker, NDArray[np.int64]]]:
        """Return each part's ranker and the rows of its candidates."""
        if EVERYBODY in self.parts:
            return [(self.parts[EVERYBODY], np.arange(features.rows))]
        unseen = features.columns[EVENTS].of() == 0
        found = ((STRANGERS, np.flatnonzero(unseen)), (KNOWN, np.flatnonzero(~unseen)))
        return [(self.parts[part], rows) for part, rows in found if len(rows)]


def _learner(name: str, arrays: Mapping[str, NDArray[Any]], prefix: str) -> Learner:
    return Logistic(arrays[f"{prefix}weight"]) if name == "logistic" else Trees.from_arrays(arrays, prefix)


def is_trained(bundle: Bundle, surface: Surface) -> bool:
    """Return whether the bundle has a ranker of the surface, not only the verdict on one."""
    return "features" in bundle.config["surfaces"].get(surface.value, {})


def trained_ranker(bundle: Bundle | None, asked: RankerAsked) -> LearnedRanker | None:
    """Open the surface's ranker if it was trained and has all its sources, whether it passed evaluation or not."""
    if bundle is None or not is_trained(bundle, asked.surface):
        return None
    if {f"score_{name}" for name in asked.silent} & set(bundle.config["surfaces"][asked.surface.value]["features"]):
        return None
    return LearnedRanker.from_bundle(bundle, asked.surface)


def open_ranker(asked: RankerAsked, config: RankerConfig) -> LearnedRanker | None:  # noqa: ARG001 - all is stored
    """Open the surface's ranker if it was trained, passed evaluation, and has all its sources.

    A ranker requested by name need not have passed. It is trained then if the build knew of the request.
    """
    if asked.bundle is None or not asked.union or ACTIVITY not in asked.bundles:
        return None
    passed = asked.by_name or asked.bundle.config["surfaces"].get(asked.surface.value, {}).get("serves")
    return trained_ranker(asked.bundle, asked) if passed else None
