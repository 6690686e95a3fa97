"""Compare accuracy metrics with numbers by hand and with two independent libraries."""

from __future__ import annotations

import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ir_measures import AP, P, Qrel, R, ScoredDoc, nDCG
from scipy import sparse
from sklearn.metrics import average_precision_score, ndcg_score

from models import metrics
from models.errors import DataError
from models.metrics.accuracy import overlap, rank_biased_overlap, reliability

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
    with pytest.raises(DataError, match="got 3 lists for 2 owners"):
        metrics.hits_of(SHOWN, TRUTH[:2])


def test_at_k_by_hand() -> None:
    got = metrics.at_k(metrics.hits_of(SHOWN, TRUTH), np.diff(TRUTH.indptr), k=3)
    second, third = 1 / np.log2(3), 1 / np.log2(4)
    assert got["precision"].tolist() == pytest.approx([2 / 3, 1 / 3, 0])
    assert got["recall"].tolist() == pytest.approx([2 / 3, 1, 0])
    assert got["ndcg"].tolist() == pytest.approx([(1 + third) / (1 + second + third), second, 0])
    assert got["map"].tolist() == pytest.approx([(1 + 2 / 3) / 3, 1 / 2, 0])


def test_a_short_list_is_evaluated_over_all_ten_places() -> None:
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


def test_all_four_agree_with_ir_measures() -> None:
    """Lists and relevant sets of every length. Their AP divides by all relevant items, ours by min(10, all)."""
    rng = np.random.default_rng(11)
    owners, items = 60, 40
    truth = sparse.csr_matrix(rng.random((owners, items)) < rng.choice([0.03, 0.1, 0.6], owners)[:, None])
    truth = truth[np.diff(truth.indptr) > 0]
    lists = [rng.permutation(items)[: rng.integers(0, 11)] for _ in range(truth.shape[0])]
    shown = metrics.places(np.cumsum([0, *map(len, lists)]), np.concatenate(lists))
    relevant = np.diff(truth.indptr)
    got = metrics.at_k(metrics.hits_of(shown, truth), relevant)
    wanted = [Qrel(str(o), str(i), 1) for o, i in zip(*truth.nonzero(), strict=True)]
    run = [ScoredDoc(str(o), str(i), -float(at)) for o, row in enumerate(lists) for at, i in enumerate(row)]
    theirs = {"precision": P @ 10, "recall": R @ 10, "ndcg": nDCG @ 10, "map": AP @ 10}
    found = {(m.query_id, m.measure): m.value for m in ir_measures.iter_calc(list(theirs.values()), wanted, run)}
    got["map"] = got["map"] * np.minimum(relevant, 10) / relevant
    assert (relevant > 10).any() and got["ndcg"].max() > 0.3
    for name, measure in theirs.items():
        expected = [found.get((str(o), measure), 0.0) for o in range(len(lists))]
        np.testing.assert_allclose(got[name], expected, atol=1e-9, err_msg=name)


def rows(*lists: str, k: int = 5) -> np.ndarray:
    return np.array([[ord(c) - 97 for c in one] + [-1] * (k - len(one)) for one in lists])


@pytest.mark.parametrize(
    ("mine", "theirs", "shared"),
    [
        ("abcde", "abcde", 1.0),
        ("abcde", "edcba", 1.0),
        ("abcde", "fghij", 0.0),
        ("abcde", "abxyz", 0.4),
        ("ab", "abcd", 0.5),
        ("", "", 1.0),
        ("", "abc", 0.0),
    ],
)
def test_overlap_by_hand(mine: str, theirs: str, shared: float) -> None:
    assert overlap(rows(mine), rows(theirs)) == pytest.approx([shared])


@pytest.mark.parametrize(
    ("mine", "theirs", "found"),
    [
        ("abc", "abc", 1.0),
        ("abc", "xyz", 0.0),
        ("", "", 1.0),
        ("", "abc", 0.0),
        # agreement 0, 1, 1: (0.1 / 0.9) (0 + 0.81 + 0.729) + 0.729
        ("abc", "bac", 0.9),
        # agreement 1, 1/2, 2/3: (0.1 / 0.9) (0.9 + 0.5 * 0.81 + 2/3 * 0.729) + 2/3 * 0.729
        ("abc", "axb", 0.1 / 0.9 * (0.9 + 0.405 + 0.486) + 0.486),
        # lengths 1 and 2: depth 2 adds nothing, and the extrapolation gives 1
        ("a", "ab", 0.1 / 0.9 * (0.9 + 0.5 * 0.81 + 1 * 1 / (1 * 2) * 0.81) + 1 * 0.81),
        # lengths 1 and 3: X = 0, 1, 1 against s = 1: (0.1 / 0.9) (0 + 0.5 * 0.81 + 0.729 / 3) + (1 / 3) 0.729
        ("a", "bac", 0.1 / 0.9 * (0.405 + 0.243) + 0.243),
    ],
)
def test_rank_biased_overlap_by_hand(mine: str, theirs: str, found: float) -> None:
    assert rank_biased_overlap(rows(mine), rows(theirs)) == pytest.approx([found])
    assert rank_biased_overlap(rows(theirs), rows(mine)) == pytest.approx([found])


def by_the_book(mine: list[int], theirs: list[int], p: float) -> float:
    """Compute equation 32, list by list."""
    short, long = sorted((mine, theirs), key=len)
    s, n = len(short), len(long)
    x = [len(set(short[:d]) & set(long[:d])) for d in range(n + 1)]
    first = sum(x[d] / d * p**d for d in range(1, n + 1))
    second = sum(x[s] * (d - s) / (s * d) * p**d for d in range(s + 1, n + 1))
    return (1 - p) / p * (first + second) + ((x[n] - x[s]) / n + x[s] / s) * p**n


def test_many_rankings_at_once_are_each_by_the_book() -> None:
    rng = np.random.default_rng(3)
    pairs = [[rng.permutation(40)[: rng.integers(1, 30)].tolist() for _ in range(2)] for _ in range(200)]
    mine, theirs = (np.array([p[i] + [-1] * (30 - len(p[i])) for p in pairs]) for i in (0, 1))
    assert rank_biased_overlap(mine, theirs) == pytest.approx([by_the_book(a, b, 0.9) for a, b in pairs])
    assert overlap(mine, theirs) == pytest.approx([len(set(a) & set(b)) / max(len(a), len(b)) for a, b in pairs])


def test_bins_hold_as_many_pairs_each_and_all_of_them() -> None:
    score = np.arange(100) / 100
    got = reliability(score, score >= 0.5, bins=4)
    assert [(round(b["score"], 3), b["rate"], b["count"]) for b in got] == [
        (0.12, 0, 25),
        (0.37, 0, 25),
        (0.62, 1, 25),
        (0.87, 1, 25),
    ]


def test_equal_scores_share_a_bin() -> None:
    got = reliability(np.array([0.0] * 90 + [1.0] * 10), np.array([False] * 100))
    assert [b["count"] for b in got] == [90, 10]
    same = reliability(np.ones(7), np.arange(7) < 2)
    assert same == [{"score": 1.0, "rate": pytest.approx(2 / 7, abs=1e-6), "count": 7}]


def test_nothing_and_nonsense() -> None:
    assert reliability(np.zeros(0), np.zeros(0, bool)) == []
    with pytest.raises(DataError, match="3 scores and 2 hits"):
        reliability(np.zeros(3), np.zeros(2, bool))
