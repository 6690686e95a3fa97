"""Compare coverage, spread, novelty and freshness with numbers by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from models import metrics
from models.metrics.list_metrics import ItemFacts

SHOWN = np.array([[0, 1, 2], [4, 3, -1], [-1, -1, -1]])


def test_reach_and_spread_by_hand() -> None:
    assert metrics.coverage(SHOWN, 10) == pytest.approx(0.5)
    assert metrics.exposure(SHOWN, 6).tolist() == [1, 1, 1, 1, 1, 0]
    assert metrics.popularity_rank(np.array([5, 9, 5, 1, 0])).tolist() == pytest.approx([37.5, 0, 37.5, 75, 100])
    rank = metrics.mean_over_shown(SHOWN, np.array([0.0, 25, 50, 75, 100]))
    assert rank[:2].tolist() == [25, 87.5] and np.isnan(rank[2])
    category = np.array([1, 1, 2, -1, 7])
    spread = metrics.diversity(SHOWN, category)
    assert spread[0] == pytest.approx(1 - 1 / 3)  # one of three pairs shares its category
    assert np.isnan(spread[1]) and np.isnan(spread[2])  # one blank, one empty
    assert metrics.diversity(np.array([[0, 1]]), category).tolist() == [0.0]


def test_gini_by_hand() -> None:
    assert metrics.gini(np.array([3, 3, 3])) == pytest.approx(0)
    assert metrics.gini(np.array([0, 0, 0, 1])) == pytest.approx(0.75)
    assert metrics.gini(np.array([1, 3])) == pytest.approx(0.25)  # mean difference 1 / (2 x mean 2)
    assert np.isnan(metrics.gini(np.zeros(3)))


def test_novelty_is_the_information_that_an_item_carries() -> None:
    """16, 8, 1 and 0 of 16 users had met the items (Zhou et al. 2010)."""
    bits = metrics.self_information(np.array([16, 8, 1, 0]), 16)
    assert bits.tolist() == [0, 1, 4, 4]
    assert metrics.mean_over_shown(np.array([[0, 1, 2]]), bits)[0] == pytest.approx(5 / 3)
    assert metrics.self_information(np.array([0]), 0).tolist() == [0]  # without events nothing is novel


def test_a_mean_leaves_out_what_is_unknown() -> None:
    age = np.array([10.0, np.nan, 40, 5, np.nan])
    got = metrics.mean_over_shown(SHOWN, age)
    assert got[:2].tolist() == [25, 5] and np.isnan(got[2])
    assert np.isnan(metrics.mean_over_shown(SHOWN[:1], np.full(5, np.nan))[0])
    assert np.isnan(metrics.mean_over_shown(np.array([[-1]]), np.zeros(0))[0])


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
