"""Compare the exact top k with a naive sort, on random ragged barred sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from models.data.batch import Proposal
from models.scoring.scorer import order_by_score
from models.scoring.top_k import Float32Product, best_of, pair_scores, top_k


def naive(owners: np.ndarray, items: np.ndarray, barred: np.ndarray, k: int) -> list[list[tuple[int, float]]]:
    """Score all pairs one by one, sort stably, and return the first k."""
    b, m = len(owners), len(items)
    pairs = pair_scores(owners, items, np.repeat(np.arange(b), m), np.tile(np.arange(m), b)).reshape(b, m)
    lists = []
    for i in range(b):
        free = np.flatnonzero(~barred[i])
        order = free[np.argsort(-pairs[i, free], kind="stable")][:k]
        lists.append([(int(j), float(pairs[i, j])) for j in order])
    return lists


def found(proposal: Proposal) -> list[list[tuple[int, float]]]:
    pairs = list(zip(proposal.item.tolist(), proposal.score.tolist(), strict=True))
    return [pairs[proposal.indptr[i] : proposal.indptr[i + 1]] for i in range(len(proposal))]


def world(seed: int, b: int, m: int, d: int, share: float, levels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make random vectors with few levels (many exact ties) or, for 0 levels, any values.

    Some owners are barred from all items.
    """
    rng = np.random.default_rng(seed)
    owners, items = (rng.standard_normal((n, d)).astype(np.float32) for n in (b, m))
    if levels:
        owners, items = (np.round(a * levels).clip(-levels, levels).astype(np.float32) for a in (owners, items))
    barred = rng.random((b, m)) < share
    barred[rng.random(b) < 0.1] = True
    return owners, items, barred


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    b=st.integers(0, 40),
    m=st.integers(1, 700),
    d=st.integers(1, 20),
    share=st.sampled_from([0.0, 0.1, 0.9, 1.0]),
    levels=st.sampled_from([0, 1, 2]),
    k=st.integers(1, 60),
)
def test_equals_the_definition(seed: int, b: int, m: int, d: int, share: float, levels: int, k: int) -> None:
    owners, items, barred = world(seed, b, m, d, share, levels)
    got = top_k(owners, Float32Product(items), sparse.csr_matrix(barred), k)
    assert found(got) == naive(owners, items, barred, k)


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    b=st.integers(1, 40),
    m=st.integers(1, 700),
    d=st.integers(1, 20),
    share=st.sampled_from([0.0, 0.1, 0.9, 1.0]),
    levels=st.sampled_from([0, 1, 2]),
    k=st.integers(1, 60),
    plain_first=st.booleans(),
)
def test_item_weights_equal_weighted_vectors(
    seed: int, b: int, m: int, d: int, share: float, levels: int, k: int, plain_first: bool
) -> None:
    """Also if the product of the same batch is used again, and if then other pairs are barred. Some weights are 0."""
    owners, items, barred = world(seed, b, m, d, share, levels)
    rng = np.random.default_rng(seed)
    weight = (rng.random(m) * 10.0 ** rng.integers(-3, 4, m) * (rng.random(m) < 0.8)).astype(np.float32)
    plain, matrix = Float32Product(items), sparse.csr_matrix(barred)
    product = plain.weighted(weight)
    if plain_first:
        assert found(top_k(owners, plain, matrix, k)) == naive(owners, items, barred, k)
    vectors, other = items * weight[:, None], barred[::-1]
    assert found(top_k(owners, product, matrix, k)) == naive(owners, vectors, barred, k)
    assert found(top_k(owners, plain, matrix, k)) == naive(owners, items, barred, k)
    assert found(top_k(owners, product, sparse.csr_matrix(other), k)) == naive(owners, vectors, other, k)
    twice = product.weighted(weight)
    assert found(top_k(owners, twice, matrix, k)) == naive(owners, vectors * weight[:, None], barred, k)


@pytest.mark.parametrize("k", [1, 100, 250, 5000])
def test_many_items(k: int) -> None:
    owners, items, barred = world(3, 70, 4321, 16, 0.05, 0)
    assert found(top_k(owners, Float32Product(items), sparse.csr_matrix(barred), k)) == naive(owners, items, barred, k)


def test_equal_scores_come_by_position() -> None:
    got = top_k(
        np.zeros((2, 4), np.float32),
        Float32Product(np.ones((300, 4), np.float32)),
        sparse.csr_matrix(([True], ([1], [0])), shape=(2, 300)),
        3,
    )
    assert found(got) == [[(0, 0.0), (1, 0.0), (2, 0.0)], [(1, 0.0), (2, 0.0), (3, 0.0)]]


def test_threads_chunks_and_company_change_nothing() -> None:
    owners, items, barred = world(5, 700, 900, 32, 0.02, 0)
    product, matrix = Float32Product(items), sparse.csr_matrix(barred)
    one = top_k(owners, product, matrix, 20)
    two = top_k(owners, product, matrix, 20, threads=2)
    alone = top_k(owners[613:614], product, matrix[613:614], 20)
    assert np.array_equal(one.item, two.item) and np.array_equal(one.score.view(np.int32), two.score.view(np.int32))
    assert found(alone)[0] == found(one)[613]


def test_more_owners_than_sort_bits() -> None:
    """With items beyond 2^24 only few owners fit into one sort. The rest is sorted in parts."""
    rng = np.random.default_rng(0)
    owner = np.repeat(np.arange(600), 5)
    item = rng.permutation(3000) + (1 << 25)
    score = rng.standard_normal(3000).astype(np.float32)
    got = found(best_of(600, owner, item, score, 3))
    for i in range(600):
        mine = sorted(zip(-score[owner == i], item[owner == i], strict=True))[:3]
        assert got[i] == [(int(j), float(-s)) for s, j in mine]


def test_nothing_asked_nothing_given() -> None:
    items = Float32Product(np.ones((3, 2), np.float32))
    assert len(top_k(np.ones((2, 2), np.float32), items, sparse.csr_matrix((2, 3), dtype=bool), 0).item) == 0
    assert len(top_k(np.ones((0, 2), np.float32), items, sparse.csr_matrix((0, 3), dtype=bool), 5)) == 0
    empty = Float32Product(np.zeros((0, 2), np.float32))
    assert len(top_k(np.ones((2, 2), np.float32), empty, sparse.csr_matrix((2, 0), dtype=bool), 5)) == 2


@pytest.mark.parametrize("seed", range(5))
def test_orders_are_stable_sorts(seed: int) -> None:
    """The ranker sorts best first, ties by column, absent items (-inf) last, 0.0 and -0.0 equal."""
    rng = np.random.default_rng(seed)
    score = rng.choice(np.array([-np.inf, -2, -0.0, 0.0, 1e-30, 3, 3.5], np.float32), (20, 50))
    assert np.array_equal(order_by_score(score), np.argsort(-score, axis=1, kind="stable"))
