"""The fast product gives exactly the lists of the float32 product, and detects when it cannot."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from models.als import ALS
from models.data.batch import Owners, Proposal
from models.schema import Surface
from models.scoring.factors import FactorScorer
from models.scoring.scorer import Scorer
from models.scoring.top_k import Float32Product, on_grid, top_k
from pipelines.score.fast_product import BFloat16Product, fastest
from tests.marketplace.world import GROUPS, world
from tests.models.scorer_contract import ScorerContract


def same(one: Proposal, other: Proposal) -> bool:
    return all(np.array_equal(getattr(one, n), getattr(other, n)) for n in ("indptr", "item")) and np.array_equal(
        one.score.view(np.int32), other.score.view(np.int32)
    )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    b=st.integers(1, 50),
    m=st.integers(1, 900),
    d=st.integers(1, 40),
    k=st.integers(1, 80),
    share=st.sampled_from([0.0, 0.2, 0.95, 1.0]),
    shift=st.sampled_from([-1.0, 0.0, 1.0]),
    tail=st.sampled_from([0.0, 2.0]),
)
def test_lists_are_equal(seed: int, b: int, m: int, d: int, k: int, share: float, shift: float, tail: float) -> None:
    """shift -1 makes most scores negative. tail gives some items far longer vectors, like popular items."""
    rng = np.random.default_rng(seed)
    owners, items = (rng.standard_normal((n, d)).astype(np.float32) + np.float32(s) for n, s in ((b, 1.0), (m, shift)))
    items *= np.exp(tail * rng.standard_normal((m, 1))).astype(np.float32)
    items[m // 2 :] = items[: m - m // 2]  # exact ties
    owners, items = on_grid(owners), on_grid(items)
    barred = sparse.csr_matrix(rng.random((b, m)) < share)
    half, single = BFloat16Product(items), Float32Product(items)
    assert same(top_k(owners, half, barred, k), top_k(owners, single, barred, k))
    weight = np.abs(rng.standard_normal(m)).astype(np.float32)
    found = (top_k(owners, product.weighted(weight), barred, k) for product in (half, single))
    assert same(*found)


def test_nearly_equal_scores_are_distinct() -> None:
    """The scores differ by less than bfloat16 can represent."""
    rng = np.random.default_rng(0)
    items = np.ones((2000, 8), np.float32)
    items[:, 0] += rng.permutation(2000).astype(np.float32) * np.float32(2**-10)
    owners, items = on_grid(np.abs(rng.standard_normal((9, 8))).astype(np.float32)), on_grid(items)
    barred = sparse.csr_matrix((9, 2000), dtype=bool)
    assert same(top_k(owners, BFloat16Product(items), barred, 20), top_k(owners, Float32Product(items), barred, 20))


def test_the_floor_holds() -> None:
    """No item of the true best k has an approximate score below the floor, and few others reach it."""
    rng = np.random.default_rng(1)
    owners, items = (on_grid(rng.standard_normal((n, 128)).astype(np.float32)) for n in (64, 5000))
    product = BFloat16Product(items)
    exact = owners.astype(np.float64) @ items.T.astype(np.float64)
    approximate = product.product(owners, sparse.csr_matrix((64, 5000), dtype=bool))[:, :5000].copy()
    kth = np.sort(approximate, axis=1)[:, -100]
    floor, sure = product.floor(owners, kth)
    assert sure.all()
    best = np.argsort(-exact, axis=1)[:, :100]
    assert (np.take_along_axis(approximate, best, 1) >= floor[:, None]).all()
    assert (approximate >= floor[:, None]).sum(axis=1).mean() < 160


def test_no_promise_near_zero() -> None:
    product = BFloat16Product(np.ones((200, 4), np.float32))
    owners = np.array([[1, 1, 1, 1], [-1, -1, -1, -1], [0, 0, 0, 0]], np.float32)
    kth = product.product(owners, sparse.csr_matrix((3, 200), dtype=bool))[:, 0].copy()
    assert product.floor(owners, kth)[1].tolist() == [True, False, False]


def test_the_fastest_is_one_of_both() -> None:
    assert fastest() in (Float32Product, BFloat16Product) and fastest() is fastest()


class TestAcceleratedFactors(ScorerContract):
    @pytest.fixture
    def scorer(self) -> Scorer:
        rng = np.random.default_rng(0)
        w = world()
        items = w.startups.items_of(Surface.STARTUPS_FOR_INVESTOR)
        group = np.eye(GROUPS, dtype=np.float32)
        noise = rng.standard_normal((len(items), GROUPS)).astype(np.float32) / 4
        plain = FactorScorer(
            ALS, group[w.user_group], w.users.count > 2, group[w.startup_group[items]] + noise, items > 3
        )
        return plain.with_backend(BFloat16Product)

    @pytest.fixture
    def owners(self) -> Owners:
        return world().owners(Surface.STARTUPS_FOR_INVESTOR, strangers=2)

    @pytest.fixture
    def silent(self, owners: Owners) -> list[int]:
        return np.flatnonzero(owners.count <= 2).tolist()
