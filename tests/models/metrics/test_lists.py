"""All metrics at once: each under its name, a repeated item once, unknown facts left out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from models import metrics
from models.metrics import ItemFacts

TRUTH = sparse.csr_matrix(np.array([[1, 0, 1, 0, 1], [0, 0, 0, 1, 0]], bool))
ITEMS = ItemFacts(
    met=np.array([8, 4, 2, 1, 0]),
    owners=8,
    age_days=np.array([100, 10, 30, np.nan, 29]),
    category=np.array([0, 0, 1, 2, -1]),
)


def test_each_owner_has_every_metric() -> None:
    got = metrics.per_owner(np.array([[0, 1, 2], [3, 4, -1]]), TRUTH, ITEMS, k=3)
    assert {name: len(column) for name, column in got.items()} == dict.fromkeys(
        ("precision", "recall", "ndcg", "map", "popularity_rank", "novelty", "diversity", "age_days", "fresh"), 2
    )
    assert got["novelty"].tolist() == [1, 3]
    assert got["popularity_rank"].tolist() == [25, 87.5]
    assert got["diversity"][0] == pytest.approx(2 / 3) and np.isnan(got["diversity"][1])
    assert got["age_days"].tolist() == pytest.approx([140 / 3, 29])
    assert got["fresh"].tolist() == pytest.approx([1 / 3, 1])  # 30 days is not under 30


def test_an_item_shown_again_counts_once() -> None:
    once, again = (metrics.per_owner(np.array([row]), TRUTH[:1], ITEMS, k=3) for row in ([0, 2, -1], [0, 2, 2]))
    assert {k: v.tolist() for k, v in once.items()} == {k: v.tolist() for k, v in again.items()}


def test_all_lists_together() -> None:
    got = metrics.as_a_whole(np.array([[0, 1], [0, -1], [-1, -1]]), 4)
    assert got["coverage"] == 0.5 and got["answered"] == pytest.approx(2 / 3)
    assert got["gini"] == pytest.approx(metrics.gini(np.array([2, 1, 0, 0])))
    assert np.isnan(metrics.as_a_whole(np.zeros((0, 2), int), 4)["answered"])
