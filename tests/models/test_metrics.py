"""The metrics against numbers worked out by hand and against an independent library."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.metrics import average_precision_score, ndcg_score

from models import metrics
from models.errors import DataError

TRUTH = sparse.csr_matrix(np.array([[1, 0, 1, 0, 1], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0]], bool))
INDPTR, ITEM = np.array([0, 3, 5, 5]), np.array([0, 1, 2, 4, 3])
SHOWN = np.array([[0, 1, 2], [4, 3, -1], [-1, -1, -1]])


def test_places_cut_and_mark_short_lists() -> None:
    assert metrics.places(INDPTR, ITEM, 3).tolist() == SHOWN.tolist()
    assert metrics.places(INDPTR, ITEM, 2).tolist() == [[0, 1], [4, 3], [-1, -1]]


def test_hits_count_an_item_once_and_never_padding() -> None:
    assert metrics.hits_of(SHOWN, TRUTH).tolist() == [[True, False, True], [False, True, False], [False] * 3]
    again = np.array([[2, 2, 0], [3, 3, 3], [0, 0, 0]])
    assert metrics.hits_of(again, TRUTH).tolist() == [[True, False, True], [True, False, False], [False] * 3]
    with pytest.raises(DataError, match="got 3 lists and a truth of 2 owners"):
        metrics.hits_of(SHOWN, TRUTH[:2])


def test_at_k_by_hand() -> None:
    got = metrics.at_k(metrics.hits_of(SHOWN, TRUTH), np.diff(TRUTH.indptr), k=3)
    second, third = 1 / np.log2(3), 1 / np.log2(4)
    assert got["precision"].tolist() == pytest.approx([2 / 3, 1 / 3, 0])
    assert got["recall"].tolist() == pytest.approx([2 / 3, 1, 0])
    assert got["ndcg"].tolist() == pytest.approx([(1 + third) / (1 + second + third), second, 0])
    assert got["map"].tolist() == pytest.approx([(1 + 2 / 3) / 3, 1 / 2, 0])


def test_a_short_list_is_judged_over_all_ten_places() -> None:
    got = metrics.at_k(np.array([[True, True]]), np.array([12]), k=10)
    assert got["precision"][0] == pytest.approx(0.2)
    assert got["recall"][0] == pytest.approx(2 / 12)
    assert got["map"][0] == pytest.approx(2 / 10)
    assert got["ndcg"][0] == pytest.approx((1 + 1 / np.log2(3)) / (1 / np.log2(np.arange(2, 12))).sum())


@given(st.lists(st.booleans(), min_size=10, max_size=30).filter(any))
def test_ndcg_and_map_agree_with_sklearn(relevance: list[bool]) -> None:
    y = np.array(relevance, float)
    score = -np.arange(len(y), dtype=float)
    truth = sparse.csr_matrix(y[None, :].astype(bool))
    hits = metrics.hits_of(np.arange(len(y))[None, :][:, :10], truth)
    got = metrics.at_k(hits, np.array([y.sum()]), 10)
    assert got["ndcg"][0] == pytest.approx(ndcg_score(y[None, :], score[None, :], k=10))
    whole = metrics.at_k(metrics.hits_of(np.arange(len(y))[None, :], truth), np.array([y.sum()]), len(y))
    assert whole["map"][0] == pytest.approx(average_precision_score(y, score))


def test_reach_and_spread_by_hand() -> None:
    assert metrics.coverage(SHOWN, 10) == pytest.approx(0.5)
    assert metrics.exposure(SHOWN, 6).tolist() == [1, 1, 1, 1, 1, 0]
    assert metrics.popularity_rank(np.array([5, 9, 5, 1, 0])).tolist() == pytest.approx([37.5, 0, 37.5, 75, 100])
    rank = metrics.mean_rank(SHOWN, np.array([0.0, 25, 50, 75, 100]))
    assert rank[:2].tolist() == [25, 87.5] and np.isnan(rank[2])
    category = np.array([1, 1, 2, -1, 7])
    spread = metrics.diversity(SHOWN, category)
    assert spread[0] == pytest.approx(1 - 1 / 3)  # of three pairs, one shares its category
    assert np.isnan(spread[1]) and np.isnan(spread[2])  # one blank, one empty
    assert metrics.diversity(np.array([[0, 1]]), category).tolist() == [0.0]


def test_gini_by_hand() -> None:
    assert metrics.gini(np.array([3, 3, 3])) == pytest.approx(0)
    assert metrics.gini(np.array([0, 0, 0, 1])) == pytest.approx(0.75)
    assert metrics.gini(np.array([1, 3])) == pytest.approx(0.25)  # mean difference 1 / (2 x mean 2)
    assert np.isnan(metrics.gini(np.zeros(3)))


def test_bootstrap_repeats_covers_the_mean_and_pairs_columns() -> None:
    values = np.random.default_rng(3).random(200)
    low, high = metrics.bootstrap(values)
    assert (low, high) == metrics.bootstrap(values)
    assert low[0] < values.mean() < high[0]
    spread = 1.96 * values.std() / np.sqrt(len(values))
    assert (high[0] - low[0]) / 2 == pytest.approx(spread, rel=0.15)  # the central limit's half width
    both_low, both_high = metrics.bootstrap(np.column_stack([values, values + 1]))
    assert both_low[1] - both_low[0] == pytest.approx(1) and both_high[0] == pytest.approx(high[0])
    assert np.isnan(metrics.bootstrap(np.array([1.0]))[0]).all()


def test_bootstrap_does_not_depend_on_its_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(4).random(50)
    once = metrics.bootstrap(values)
    monkeypatch.setattr(metrics, "_DRAWS", 300)
    np.testing.assert_allclose(metrics.bootstrap(values), once, rtol=1e-12)


def test_paired_difference_is_narrower_than_either() -> None:
    rng = np.random.default_rng(5)
    easy = rng.random(300)
    got = metrics.paired_difference(easy + 0.1 + 0.01 * rng.random(300), easy)
    assert 0.1 < got["low"] < got["mean"] < got["high"] < 0.11


def test_summary_leaves_undefined_owners_out() -> None:
    got = metrics.summary({"ndcg": np.array([0.0, 1.0, 0.5]), "diversity": np.array([np.nan, 0.2, 0.4])})
    assert got["ndcg"]["mean"] == pytest.approx(0.5)
    assert got["diversity"]["mean"] == pytest.approx(0.3)
    assert got["diversity"]["low"] == pytest.approx(0.2) and got["diversity"]["high"] == pytest.approx(0.4)


def test_per_owner_has_every_metric() -> None:
    got = metrics.per_owner(SHOWN, TRUTH, np.arange(5.0), np.arange(5), k=3)
    assert set(got) == {"precision", "recall", "ndcg", "map", "popularity_rank", "diversity"}
    assert all(len(column) == 3 for column in got.values())
