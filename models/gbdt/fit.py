"""Fit gradient boosted trees with LightGBM (Ke et al., NIPS 2017) and hand them on as plain arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.errors import TrainingError
from models.gbdt.trees import MOST_LEAVES

if TYPE_CHECKING:
    import lightgbm

Objective = Literal["binary", "lambdarank", "poisson"]
#: LightGBM compares all rows of a group with one another and refuses larger ones.
MOST_ROWS_OF_A_GROUP = 10_000
_ZERO = np.float32(1e-35)


@dataclass(frozen=True)
class TreeShape:
    """How many trees, how large, how cautious.

    trees: at most so many. leaves: most of one tree, 2..64. learning_rate: share of each tree's step that is taken.
    min_leaf: fewest rows of a leaf. l2: added to a leaf's curvature, so that leaves of few rows say less. truncation:
    places of the list that lambdarank sets right. columns: share of the features that a tree may use. bins: thresholds
    tried a feature. patience: with a validation set, trees without a gain before it ends.
    """

    trees: int = 120
    leaves: int = 8
    learning_rate: float = 0.1
    min_leaf: int = 20
    l2: float = 1.0
    truncation: int = 20
    columns: float = 1.0
    bins: int = 255
    patience: int = 20

    def __post_init__(self) -> None:
        if not 2 <= self.leaves <= MOST_LEAVES or min(self.trees, self.min_leaf, self.truncation, self.patience) < 1:
            raise TrainingError(
                f"expected 2..{MOST_LEAVES} leaves and at least one tree, row, place and tree of "
                f"patience, got {self}; correct the settings"
            )


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows as LightGBM takes them: features (n, f) float32, label (n,), group and weight (n,)."""

    features: NDArray[np.float32]
    label: NDArray[np.integer[Any]]
    group: NDArray[np.integer[Any]]
    weight: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        n, columns = len(self.label), [self.label, self.group, *([] if self.weight is None else [self.weight])]
        if self.features.ndim != 2 or len(self.features) != n or any(c.shape != (n,) for c in columns):
            raise TrainingError(
                f"expected features, a label, a group and no or one weight a row, got "
                f"{self.features.shape} and {[c.shape for c in columns]}; build the rows again"
            )
        if not np.isfinite(self.features).all() or not (np.isfinite(self.label) & (self.label >= 0)).all():
            raise TrainingError("features must be finite and labels from 0 on; build the rows again")
        if self.weight is not None and not (np.isfinite(self.weight).all() and (self.weight >= 0).all()):
            raise TrainingError("weights must be finite and not negative; build the rows again")

    def ready_for(self, objective: Objective) -> _Rows:
        """Rows of one group side by side where order within a group teaches; raises where nothing would."""
        positives = int((self.label > 0).sum())
        if positives == 0 or positives == len(self.label):
            raise TrainingError(f"{positives} of {len(self.label)} rows are positive; both outcomes are needed")
        if objective == "poisson":
            return self
        if not np.isin(self.label, (0, 1)).all():
            raise TrainingError(f"{objective} needs labels 0 or 1; build the rows again")
        if objective == "binary":
            return self
        _, group, sizes = np.unique(self.group, return_inverse=True, return_counts=True)
        mine = np.bincount(group, weights=self.label > 0)
        if not ((mine > 0) & (mine < sizes)).any():
            raise TrainingError("no group has both a positive and a negative row; there is no order to learn from")
        if sizes.max() > MOST_ROWS_OF_A_GROUP:
            raise TrainingError(
                f"a group has {sizes.max()} rows, at most {MOST_ROWS_OF_A_GROUP} can be compared; "
                "draw fewer negatives a group"
            )
        order = np.argsort(group, kind="stable")
        return _Rows(
            self.features[order], self.label[order], group[order], None if self.weight is None else self.weight[order]
        )


def fit_trees(
    features: NDArray[np.float32],
    label: NDArray[Any],
    group: NDArray[np.integer[Any]],
    objective: Objective,
    shape: TreeShape,
    *,
    seed: int,
    threads: int,
    weight: NDArray[np.float64] | None = None,
    validation: tuple[NDArray[np.float32], NDArray[np.integer[Any]], NDArray[np.int64]] | None = None,
) -> dict[str, NDArray[Any]]:
    """Fit a sum of trees; the same input gives the same bytes, whatever the number of threads.

    features: (n, f) float32, finite. label: (n,) 0 or 1. group: (n,) int in any order, at most 10 000 rows each under
    "lambdarank", which learns the order within a group (Burges 2010); "binary" learns the log-odds of a positive and
    "poisson" the logarithm of a count (label: from 0 on); neither looks at it. weight: (n,) how much a row counts.
    validation: features, label and group of other groups; the trees end where they do best there (log loss, or NDCG at
    `truncation`).
    Returns the arrays of `models.gbdt.trees.Trees.of`, whose score is LightGBM's raw one, and gain: (f,) float32,
    what the splits on each feature took off the loss.
    Raises TrainingError where only one label occurs, no group has both (lambdarank), a value is not finite, or shapes
    do not match.
    """
    training = _Rows(features, label, group, weight).ready_for(objective)
    guard = None if validation is None else _Rows(*validation).ready_for(objective)
    if guard is not None and guard.features.shape[1] != features.shape[1]:
        raise TrainingError(f"{features.shape[1]} features to learn from, {guard.features.shape[1]} to validate with")
    booster = _boosted(training, guard, objective, shape, _parameters(objective, shape, seed, threads))
    best = booster.best_iteration if guard is not None else None
    found = [tree["tree_structure"] for tree in booster.dump_model(num_iteration=best)["tree_info"]]
    return _arrays(found) | {"gain": booster.feature_importance("gain", iteration=best).astype(np.float32)}


def _parameters(objective: Objective, shape: TreeShape, seed: int, threads: int) -> dict[str, Any]:
    chosen: dict[str, Any] = {
        "objective": objective,
        "num_leaves": shape.leaves,
        "learning_rate": shape.learning_rate,
        "min_data_in_leaf": shape.min_leaf,
        "lambda_l2": shape.l2,
        "seed": seed,
        "num_threads": threads,
        "feature_fraction": shape.columns,
        "deterministic": True,
        "force_row_wise": True,
        "feature_pre_filter": False,
        "max_bin": shape.bins,
        "verbosity": -1,
    }
    if objective == "lambdarank":
        chosen |= {
            "lambdarank_truncation_level": shape.truncation,
            "label_gain": [0, 1],
            "metric": "ndcg",
            "eval_at": [shape.truncation],
        }
    return chosen


def _boosted(
    training: _Rows, guard: _Rows | None, objective: Objective, shape: TreeShape, parameters: dict[str, Any]
) -> lightgbm.Booster:
    import lightgbm

    def dataset(rows: _Rows, reference: lightgbm.Dataset | None = None) -> lightgbm.Dataset:
        sizes = np.unique(rows.group, return_counts=True)[1] if objective == "lambdarank" else None
        return lightgbm.Dataset(
            np.ascontiguousarray(rows.features, np.float32),
            rows.label.astype(np.float32),
            reference=reference,
            weight=rows.weight,
            group=sizes,
            params=parameters,
        )

    data = dataset(training)
    if guard is None:
        return lightgbm.train(parameters, data, shape.trees)
    return lightgbm.train(
        parameters,
        data,
        shape.trees,
        valid_sets=[dataset(guard, data)],
        callbacks=[lightgbm.early_stopping(shape.patience, verbose=False)],
    )


def _arrays(trees: list[dict[str, Any]]) -> dict[str, NDArray[Any]]:
    """Trees as LightGBM tells them, to the arrays that `Trees.of` reads."""
    leaves, nodes, values = [], [], []
    for tree in trees:
        told: list[float] = []
        nodes += list(_nodes(tree, told))
        leaves.append(len(told))
        values += told
    feature, threshold, first, last = zip(*nodes, strict=True) if nodes else ((), (), (), ())
    return {
        "leaves": np.array(leaves, np.int16),
        "feature": np.array(feature, np.int16),
        "threshold": _rounded_down(np.array(threshold, np.float64)),
        "first": np.array(first, np.uint8),
        "last": np.array(last, np.uint8),
        "value": np.array(values, np.float64),
    }


def _nodes(node: dict[str, Any], values: list[float]) -> Iterator[tuple[int, float, int, int]]:
    """Feature, threshold and leaves to the left of each node; appends the values of the leaves, left to right."""
    if "leaf_value" in node:
        values.append(node["leaf_value"])
        return
    first = len(values)
    inside = list(_nodes(node["left_child"], values))
    yield node["split_feature"], node["threshold"], first, len(values)
    yield from inside
    yield from _nodes(node["right_child"], values)


def _rounded_down(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 that is not above: for x in float32, x <= it exactly where x <= the threshold.

    LightGBM takes what is no larger than _ZERO for 0, so that -_ZERO itself is not <= a threshold of -_ZERO.
    """
    with np.errstate(over="ignore"):
        near = threshold.astype(np.float32)
    return np.where((near > threshold) | (near == -_ZERO), np.nextafter(near, np.float32(-np.inf)), near)
