"""Trains the learned ranker of one surface: which candidates will an owner engage with next?

The regression is stable but linear. Trees find interactions of features but overfit. On later data their average did
better than the learner with the best validation result (docs/decisions/0014-learned-ranker.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import TrainingError
from models.gbdt.fit import Forest, Objective, TreeShape, fit_trees
from models.learned_ranker.scorer import EVENTS, EVERYBODY, KNOWN, STRANGERS, AveragedRanker, LearnedRanker
from models.ranker import RankerConfig

#: Most rows of one part of owners. Twice as many gained nothing significant on crunchbase and took minutes longer.
MOST_ROWS = 75_000
#: Inverse strength of the regression's l2 penalty (scikit-learn's C), over standardised columns.
_C = 0.1
_BINARY = TreeShape(trees=100, leaves=8, learning_rate=0.1, min_leaf=50, l2=10.0, columns=0.5)
_ORDER = TreeShape(trees=75, leaves=8, learning_rate=0.1, min_leaf=50, l2=10.0, columns=0.5)
#: By name: objective of the trees, their shape, and an offset of the seed. Two forests of each are steadier than one.
_FORESTS: dict[str, tuple[Objective, TreeShape, int]] = {
    "binary": ("binary", _BINARY, 0),
    "binary_again": ("binary", _BINARY, 1),
    "order": ("lambdarank", _ORDER, 0),
    "order_again": ("lambdarank", _ORDER, 1),
}
LEARNERS = ("logistic", *_FORESTS)
_ONE_AT_A_TIME = Lock()


@dataclass(frozen=True, eq=False)
class RankerRows:
    """Candidates at historical cutoffs with their outcome.

    names: (f,) columns. features: (n, f), finite. label: (n,) grade, 0: not relevant. group: (n,) the list of each row.
    newest_us: time of the newest event of a positive pair, microseconds since 1970 UTC. gains: of each grade.
    """

    names: tuple[str, ...]
    features: NDArray[np.float32]
    label: NDArray[np.int8]
    group: NDArray[np.integer[Any]]
    newest_us: int = 0
    gains: tuple[float, ...] = (0.0, 1.0)

    def __post_init__(self) -> None:
        if self.features.shape != (len(self.label), len(self.names)) or len(self.group) != len(self.label):
            raise TrainingError(
                f"expected {len(self.names)} features, a label and a group per row, got "
                f"{self.features.shape}, {self.label.shape}, {self.group.shape}; build the rows again"
            )

    @property
    def positives(self) -> int:
        return int((self.label > 0).sum())

    @property
    def owners_taught(self) -> int:
        """Return the number of lists with a positive."""
        return len(np.unique(self.group[self.label > 0]))

    @property
    def orders(self) -> bool:
        return bool(np.isin(self.group[self.label > 0], self.group[self.label == 0]).any())

    def where(self, mask: NDArray[np.bool_]) -> RankerRows:
        return replace(self, features=self.features[mask], label=self.label[mask], group=self.group[mask])

    def thinned(self, most: int, seed: int) -> RankerRows:
        """Sample whole lists with about `most` rows. Parts of a list have another order."""
        if len(self.label) <= most:
            return self
        group, inverse = np.unique(self.group, return_inverse=True)
        kept = np.random.default_rng(seed).random(len(group)) < most / len(self.label)
        return self.where(kept[inverse])

    def without(self, prefixes: tuple[str, ...]) -> RankerRows:
        """Drop the columns whose names begin with a prefix."""
        kept = [i for i, name in enumerate(self.names) if not name.startswith(prefixes)]
        return replace(self, names=tuple(self.names[i] for i in kept), features=self.features[:, kept])


@dataclass(frozen=True, eq=False)
class FittedRanker:
    """One surface's ranker as arrays `<part>-…`, and its description."""

    arrays: Mapping[str, NDArray[Any]]
    about: Mapping[str, Any]

    @property
    def ranker(self) -> LearnedRanker:
        return LearnedRanker.assembled(self.about, self.arrays)


def fit_learned_ranker(rows: RankerRows, config: RankerConfig, seed: int = 42) -> FittedRanker:
    """Train every learner. Equal rows and settings give equal bytes.

    Owners with events and cold-start owners get separate learners if both have enough positives.
    Raises TrainingError with fewer than `min_positives` (C53), or if no list has both outcomes.
    """
    least = config.min_positives
    if rows.positives < least:
        raise TrainingError(
            f"{rows.positives} positives among the candidates at historical cutoffs, {least} needed (C53)"
        )
    unseen = rows.features[:, rows.names.index(EVENTS)] == 0
    parts = {KNOWN: rows.where(~unseen), STRANGERS: rows.where(unseen)}
    if min(part.positives for part in parts.values()) < least or not all(part.orders for part in parts.values()):
        parts = {EVERYBODY: rows}
    if not rows.orders:
        raise TrainingError("expected a list with both outcomes to learn an order from, got none")
    arrays: dict[str, NDArray[Any]] = {}
    report = {}
    for name, part in parts.items():
        part = part.thinned(MOST_ROWS, seed)
        found, gain = _average(part, seed)
        arrays |= {f"{name}-{key}": array for key, array in found.items()}
        report[name] = {"rows": len(part.label), "positives": part.positives, "lists": part.owners_taught, "gain": gain}
    first = next(iter(report.values()))
    return FittedRanker(
        arrays,
        {
            "features": list(rows.names),
            "learners": list(LEARNERS),
            "rows": len(rows.label),
            "positives": rows.positives,
            "newest_us": rows.newest_us,
            "gain": first["gain"],
            "parts": report,
        },
    )


def _average(rows: RankerRows, seed: int) -> tuple[dict[str, NDArray[Any]], dict[str, float]]:
    """Return the arrays of one part, and each column's share of the trees' gain."""
    arrays: dict[str, NDArray[Any]] = {"logistic_weight": _logistic(rows)}
    gain = np.zeros(len(rows.names))
    asked = [Forest(objective, shape, seed + again) for objective, shape, again in _FORESTS.values()]
    forests = fit_trees(rows.features, rows.label, rows.group, asked, rows.gains)
    for name, fitted in zip(_FORESTS, forests, strict=True):
        share = fitted.pop("gain")
        gain += share / max(float(share.sum()), 1e-9) / len(_FORESTS)
        arrays |= {f"{name}_{key}": array for key, array in fitted.items()}
    arrays |= {"centre": np.zeros(len(LEARNERS)), "spread": np.ones(len(LEARNERS))}
    raw = np.stack([learner.score(rows.features) for learner in AveragedRanker.from_arrays(LEARNERS, arrays).learners])
    arrays |= {"centre": raw.mean(axis=1).round(6), "spread": np.maximum(raw.std(axis=1), 1e-6).round(6)}
    ordered = sorted(zip(gain.tolist(), rows.names, strict=True), reverse=True)
    return arrays, {name: round(g, 4) for g, name in ordered if g > 0}


def _logistic(rows: RankerRows) -> NDArray[np.float64]:
    """Return (f,) weights over the raw columns, without the intercept, which does not change the order."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    x = rows.features.astype(np.float64)
    spread = x.std(axis=0)
    varies = spread > 1e-9
    with (
        _ONE_AT_A_TIME,
        threadpool_limits(1, "blas"),
    ):  # a product's rounding depends on the threads; the limit is global
        model = LogisticRegression(C=_C, solver="newton-cholesky", tol=1e-6)  # converges, unlike lbfgs, in few steps
        model.fit((x - x.mean(axis=0))[:, varies] / spread[varies], rows.label > 0)
    weight = np.zeros(x.shape[1])
    weight[varies] = model.coef_[0] / spread[varies]
    return weight
