"""Ranks by a weighted sum of terms (stacked generalization, Wolpert 1992). No weight is negative.

A term scales one column of `models.features.table` over an owner's candidates, so weights mean the same on every
marketplace. Where a learned ranker was trained on few data, the mean of both is safer than either: reciprocal rank
fusion (Cormack, Clarke and Büttcher 2009).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models import learned_ranker
from models.data.bundle import Bundle
from models.data.columns import Features, weighted_sum
from models.learned_ranker.scorer import ACTIVITY, EVENTS, LEARNED, LearnedRanker, trained_ranker
from models.ranker import RankerConfig
from models.schema import Surface
from models.scoring.scorer import RankerAsked, Ranks
from models.stacked_ranker import SPEC

STACKED = SPEC.bundle
#: Smallest value of a ratio, so that its logarithm is finite.
_FLOOR = 0.01
_SCORE = "score_"
KNOWN, UNSEEN = "known", "unseen"
#: Added to each rank before the fusion. 5 to 60 were equal within noise.
_RANKS = 5

#: The kinds of rankers whose mean serves as "stacked" where `is_mean`.
MEAN_OF = (SPEC.kind, learned_ranker.SPEC.kind)

Scale = Callable[[NDArray[np.float64], NDArray[np.int64]], NDArray[np.float64]]


def _log_ratio(value: NDArray[np.float64], owner: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return ln(FLOOR + value / the owner's largest value). Sums of it are products of scores."""
    most = _largest(value, owner)
    return np.log(_FLOOR + np.maximum(value, 0) / np.where(most > 0, most, 1))


def _log_ratio_of_log(value: NDArray[np.float64], owner: NDArray[np.int64]) -> NDArray[np.float64]:
    return _log_ratio(np.exp(value), owner)


def _min_max(value: NDArray[np.float64], owner: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return 0..1 over the owner's candidates; 0 if all are equal."""
    least = -_largest(-value, owner)
    span = _largest(value, owner) - least
    return (value - least) / np.where(span > 0, span, 1)


def _min_max_of_log(value: NDArray[np.float64], owner: NDArray[np.int64]) -> NDArray[np.float64]:
    return _min_max(np.exp(value), owner)


def _largest(value: NDArray[np.float64], owner: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (n,) the largest value of the same owner. Owners ascend."""
    first = np.flatnonzero(np.append(True, owner[1:] != owner[:-1])[: len(owner)])
    return np.repeat(np.maximum.reduceat(value, first), np.diff(np.append(first, len(owner)))) if len(first) else value


#: By name: column and scale.
TERMS: Mapping[str, tuple[str, Scale]] = {
    "content": ("score_content_based", _log_ratio),
    "content_scaled": ("score_content_based", _min_max),
    "als": ("score_als", _min_max),
    "als_reverse": ("score_als_reverse", _min_max),
    "two_tower": ("score_two_tower", _min_max),
    "neighbours": ("score_item_neighbours", _min_max),
    "demand": ("demand", _log_ratio_of_log),
    "demand_scaled": ("demand", _min_max_of_log),
    "recent": ("item_heat_0.03", _min_max),
    "popular": ("item_events", _min_max),
}


def columns_of(terms: Collection[str]) -> tuple[str, ...]:
    """Return the columns that these terms read, and the number of the owner's events."""
    return (*dict.fromkeys(TERMS[term][0] for term in terms), EVENTS)


def cells_of(terms: Collection[str], features: Features, indptr: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    """Return each term, (n,). A column that is missing gives zeros."""
    owner = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    there = {name: features.columns[name].of() for name in columns_of(terms) if name in features.columns}
    return [
        scale(there[column].astype(np.float64), owner) if column in there else np.zeros(features.rows)
        for column, scale in (TERMS[term] for term in terms)
    ]


@dataclass(frozen=True, eq=False)
class StackedRanker(LearnedRanker):
    """The ranker of one surface. weights: of each term, (terms,), for KNOWN and UNSEEN owners.

    learned: the other half of the mean; None: the weighted sum alone.
    """

    terms: tuple[str, ...] = ()
    weights: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    learned: LearnedRanker | None = None
    name: str = "stacked"

    @property
    def mean_of(self) -> tuple[str, ...]:
        return () if self.learned is None else MEAN_OF

    @classmethod
    def of_surface(
        cls, bundle: Bundle, surface: Surface, silent: Collection[str] = (), learned: LearnedRanker | None = None
    ) -> StackedRanker:
        """Read a bundle. silent: sources without scores; their terms are left out."""
        told = bundle.config["surfaces"][surface.value]["terms"]
        gone = {f"{_SCORE}{source}" for source in silent}
        kept = [i for i, term in enumerate(told) if TERMS[term][0] not in gone]
        terms = tuple(told[i] for i in kept)
        weights = {part: bundle.arrays[f"{surface.folder}-{part}"][kept] for part in (KNOWN, UNSEEN)}
        first = () if learned is None else learned.names
        return cls(
            tuple(dict.fromkeys((*first, *columns_of(terms)))), {}, terms=terms, weights=weights, learned=learned
        )

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n,) scores of (n, f) features of one list."""
        return self.score_lists(Features.dense(self.names, features), np.array([0, len(features)]))

    def score_lists(self, features: Features, indptr: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return (n,) scores in 0..1 of whole lists."""
        if not features.rows:
            return np.zeros(0, np.float32)
        cells = cells_of(self.terms, features, indptr)
        known, unseen = (weighted_sum(list(zip(self.weights[p], cells, strict=True))) for p in (KNOWN, UNSEEN))
        total = np.where(features.columns[EVENTS].of() > 0, known, unseen)
        score = np.asarray(1 / (1 + np.exp(-total)), np.float32)
        if self.learned is None:
            return score
        ranks, other = Ranks(indptr), self.learned.score_lists(features.only(self.learned.names), indptr)
        both = sum(1 / (_RANKS + ranks.of(each)) for each in (score, other))
        return np.asarray(both * (1 + _RANKS) / 2, np.float32)  # 1 for an item that is first in both


def is_mean(bundle: Bundle, surface: Surface) -> bool:
    """Return whether the ranker "stacked" of a surface is the mean of MEAN_OF.

    docs/decisions/0059-mean-of-rankers.md says why.
    """
    return bool(bundle.config["surfaces"].get(surface.value, {}).get("mean"))


def open_ranker(asked: RankerAsked, config: RankerConfig) -> StackedRanker | None:  # noqa: ARG001 - all is stored
    """Open the surface's blend if it may serve. A blend requested by name need not have passed."""
    if asked.bundle is None or not asked.union or ACTIVITY not in asked.bundles:
        return None
    about = asked.bundle.config["surfaces"].get(asked.surface.value)
    if about is None or not (about["serves"] or asked.by_name):
        return None
    learned = trained_ranker(asked.bundles.get(LEARNED), asked) if is_mean(asked.bundle, asked.surface) else None
    return StackedRanker.of_surface(asked.bundle, asked.surface, asked.silent, learned)
