"""Trains gradient boosted trees with LightGBM (Ke et al., NIPS 2017) and returns arrays."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.errors import TrainingError
from models.gbdt.trees import MOST_LEAVES

if TYPE_CHECKING:
    import lightgbm

Objective = Literal["binary", "lambdarank", "poisson"]
#: LightGBM compares all rows of a group and refuses larger groups.
MOST_ROWS_OF_A_GROUP = 10_000
_ZERO = np.float32(1e-35)
#: LightGBM keeps the gains of the grades once per process, and reads them while it makes a booster.
_ONE_AT_A_TIME = Lock()


@dataclass(frozen=True)
class TreeShape:
    """Number, size and regularisation of the trees.

    trees: most trees. leaves: most per tree, 2..64. learning_rate: share of each tree's step.
    min_leaf: fewest rows per leaf. l2: added to a leaf's curvature, so that small leaves contribute less.
    truncation: list positions that lambdarank optimises. columns: share of the features per tree.
    """

    trees: int = 120
    leaves: int = 8
    learning_rate: float = 0.1
    min_leaf: int = 20
    l2: float = 1.0
    truncation: int = 20
    columns: float = 1.0

    def __post_init__(self) -> None:
        if not 2 <= self.leaves <= MOST_LEAVES or min(self.trees, self.min_leaf, self.truncation) < 1:
            raise TrainingError(
                f"expected 2..{MOST_LEAVES} leaves and at least one tree, row and place, got {self}; "
                "correct the settings"
            )


class Forest(NamedTuple):
    """Objective, shape and seed of one forest."""

    objective: Objective
    shape: TreeShape
    seed: int


@dataclass(frozen=True, eq=False)
class _Rows:
    """Input rows of LightGBM. features: (n, f). label, group: (n,)."""

    features: NDArray[np.float32]
    label: NDArray[np.integer[Any]]
    group: NDArray[np.integer[Any]]

    def __post_init__(self) -> None:
        n = len(self.label)
        if self.features.ndim != 2 or len(self.features) != n or self.label.shape != (n,) or self.group.shape != (n,):
            raise TrainingError(
                f"expected features, a label and a group per row, got {self.features.shape}, {self.label.shape} and "
                f"{self.group.shape}; build the rows again"
            )
        if not np.isfinite(self.features).all() or not (np.isfinite(self.label) & (self.label >= 0)).all():
            raise TrainingError("expected finite features and labels from 0 on, got others; build the rows again")

    def ready_for(self, objectives: Collection[Objective], grades: int) -> _Rows:
        """Sort rows by group if an objective needs it. Raises TrainingError if nothing can be learned."""
        positives = int((self.label > 0).sum())
        if positives == 0 or positives == len(self.label):
            raise TrainingError(f"expected rows of both outcomes, got {positives} positives of {len(self.label)}")
        if {"binary", "lambdarank"} & {*objectives} and not np.isin(self.label, range(grades)).all():
            raise TrainingError(
                f"expected labels 0..{grades - 1} for {', '.join(objectives)}, got others; build the rows again"
            )
        if "lambdarank" not in objectives:
            return self
        _, group, sizes = np.unique(self.group, return_inverse=True, return_counts=True)
        mine = np.bincount(group, weights=self.label > 0)
        if not ((mine > 0) & (mine < sizes)).any():
            raise TrainingError("expected a group with both a positive and a negative row, got none")
        if sizes.max() > MOST_ROWS_OF_A_GROUP:
            raise TrainingError(
                f"expected at most {MOST_ROWS_OF_A_GROUP} rows per group, got {sizes.max()}; "
                "draw fewer negatives per group"
            )
        order = np.argsort(group, kind="stable")
        return _Rows(self.features[order], self.label[order], group[order])


def fit_trees(
    features: NDArray[np.float32],
    label: NDArray[Any],
    group: NDArray[np.integer[Any]],
    forests: Sequence[Forest],
    gains: Sequence[float] = (0.0, 1.0),
) -> list[dict[str, NDArray[Any]]]:
    """Train sums of trees on one binned table. Equal input gives equal bytes, also beside other fits.

    features: (n, f), finite. label: (n,) grade, 0 for a negative, or a count for "poisson". group: (n,) in any order.
    gains: of each grade in lambdarank. "binary" treats every grade above 0 as a positive.
    Objectives: "lambdarank" learns the order within a group of at most 10 000 rows (Burges 2010). "binary" learns the
    log-odds of a positive and "poisson" the logarithm of a count, both without groups.
    Returns for each forest the arrays of `Trees.from_arrays` (LightGBM's raw score), and gain: (f,) reduction of the
    loss by each feature.
    Raises TrainingError if one outcome is missing, no group has both (lambdarank), a value is not finite, or shapes
    differ.
    """
    import lightgbm

    objectives = [forest.objective for forest in forests]
    rows = _Rows(features, label, group).ready_for(objectives, len(gains))
    sizes = np.unique(rows.group, return_counts=True)[1] if "lambdarank" in objectives else None
    table = lightgbm.Dataset(
        np.ascontiguousarray(rows.features, np.float32), rows.label.astype(np.float32), group=sizes, params=_SHARED
    ).construct()
    return [_grown(_begun(_parameters(forest, gains), table), forest.shape.trees) for forest in forests]


def _begun(parameters: dict[str, Any], table: lightgbm.Dataset) -> lightgbm.Booster:
    import lightgbm

    with _ONE_AT_A_TIME:
        return lightgbm.Booster(parameters, table)


def _grown(booster: lightgbm.Booster, trees: int) -> dict[str, NDArray[Any]]:
    for _ in range(trees):
        if booster.update():  # no leaf can be split further
            break
    found = [tree["tree_structure"] for tree in booster.dump_model()["tree_info"]]
    return _arrays(found) | {"gain": booster.feature_importance("gain").astype(np.float32)}


#: Parameters of the binned table, equal for all forests.
_SHARED = {
    "deterministic": True,
    "force_row_wise": True,
    "feature_pre_filter": False,
    "num_threads": 1,
    "verbosity": -1,
}


def _parameters(forest: Forest, gains: Sequence[float]) -> dict[str, Any]:
    shape = forest.shape
    chosen: dict[str, Any] = _SHARED | {
        "objective": forest.objective,
        "num_leaves": shape.leaves,
        "learning_rate": shape.learning_rate,
        "min_data_in_leaf": shape.min_leaf,
        "lambda_l2": shape.l2,
        "seed": forest.seed,
        "feature_fraction": shape.columns,
    }
    if forest.objective == "lambdarank":
        chosen |= {"lambdarank_truncation_level": shape.truncation, "label_gain": [*gains]}
    return chosen


def _arrays(trees: list[dict[str, Any]]) -> dict[str, NDArray[Any]]:
    """Convert LightGBM's dump to the arrays of `Trees.from_arrays`."""
    leaves, nodes, values = [], [], []
    for tree in trees:
        tree_values: list[float] = []
        nodes += list(_nodes(tree, tree_values))
        leaves.append(len(tree_values))
        values += tree_values
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
    """Yield feature, threshold and range of left leaves of each node. Appends leaf values, left to right."""
    if "leaf_value" in node:
        values.append(node["leaf_value"])
        return
    first = len(values)
    inside = list(_nodes(node["left_child"], values))
    yield node["split_feature"], node["threshold"], first, len(values)
    yield from inside
    yield from _nodes(node["right_child"], values)


def _rounded_down(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the largest float32 up to the threshold, so that float32 comparisons agree.

    LightGBM treats values up to _ZERO as 0, so -_ZERO itself is not <= a threshold of -_ZERO.
    """
    with np.errstate(over="ignore"):
        near = threshold.astype(np.float32)
    return np.where((near > threshold) | (near == -_ZERO), np.nextafter(near, np.float32(-np.inf)), near)
