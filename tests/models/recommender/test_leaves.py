"""Leaves cover every row once, are small, and keep close vectors together."""

from __future__ import annotations

import numpy as np
import pytest

from models.recommender.leaves import Leaves
from models.scoring.scorer import Rows


def vectors(n: int, seed: int = 0) -> Rows:
    return Rows(np.random.default_rng(seed).standard_normal((n, 6)).astype(np.float32))


@pytest.mark.parametrize("n", [0, 1, 7, 8, 500])
def test_every_row_is_in_one_leaf_of_at_most_the_size(n: int) -> None:
    rows = np.arange(0, 2 * n, 2, dtype=np.int32)
    leaves = Leaves.of(vectors(2 * n), rows, most=8)
    assert sorted(np.concatenate([rows[:0], *leaves.rows]).tolist()) == rows.tolist()
    assert all(0 < len(leaf) <= 8 and (np.diff(leaf) > 0).all() for leaf in leaves.rows)
    assert all((leaves.number[leaf] == i).all() for i, leaf in enumerate(leaves.rows))
    assert (leaves.number[1::2] == -1).all()


def test_equal_vectors_are_divided_too() -> None:
    leaves = Leaves.of(Rows(np.ones((100, 3), np.float32)), np.arange(100, dtype=np.int32), most=8)
    assert max(map(len, leaves.rows)) <= 8


def test_a_vector_is_led_to_the_leaf_of_its_row() -> None:
    every = vectors(300, 1)
    leaves = Leaves.of(every, np.arange(300, dtype=np.int32), most=20)
    found = [leaves.of_vector(every[np.array([row])][0]) for row in range(300)]
    assert found == leaves.number.tolist()


def test_groups_far_apart_are_in_different_leaves() -> None:
    far = np.repeat(np.array([[0, 0], [9, 0], [0, 9], [9, 9]], np.float32), 10, axis=0)
    noise = np.random.default_rng(2).random(far.shape).astype(np.float32)
    leaves = Leaves.of(Rows(far + noise), np.arange(40, dtype=np.int32), most=10)
    assert all(len(np.unique(leaf // 10)) == 1 for leaf in leaves.rows) and len(leaves.rows) == 4
