"""Fit trees: LightGBM and our arrays give the same scores, on any number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import lightgbm
import numpy as np
import pytest

from models.errors import TrainingError
from models.gbdt.fit import MOST_ROWS_OF_A_GROUP, Forest, Objective, TreeShape, fit_trees
from models.gbdt.trees import TREE_ARRAYS, Trees

SHAPE = TreeShape(trees=20, min_leaf=5)
Data = tuple[np.ndarray, np.ndarray, np.ndarray]


def planted(n: int = 3000, seed: int = 0) -> Data:
    """Plant features of many kinds: two that interact, steps, a rare flag, a constant, huge and tiny numbers."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 8)).astype(np.float32)
    x[:, 2] = np.round(x[:, 2])
    x[:, 3] = rng.random(n) < 0.05
    x[:, 4] = 7
    x[:, 5] *= 1e30
    x[:, 6] *= 1e-30
    taste = x[:, 0] * x[:, 1] + x[:, 2] + 2 * x[:, 3] + 0.5 * rng.normal(size=n)
    return x, (taste > 0.8).astype(np.int8), rng.integers(0, n // 20, n)


@pytest.fixture
def boosters(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[lightgbm.Booster]]:
    made: list[lightgbm.Booster] = []
    create = lightgbm.Booster

    def watched(*args: Any) -> lightgbm.Booster:
        made.append(create(*args))
        return made[-1]

    monkeypatch.setattr(lightgbm, "Booster", watched)
    yield made


def at_thresholds(arrays: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """Make rows whose values are thresholds of the trees, or the next number above or below one."""
    rows = x[:500].copy()
    rng = np.random.default_rng(0)
    for f in np.unique(arrays["feature"]):
        t = rng.choice(arrays["threshold"][arrays["feature"] == f], len(rows))
        towards = rng.choice(np.array([-np.inf, 0, np.inf], np.float32), len(rows))
        rows[:, f] = np.where(towards == 0, t, np.nextafter(t, towards))
    assert np.isfinite(rows).all()
    return rows


def one(
    features: np.ndarray, label: np.ndarray, group: np.ndarray, objective: Objective, shape: TreeShape, seed: int = 0
) -> dict[str, np.ndarray]:
    (arrays,) = fit_trees(features, label, group, [Forest(objective, shape, seed)])
    return arrays


@pytest.mark.parametrize("objective", ["binary", "lambdarank"])
@pytest.mark.parametrize(("trees", "leaves"), [(1, 2), (1, 8), (40, 8), (21, 13), (12, 24), (8, 40), (5, 64)])
def test_equals_lightgbm(objective: Objective, trees: int, leaves: int, boosters: list[lightgbm.Booster]) -> None:
    x, label, group = planted()

    arrays = one(x, label, group, objective, replace(SHAPE, trees=trees, leaves=leaves))

    found, told = Trees.from_arrays(arrays), boosters[0]
    assert len(arrays["leaves"]) == trees and arrays["leaves"].max() == leaves
    for rows in (x, at_thresholds(arrays, x)):
        assert np.abs(found.score(rows) - told.predict(rows, raw_score=True)).max() < 1e-5
    assert 4 not in found.used
    assert arrays["gain"].shape == (8,) and arrays["gain"].dtype == np.float32
    assert np.flatnonzero(arrays["gain"]).tolist() == found.used.tolist()


@pytest.mark.parametrize("objective", ["binary", "lambdarank"])
def test_numbers_next_to_one_another(objective: Objective, boosters: list[lightgbm.Booster]) -> None:
    """The double threshold between two neighbours in float32 must also separate them in float32."""
    low = np.float32(0.1)
    x = np.where(np.arange(400) % 2, low, np.nextafter(low, np.float32(1)))[:, None].astype(np.float32)

    arrays = one(x, np.arange(400) % 2, np.arange(400) // 10, objective, replace(SHAPE, trees=2))

    assert arrays["threshold"].tolist() == [low, low]
    assert Trees.from_arrays(arrays).score(x) == pytest.approx(boosters[0].predict(x, raw_score=True), abs=1e-5)


@pytest.mark.parametrize("objective", ["binary", "lambdarank"])
def test_where_nothing_can_be_learnt_trees_are_single_leaves(
    objective: Objective, boosters: list[lightgbm.Booster]
) -> None:
    x = np.ones((200, 3), np.float32)

    arrays = one(x, np.arange(200) % 4 == 0, np.arange(200) // 20, objective, SHAPE)

    assert (arrays["leaves"] == 1).all() and not arrays["gain"].any()
    assert Trees.from_arrays(arrays).score(x) == pytest.approx(boosters[0].predict(x, raw_score=True), abs=1e-6)


@pytest.mark.parametrize("objective", ["binary", "lambdarank"])
def test_the_same_bytes_beside_other_fits(objective: Objective) -> None:
    x, label, group = planted(6000)
    shape = replace(SHAPE, trees=8, leaves=16, columns=0.5)

    forests = [Forest(objective, shape, 3), Forest("binary", shape, 4), Forest(objective, shape, 5)]

    first = fit_trees(x, label, group, forests)
    with ThreadPoolExecutor(3) as pool:
        others = list(pool.map(lambda _: fit_trees(x, label, group, forests), range(3)))
    alone = [one(x, label, group, *forest) for forest in forests if forest.objective == objective]

    def content(arrays: dict[str, np.ndarray]) -> dict[str, bytes]:
        return {k: v.tobytes() for k, v in arrays.items()}

    for other in others:
        assert [content(arrays) for arrays in first] == [content(arrays) for arrays in other]
    assert [content(first[0]), content(first[2])] == [content(alone[0]), content(alone[-1])]
    assert content(first[0]) != content(first[2])
    assert set(first[0]) == {*TREE_ARRAYS, "gain"} and all(v.dtype.kind in "iuf" for v in first[0].values())


def test_gains_of_other_fits_make_no_difference() -> None:
    """LightGBM keeps gains once per process, so fits of surfaces with other grades must not meet."""
    x, y, group = planted(600)
    grade = np.where(y > 0, np.arange(len(y)) % 6 + 1, 0)
    forest = [Forest("lambdarank", TreeShape(trees=2), 0)]
    graded, binary = tuple(np.arange(7.0)), (0.0, 1.0)

    def fitted(turn: int) -> bytes:
        label, gains = (grade, graded) if turn % 2 else (y, binary)
        found = fit_trees(x, label, group, forest, gains)[0]
        return b"".join(found[name].tobytes() for name in TREE_ARRAYS)

    alone = [fitted(turn) for turn in range(2)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(fitted, range(120))) == alone * 60


def test_order_within_groups_is_what_lambdarank_learns() -> None:
    """A level that is constant in a group has no information. Rows of a group need not be adjacent."""
    rng = np.random.default_rng(0)
    group = rng.permutation(np.repeat(np.arange(150), 20))
    x = np.stack([rng.random(150)[group], rng.random(3000)], axis=1).astype(np.float32)
    label = rng.random(3000) < np.where(x[:, 1] > 0.5, 0.6, 0.2) * x[:, 0]

    arrays = one(x, label, group, "lambdarank", SHAPE)
    order = np.argsort(group, kind="stable")
    sorted_first = one(x[order], label[order], group[order] + 7, "lambdarank", SHAPE)

    assert arrays["gain"][1] > 2 * arrays["gain"][0]
    assert all((arrays[k] == sorted_first[k]).all() for k in arrays)


def changed(**change: Any) -> dict[str, Any]:
    x, label, group = planted(200)
    return {"features": x, "label": label, "group": group} | change


@pytest.mark.parametrize(
    ("objective", "rows", "says"),
    [
        ("binary", changed(label=np.zeros(200)), "0 positives of 200"),
        ("binary", changed(label=np.ones(200)), "200 positives of 200"),
        (
            "binary",
            changed(features=np.zeros((0, 3), np.float32), label=np.zeros(0), group=np.zeros(0, int)),
            "0 positives of 0",
        ),
        ("binary", changed(label=np.arange(200)), "0..1"),
        ("binary", changed(label=np.zeros(199)), "features"),
        ("binary", changed(group=np.zeros(199, int)), "features"),
        ("binary", changed(features=np.zeros(200, np.float32)), "features"),
        ("binary", changed(features=np.full((200, 3), np.nan, np.float32)), "finite"),
        ("binary", changed(features=np.full((200, 3), np.inf, np.float32)), "finite"),
        ("lambdarank", changed(group=changed()["label"].astype(int)), "a group with both"),
    ],
)
def test_unusable_training_data_is_refused(objective: Objective, rows: dict[str, Any], says: str) -> None:
    with pytest.raises(TrainingError, match=says):
        one(**rows, objective=objective, shape=SHAPE)


def test_groups_larger_than_lightgbm_compares_are_refused() -> None:
    n = MOST_ROWS_OF_A_GROUP + 1
    with pytest.raises(TrainingError, match="fewer negatives"):
        one(np.zeros((n, 1), np.float32), np.arange(n) % 2, np.zeros(n, int), "lambdarank", SHAPE)


@pytest.mark.parametrize("change", [{"leaves": 1}, {"leaves": 65}, {"trees": 0}, {"min_leaf": 0}])
def test_shapes_that_are_none(change: dict[str, int]) -> None:
    with pytest.raises(TrainingError, match="leaves"):
        replace(SHAPE, **change)
