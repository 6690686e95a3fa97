"""The graph filter equals dense algebra, is bounded and current, and is skipped where it does not help."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

import models.graph_filter.fit as graph_filter
from models import graph_filter as declared
from models.data.bundle import Bundle
from models.data.entities import IdMap
from models.data.interactions import Interactions
from models.errors import TooSparse
from models.graph_filter import GraphFilterConfig
from models.schema import EventType
from models.settings.settings import Settings
from tests.marketplace.data import fitted
from tests.marketplace.world import world
from tests.models.model_contract import SMALL, ModelContract

NAME = "graph_filter_v1"
DENSE = SMALL.layered({"graph_filter_min_pairs": 0.0}, "given")
WHOLE = DENSE.layered({"neighbours_half_life_share": 0.0}, "given")


def matrix_of(bundle: Bundle) -> np.ndarray:
    n = len(bundle.maps["item"])
    parts = (bundle.arrays["data"], bundle.arrays["indices"], bundle.arrays["indptr"])
    return np.asarray(sparse.csr_matrix(parts, shape=(n, n)).toarray())


def events(liked: np.ndarray, at: np.ndarray | None = None) -> Interactions:
    mine, theirs = (
        IdMap.from_ids(f"{i:08d}-0000-4000-8000-00000000000{s}" for i in range(n)) for s, n in enumerate(liked.shape)
    )
    owner, item = np.nonzero(liked)
    kind = np.full(len(owner), EventType.LIKE.code, np.int8)
    when = np.zeros(len(owner), np.int64) if at is None else at[owner, item]
    return Interactions(mine, theirs, owner.astype(np.int32), item.astype(np.int32), kind, when)


def random(owners: int = 60, items: int = 37) -> np.ndarray:
    """Plant four tastes, the last the rarest, so that four eigenvectors are large."""
    rng = np.random.default_rng(0)
    same = np.arange(owners)[:, None] % 10 // 3 == np.arange(items) % 10 // 3
    liked = rng.random((owners, items)) < np.where(same, 0.9, 0.05)
    liked[:, 5] = False
    return liked


def by_definition(liked: np.ndarray, settings: Settings) -> np.ndarray:
    """Compute q(P) within the kept eigenvectors, p P beyond them, and the weighted low pass.

    Items without events get 0.
    """
    per_item, e = np.maximum(liked.sum(0), 1), settings.of(GraphFilterConfig).exponent
    n = liked / (np.maximum(liked.sum(1, keepdims=True), 1) * per_item) ** e
    n /= np.linalg.norm(n, 2)
    rank = max(min(settings.of(GraphFilterConfig).rank, min(liked.shape[0], int((liked.sum(0) > 0).sum())) // 8), 1)
    _, size, right = np.linalg.svd(n, full_matrices=False)
    value, vectors = size[:rank] ** 2, right[:rank]
    p, root = settings.of(GraphFilterConfig).sharpening, per_item**e
    q = 0.5 - 0.5 * np.sign(1 - 2 * value) * np.abs(1 - 2 * value) ** p
    near = p * n.T @ n + vectors.T @ ((q - p * value)[:, None] * vectors)
    low = vectors.T @ vectors * root[None, :] / root[:, None]
    half = np.sqrt(root)
    whole = near * half[None, :] / half[:, None] + settings.of(GraphFilterConfig).weight * low
    np.fill_diagonal(whole, 0)
    never = liked.sum(0) == 0
    whole[never], whole[:, never] = 0, 0
    return np.maximum(whole, 0)


class TestGraphFilter(ModelContract):
    spec = declared.SPEC
    settings = DENSE

    def test_the_nearest_lie_in_the_planted_group(self) -> None:
        w = world()
        near = matrix_of(fitted("graph_filter", w.interactions, DENSE))
        known = np.flatnonzero(near.any(1))
        assert (w.startup_group[near[known].argmax(1)] == w.startup_group[known]).mean() > 0.9
        assert not near[w.startup_part == 2].any(), "what nobody met has no neighbour"


@pytest.mark.parametrize(("sharpening", "exponent"), [(1.0, 0.5), (1.5, 0.4)])
@pytest.mark.parametrize("cells", [1, 150, 10**7])
def test_equals_the_definition_however_it_is_cut_up(
    sharpening: float, exponent: float, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_filter, "CELLS", cells)
    settings = WHOLE.layered({"graph_filter_sharpening": sharpening, "graph_filter_exponent": exponent}, "given")
    found = matrix_of(fitted("graph_filter", events(random()), settings))
    assert found == pytest.approx(by_definition(random().astype(float), settings), abs=1e-4)


def test_the_largest_are_kept_and_lower_columns_win_ties() -> None:
    whole = matrix_of(fitted("graph_filter", events(random()), WHOLE))
    config = WHOLE.of(GraphFilterConfig)
    few = matrix_of(graph_filter.fit_graph_filter(NAME, events(random()), config, 0.0, keep=5))
    for full, kept in zip(whole, few, strict=True):
        best = np.lexsort((np.arange(len(full)), -full))[:5]
        assert sorted(np.flatnonzero(kept)) == sorted(best[full[best] > 0])
    dense = np.array([[3, 1, 2, 2, 2], [0, 0, 0, -1, 1]], np.float32)
    lengths, indices, data = graph_filter._largest(dense, 3)
    assert (lengths.tolist(), indices.tolist(), data.tolist()) == ([3, 1], [0, 2, 3, 4], [3.0, 2.0, 2.0, 1.0])


def test_old_events_count_less() -> None:
    liked, old = random(), np.zeros((60, 37), np.int64) + 86_400
    old[:, 7] = 0
    plain = matrix_of(fitted("graph_filter", events(liked), WHOLE))
    faded = matrix_of(
        fitted("graph_filter", events(liked, old), WHOLE.layered({"neighbours_half_life_share": 0.5}, "given"))
    )
    assert faded[:, 7] == pytest.approx(plain[:, 7] / 4) and faded[:, 8] == pytest.approx(plain[:, 8])


def test_threads_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_filter, "CELLS", 150)
    one, two = (fitted("graph_filter", events(random()), replace(WHOLE, train_threads=n)) for n in (1, 3))
    assert all((one.arrays[name] == two.arrays[name]).all() for name in one.arrays)


def test_it_is_left_out_where_it_does_not_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TooSparse, match=r"\[graph_filter\] min_pairs"):
        fitted("graph_filter", events(random()), WHOLE.layered({"graph_filter_min_pairs": 25.0}, "given"))
    with pytest.raises(TooSparse, match=r"on average.*, got 0"):
        fitted("graph_filter", events(np.zeros((3, 3), bool)), WHOLE)
    monkeypatch.setattr(graph_filter, "LARGEST", 10)
    with pytest.raises(TooSparse, match="at most 10 items"):
        fitted("graph_filter", events(random()), WHOLE)
