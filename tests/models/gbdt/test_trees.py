"""Score trees as bit masks, compared with a simple walk from the root."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import fsum

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.data.columns import Part
from models.errors import BundleCorrupt
from models.gbdt.trees import MOST_LEAVES, Trees


@dataclass(frozen=True)
class Split:
    feature: int
    threshold: np.float32
    left: Split | float
    right: Split | float


def walk(node: Split | float, row: np.ndarray) -> float:
    while isinstance(node, Split):
        node = node.left if row[node.feature] <= node.threshold else node.right
    return node


def leaves_of(node: Split | float) -> list[float]:
    return [*leaves_of(node.left), *leaves_of(node.right)] if isinstance(node, Split) else [node]


def as_arrays(forest: list[Split | float], prefix: str = "") -> dict[str, np.ndarray]:
    nodes: list[tuple[int, np.float32, int, int]] = []

    def visit(node: Split | float, first: int) -> None:
        if isinstance(node, Split):
            last = first + len(leaves_of(node.left))
            nodes.append((node.feature, node.threshold, first, last))
            visit(node.left, first)
            visit(node.right, last)

    for tree in forest:
        visit(tree, 0)
    columns = list(zip(*nodes, strict=True)) or [(), (), (), ()]
    types = {"feature": np.int16, "threshold": np.float32, "first": np.uint8, "last": np.uint8}
    arrays = {k: np.array(c, d) for (k, d), c in zip(types.items(), columns, strict=True)}
    arrays["leaves"] = np.array([len(leaves_of(tree)) for tree in forest], np.int16)
    arrays["value"] = np.array([v for tree in forest for v in leaves_of(tree)])
    return {prefix + k: v for k, v in arrays.items()}


def grown(rng: np.random.Generator, leaves: int, features: int, steps: int) -> Split | float:
    """Make a random tree with thresholds among `steps` + 1 values, so that many rows equal one."""
    if leaves == 1:
        return float(rng.normal())
    left = int(rng.integers(1, leaves))
    return Split(
        int(rng.integers(features)),
        np.float32(rng.integers(steps + 1) / steps),
        grown(rng, left, features, steps),
        grown(rng, leaves - left, features, steps),
    )


def forest_of(seed: int, trees: int, leaves: int, features: int = 6, steps: int = 9) -> list[Split | float]:
    rng = np.random.default_rng(seed)
    return [grown(rng, int(rng.integers(1, leaves + 1)), features, steps) for _ in range(trees - 1)] + [
        grown(rng, leaves, features, steps)
    ]


def rows_of(seed: int, n: int, features: int = 6, steps: int = 9) -> np.ndarray:
    return (np.random.default_rng(seed).integers(-1, steps + 2, (n, features)) / steps).astype(np.float32)


def walked(forest: list[Split | float], rows: np.ndarray) -> np.ndarray:
    return np.array([fsum(walk(tree, row) for tree in forest) for row in rows], np.float64)


def test_by_hand() -> None:
    """A value at the threshold goes left, a value just above it right."""
    trees = Trees.from_arrays(
        {
            "leaves": np.array([3, 1]),
            "feature": np.array([2, 0]),
            "threshold": np.array([0.5, 0.25], np.float32),
            "first": np.array([0, 1]),
            "last": np.array([1, 2]),
            "value": np.array([1.0, 2.0, 4.0, 0.5]),
        }
    )
    above = np.nextafter(np.array([0.5, 0.25], np.float32), np.float32(1))

    found = trees.score(np.array([[9, 0, 0.5], [0.25, 0, above[0]], [above[1], 0, 1]], np.float32))

    assert found.tolist() == [1.5, 2.5, 4.5] and found.dtype == np.float32
    assert trees.used.tolist() == [0, 2]


@given(
    st.integers(0, 10_000),
    st.integers(1, 9),
    st.integers(1, MOST_LEAVES),
    st.integers(1, 4),
    st.sampled_from([1, 9, 300]),
)
@settings(max_examples=60, deadline=None)
def test_equals_the_walk(seed: int, trees: int, leaves: int, features: int, steps: int) -> None:
    forest, rows = forest_of(seed, trees, leaves, features, steps), rows_of(seed, 40, features, steps)

    assert Trees.from_arrays(as_arrays(forest)).score(rows) == pytest.approx(walked(forest, rows), abs=1e-6, rel=1e-6)


@pytest.mark.parametrize(("trees", "leaves"), [(1, 1), (5, 2), (30, 8), (9, 64)])
def test_features_in_parts_score_as_they_do_together(trees: int, leaves: int) -> None:
    """Columns 1, 2 and 4 come from 7 items. Some parts have columns that no tree tests."""
    scored = Trees.from_arrays(as_arrays(forest_of(leaves, trees, leaves)))
    items, place = rows_of(1, 7), np.random.default_rng(2).integers(0, 7, 9000)
    rows = rows_of(3, 9000)
    rows[:, [1, 2, 4]] = items[place][:, [1, 2, 4]]
    blank = np.zeros_like(rows)

    found = scored.score_parts([Part((0, 3, 5), rows), Part((1, 2, 4), items, place)])

    assert np.array_equal(found, scored.score(rows))
    every = Part(tuple(range(6)), items, place)
    assert np.array_equal(scored.score_parts([Part((), blank), every]), scored.score(items[place]))


@pytest.mark.parametrize("leaves", [2, 8, 9, 15, 16, 17, 32, 33, 63, 64])
def test_every_width_of_a_mask(leaves: int) -> None:
    forest, rows = forest_of(leaves, 7, leaves), rows_of(leaves, 300)

    assert Trees.from_arrays(as_arrays(forest)).score(rows) == pytest.approx(walked(forest, rows), abs=1e-6)


@pytest.mark.parametrize("way", ["left", "right"])
def test_a_chain_of_all_leaves(way: str) -> None:
    node: Split | float = -1.0
    for i in range(MOST_LEAVES - 1):
        t = np.float32(i / 64)
        node = Split(0, t, node, float(i)) if way == "left" else Split(0, np.float32(1) - t, float(i), node)
    rows = np.linspace(-0.1, 1.1, 500, dtype=np.float32)[:, None]

    assert Trees.from_arrays(as_arrays([node])).score(rows) == pytest.approx(walked([node], rows))


def test_more_thresholds_than_are_counted() -> None:
    """Above a limit, a binary search finds the interval."""
    forest, rows = forest_of(1, 60, 40, features=2, steps=1000), rows_of(2, 200, 2, 1000)
    arrays = as_arrays(forest)
    assert len(np.unique(arrays["threshold"][arrays["feature"] == 0])) > 256

    assert Trees.from_arrays(arrays).score(rows) == pytest.approx(walked(forest, rows), abs=1e-5)


@pytest.mark.parametrize(("leaves", "trees"), [(8, 120), (40, 31)])
def test_a_row_scores_the_same_in_any_company(leaves: int, trees: int) -> None:
    """Alone, reordered, across blocks, from strided memory, for any order of the trees: equal to the bit."""
    forest, rows = forest_of(3, trees, leaves), rows_of(4, 9001)
    by_masks = Trees.from_arrays(as_arrays(forest))
    together = by_masks.score(rows)
    order = np.random.default_rng(0).permutation(len(rows))

    assert all(by_masks.score(rows[i : i + 1])[0] == together[i] for i in (0, 1, 4095, 4096, 9000))
    assert (by_masks.score(rows[order]) == together[order]).all()
    assert (by_masks.score(rows[5:]) == together[5:]).all()
    assert (by_masks.score(np.asfortranarray(rows)[::3]) == together[::3]).all()
    assert (Trees.from_arrays(as_arrays(forest[::-1])).score(rows) == together).all()


def test_shapes() -> None:
    trees, rows = Trees.from_arrays(as_arrays(forest_of(5, 5, 8))), rows_of(5, 24)

    assert (trees.score(rows.reshape(2, 3, 4, 6)) == trees.score(rows).reshape(2, 3, 4)).all()
    assert trees.score(rows[0]).shape == () and trees.score(rows[0]) == trees.score(rows)[0]
    assert trees.score(rows[:0]).shape == (0,) and trees.score(rows[:0].reshape(0, 5, 6)).shape == (0, 5)
    with pytest.raises(ValueError, match="features"):
        trees.score(rows[:, : trees.used[-1]])


@pytest.mark.parametrize("forest", [[], [0.25], [0.25, -1.0], [0.25, -1.0, 3.0]])
def test_trees_that_never_split(forest: list[float]) -> None:
    trees = Trees.from_arrays(as_arrays([*forest]))

    assert trees.used.tolist() == []
    assert trees.score(np.zeros((3, 2), np.float32)).tolist() == [sum(forest)] * 3
    assert trees.score(np.zeros((3, 0), np.float32)).tolist() == [sum(forest)] * 3


@pytest.mark.parametrize("value", [0.0, 1e-300, 1e-30, 1e30])
def test_values_of_any_size(value: float) -> None:
    assert Trees.from_arrays(as_arrays([value, value])).score(np.zeros((1, 1), np.float32))[0] == np.float32(2 * value)


def test_a_prefix_tells_forests_apart() -> None:
    one, other, rows = forest_of(1, 3, 5), forest_of(2, 4, 9), rows_of(1, 10)
    both = as_arrays(one, "one_") | as_arrays(other, "other_")

    assert (Trees.from_arrays(both, "other_").score(rows) == Trees.from_arrays(as_arrays(other)).score(rows)).all()


def test_threads_share_one_forest() -> None:
    trees = Trees.from_arrays(as_arrays(forest_of(6, 30, 8)))
    parts = [rows_of(i, 5000) for i in range(8)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(trees.score, parts))

    assert all((a == trees.score(p)).all() for a, p in zip(found, parts, strict=True))


@pytest.mark.parametrize(
    "change",
    [
        {"leaves": np.array([4])},
        {"leaves": np.array([0, 3])},
        {"leaves": np.array([65])},
        {"feature": np.array([-1, 0])},
        {"threshold": np.array([0.5])},
        {"threshold": np.array([0.5, np.nan])},
        {"first": np.array([1, 1])},
        {"last": np.array([1, 3])},
        {"value": np.array([1.0, 2.0])},
        {"value": np.array([1.0, 2.0, np.inf])},
    ],
)
def test_an_invalid_forest_is_refused(change: dict[str, np.ndarray]) -> None:
    arrays = as_arrays([Split(2, np.float32(0.5), 1.0, Split(0, np.float32(0.25), 2.0, 4.0))])
    Trees.from_arrays(arrays)

    with pytest.raises(BundleCorrupt):
        Trees.from_arrays(arrays | change)
    with pytest.raises(BundleCorrupt):
        Trees.from_arrays({k: v for k, v in arrays.items() if k not in change})
