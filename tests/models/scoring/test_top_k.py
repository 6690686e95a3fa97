"""Compare the exact top k with a naive sort, on random ragged barred sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from models.data.batch import Proposal
from models.scoring.scorer import order_by_score
from models.scoring.top_k import Float32Product, best_of, on_grid, pair_scores, top_k


def naive(
    owners: np.ndarray, items: np.ndarray, barred: np.ndarray, k: int, weight: np.ndarray | None = None
) -> list[list[tuple[int, float]]]:
    """Score all pairs one by one, sort stably, and return the first k."""
    b, m = len(owners), len(items)
    pairs = pair_scores(owners, items, np.repeat(np.arange(b), m), np.tile(np.arange(m), b)).reshape(b, m)
    pairs = pairs if weight is None else pairs * weight + np.float32(0)
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
    return on_grid(owners), on_grid(items), barred


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
def test_weighted_scores_are_exact(
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
    other = barred[::-1]
    assert found(top_k(owners, product, matrix, k)) == naive(owners, items, barred, k, weight)
    assert found(top_k(owners, plain, matrix, k)) == naive(owners, items, barred, k)
    assert found(top_k(owners, product, sparse.csr_matrix(other), k)) == naive(owners, items, other, k, weight)
    twice = product.weighted(weight)
    assert found(top_k(owners, twice, matrix, k)) == naive(owners, items, barred, k, weight * weight)


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 300),
    d=st.integers(1, 400),
    sizes=st.tuples(st.integers(-90, 40), st.integers(-90, 40)),
    kind=st.sampled_from(["normal", "sparse", "equal", "heavy"]),
)
def test_products_on_the_grid_have_no_rounding(seed: int, n: int, d: int, sizes: tuple[int, int], kind: str) -> None:
    """A product by BLAS, a sum pair by pair, and one in float64 have equal bits, whatever the size of the vectors."""
    rng = np.random.default_rng(seed)
    left, right = (rng.standard_normal((n, d)) for _ in sizes)
    if kind == "sparse":
        left, right = left * (rng.random((n, d)) < 0.1), right * (rng.random((n, d)) < 0.1)
    elif kind == "equal":
        left, right = np.ones((n, d)), np.ones((n, d))
    elif kind == "heavy":
        left, right = left**9, right * np.exp(5 * rng.standard_normal((n, 1)))
    large, small = (np.ldexp(a, size).astype(np.float32) for a, size in zip((left, right), sizes, strict=True))
    one, two = on_grid(large), on_grid(small)
    exact = one.astype(np.float64) @ two.T.astype(np.float64)

    assert np.array_equal((one @ two.T).astype(np.float64), exact)
    assert np.array_equal((one[:, ::-1] @ two[:, ::-1].T).astype(np.float64), exact)
    at = rng.permutation(n)
    assert np.array_equal(pair_scores(one, two, np.arange(n), at).astype(np.float64), exact[np.arange(n), at])
    length = np.linalg.norm(large.astype(np.float64), axis=1, keepdims=True)
    assert (np.abs(one - large.astype(np.float64)) <= np.maximum(length / 4000, 2.0**-62)).all()


def test_scores_of_pairs_after_a_product_include_barred_ones() -> None:
    owners, items, barred = world(4, 30, 500, 16, 0.3, 0)
    owner, item = (rng.ravel() for rng in np.meshgrid(np.arange(30), np.arange(500), indexing="ij"))
    weight = np.linspace(0, 2, 500).astype(np.float32)
    for fresh in (Float32Product(items), Float32Product(items).weighted(weight)):
        before = fresh.score(owners, owner, item)
        top_k(owners, fresh, sparse.csr_matrix(barred), 20)
        assert np.array_equal(fresh.score(owners, owner, item).view(np.int32), before.view(np.int32))


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
