"""Teach the learned ranker of one surface: what of an owner's candidates did they meet next?

The learners fail in different ways: the regression is steady and knows no corners, the trees find them and overfit.
Their average did better out of time than the learner that was best on the validation split
(docs/decisions/0014-learned-ranker.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import TrainingError
from models.gbdt.fit import Objective, TreeShape, fit_trees
from models.learned_ranker.scorer import EVENTS, EVERYBODY, KNOWN, STRANGERS, AveragedRanker, LearnedRanker
from models.ranker import RankerConfig

#: Rows of one part that are read at most: twice as many were worth nothing beyond chance on crunchbase, and minutes.
MOST_ROWS = 75_000
#: Strength of the regression's l2 penalty, as scikit-learn counts it, over standardised columns.
_C = 0.1
_BINARY = TreeShape(trees=200, leaves=8, learning_rate=0.05, min_leaf=50, l2=10.0, columns=0.5)
_ORDER = TreeShape(trees=150, leaves=8, learning_rate=0.05, min_leaf=50, l2=10.0, columns=0.5)
#: By name: what trees learn from, their shape, and which seed.
_FORESTS: dict[str, tuple[Objective, TreeShape, int]] = {
    "binary": ("binary", _BINARY, 0),
    "binary_again": ("binary", _BINARY, 1),
    "order": ("lambdarank", _ORDER, 0),
    "order_again": ("lambdarank", _ORDER, 1),
}
LEARNERS = ("logistic", *_FORESTS)


@dataclass(frozen=True, eq=False)
class RankerRows:
    """Candidates of earlier instants with their outcome.

    names: (f,) columns. features: (n, f) float32, finite. label: (n,) 0 or 1. group: (n,) int, one list of one owner.
    newest_us: when the newest pair labelled 1 met, microseconds since 1970 UTC.
    """

    names: tuple[str, ...]
    features: NDArray[np.float32]
    label: NDArray[np.int8]
    group: NDArray[np.integer[Any]]
    newest_us: int = 0

    def __post_init__(self) -> None:
        if self.features.shape != (len(self.label), len(self.names)) or len(self.group) != len(self.label):
            raise TrainingError(
                f"expected {len(self.names)} features, a label and a group a row, got "
                f"{self.features.shape}, {self.label.shape}, {self.group.shape}; teach again"
            )

    @property
    def positives(self) -> int:
        return int(self.label.sum())

    @property
    def owners_taught(self) -> int:
        """Lists with a positive: the others teach no order."""
        return len(np.unique(self.group[self.label > 0]))

    @property
    def orders(self) -> bool:
        """Whether any list has both outcomes."""
        return bool(np.isin(self.group[self.label > 0], self.group[self.label == 0]).any())

    def where(self, mask: NDArray[np.bool_]) -> RankerRows:
        """The rows of a boolean mask."""
        return replace(self, features=self.features[mask], label=self.label[mask], group=self.group[mask])

    def thinned(self, most: int, seed: int) -> RankerRows:
        """At most about `most` rows: whole lists, drawn at random, since half a list teaches another order."""
        if len(self.label) <= most:
            return self
        group, inverse = np.unique(self.group, return_inverse=True)
        kept = np.random.default_rng(seed).random(len(group)) < most / len(self.label)
        return self.where(kept[inverse])

    def without(self, prefixes: tuple[str, ...]) -> RankerRows:
        """The rows without the columns whose names start so."""
        kept = [i for i, name in enumerate(self.names) if not name.startswith(prefixes)]
        return replace(self, names=tuple(self.names[i] for i in kept), features=self.features[:, kept])


@dataclass(frozen=True, eq=False)
class FittedRanker:
    """One surface's ranker as arrays `<part>-…`, and what to tell of it."""

    arrays: Mapping[str, NDArray[Any]]
    about: Mapping[str, Any]

    @property
    def ranker(self) -> LearnedRanker:
        return LearnedRanker.assembled(self.about, self.arrays)


def fit_learned_ranker(rows: RankerRows, config: RankerConfig, seed: int = 42, threads: int = 1) -> FittedRanker:
    """Fit every learner, for known owners and for strangers apart where both have enough positives.

    The same rows and settings give the same bytes. Raises TrainingError under `min_positives` (C53) or where no
    list has both outcomes.
    """
    least = config.min_positives
    if rows.positives < least:
        raise TrainingError(f"{rows.positives} positives among the candidates of earlier cuts, {least} needed (C53)")
    stranger = rows.features[:, rows.names.index(EVENTS)] == 0
    parts = {KNOWN: rows.where(~stranger), STRANGERS: rows.where(stranger)}
    if min(part.positives for part in parts.values()) < least or not all(part.orders for part in parts.values()):
        parts = {EVERYBODY: rows}
    if not rows.orders:
        raise TrainingError("no list has both a candidate that was met and one that was not: nothing teaches an order")
    arrays: dict[str, NDArray[Any]] = {}
    told = {}
    for name, part in parts.items():
        part = part.thinned(MOST_ROWS, seed)
        found, gain = _average(part, seed, threads)
        arrays |= {f"{name}-{key}": array for key, array in found.items()}
        told[name] = {"rows": len(part.label), "positives": part.positives, "lists": part.owners_taught, "gain": gain}
    first = next(iter(told.values()))
    return FittedRanker(
        arrays,
        {
            "features": list(rows.names),
            "learners": list(LEARNERS),
            "rows": len(rows.label),
            "positives": rows.positives,
            "newest_us": rows.newest_us,
            "gain": first["gain"],
            "parts": told,
        },
    )


def _average(rows: RankerRows, seed: int, threads: int) -> tuple[dict[str, NDArray[Any]], dict[str, float]]:
    """The arrays of one part, and how much of the trees' gain each column brought."""
    arrays: dict[str, NDArray[Any]] = {"logistic_weight": _logistic(rows)}
    gain = np.zeros(len(rows.names))
    with ThreadPoolExecutor(threads) as pool:  # a forest a thread: LightGBM's own spin when they wait
        forests = list(pool.map(lambda f: _forest(rows, seed, *f), _FORESTS.values()))
    for name, fitted in zip(_FORESTS, forests, strict=True):
        share = fitted.pop("gain")
        gain += share / max(float(share.sum()), 1e-9) / len(_FORESTS)
        arrays |= {f"{name}_{key}": array for key, array in fitted.items()}
    arrays |= {"centre": np.zeros(len(LEARNERS)), "spread": np.ones(len(LEARNERS))}
    raw = np.stack([learner.score(rows.features) for learner in AveragedRanker.from_arrays(LEARNERS, arrays).learners])
    arrays |= {"centre": raw.mean(axis=1).round(6), "spread": np.maximum(raw.std(axis=1), 1e-6).round(6)}
    told = sorted(zip(gain.tolist(), rows.names, strict=True), reverse=True)
    return arrays, {name: round(g, 4) for g, name in told if g > 0}


def _forest(rows: RankerRows, seed: int, objective: Objective, shape: TreeShape, again: int) -> dict[str, NDArray[Any]]:
    return fit_trees(rows.features, rows.label, rows.group, objective, shape, seed=seed + again, threads=1)


def _logistic(rows: RankerRows) -> NDArray[np.float64]:
    """(f,) float64 weights over the raw columns; the intercept moves every score alike and is left out."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    x = rows.features.astype(np.float64)
    spread = x.std(axis=0)
    told = spread > 1e-9
    with threadpool_limits(1, "blas"):  # the sum of a product depends on how it was split
        model = LogisticRegression(C=_C, max_iter=300).fit((x - x.mean(axis=0))[:, told] / spread[told], rows.label)
    weight = np.zeros(x.shape[1])
    weight[told] = model.coef_[0] / spread[told]
    return weight
