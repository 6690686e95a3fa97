"""Scale and blend scores: numbers by hand, and properties for any input."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data.batch import indptr_of
from models.data.bundle import Bundle
from models.ensemble import EnsembleConfig
from models.ensemble.scorer import Blend, als_weight
from models.scoring.scorer import Ranks, min_max
from models.settings.settings import Settings

NAN = np.nan


def blended(
    settings: Settings, als: list[float], tower: list[float], count: int = 25, learned: Bundle | None = None
) -> list[float]:
    n = len(als)
    found = Blend(settings.of(EnsembleConfig), learned)(
        np.array(als, np.float32),
        np.array(tower, np.float32),
        np.zeros(n, np.int32),
        np.array([0, n]),
        np.array([count]),
        np.array([10.0]),
    )
    return [round(float(x), 6) for x in found]


def test_min_max_by_hand() -> None:
    """C09: (score - min) / (max - min), per owner."""
    found = min_max(np.array([1, 3, 2, 10, 10, 5], np.float32), np.array([0, 3, 5, 6]))

    assert found.tolist() == [0, 1, 0.5, 0.5, 0.5, 0.5]  # equal scores, or a single one, give 0.5 (R06)


def test_an_abstention_stays_one() -> None:
    found = min_max(np.array([NAN, 4, 8, NAN], np.float32), np.array([0, 3, 3, 4]))

    assert np.isnan(found[[0, 3]]).all() and found[1:3].tolist() == [0, 1]


@given(st.lists(st.lists(st.one_of(st.just(NAN), st.floats(-1e6, 1e6, width=32)), max_size=6), max_size=6))
def test_min_max_keeps_order_and_range(rows: list[list[float]]) -> None:
    indptr = indptr_of([len(r) for r in rows])
    raw = np.array([x for r in rows for x in r], np.float32)
    found = min_max(raw, indptr)

    assert np.array_equal(np.isnan(found), np.isnan(raw))
    seen = found[~np.isnan(found)]
    assert ((seen >= 0) & (seen <= 1)).all()
    for a, b in itertools.pairwise(indptr):
        here = ~np.isnan(raw[a:b])
        order = np.argsort(raw[a:b][here], kind="stable")
        assert (np.diff(found[a:b][here][order]) >= 0).all()


def test_weighted_blend_by_hand() -> None:
    """C08: 0.6 x ALS + 0.4 x two-tower, each scaled over the union. An item counts 0 for a model without a score."""
    assert blended(Settings(), [0, 5, 10, NAN], [2, 4, NAN, 3]) == [0.0, 0.7, 0.6, 0.2]


@pytest.mark.parametrize(
    ("profile", "weight"), [("collaborative", 0.7), ("balanced", 0.6), ("semantic", 0.4), ("equal", 0.5)]
)
def test_profiles(profile: str, weight: float) -> None:
    assert als_weight(
        Settings().layered({"blend_profile": profile}, "given").of(EnsembleConfig), np.array([30])
    ) == pytest.approx([weight])


def test_weights_are_settings_and_need_not_add_up_to_one() -> None:
    settings = Settings().layered({"ensemble_als_weight": 0.9, "ensemble_two_tower_weight": 0.3}, "given")

    assert als_weight(settings.of(EnsembleConfig), np.array([30])) == pytest.approx([0.75])


def test_dynamic_weight_falls_with_the_interaction_count() -> None:
    found = als_weight(
        Settings().layered({"blend": "dynamic"}, "given").of(EnsembleConfig), np.array([20, 49, 50, 99, 100])
    )

    assert found == pytest.approx([0.6, 0.6, 0.5, 0.5, 0.4])


def test_reciprocal_rank_fusion_by_hand() -> None:
    """C16: sum of 1 / (60 + rank), ranks from 1, then scaled to 0..1."""
    fused = [1 / 61 + 1 / 63, 1 / 62 + 1 / 61, 1 / 63 + 1 / 62]
    low, high = min(fused), max(fused)

    assert blended(Settings().layered({"blend": "rrf"}, "given"), [3, 2, 1], [1, 3, 2]) == pytest.approx(
        [(f - low) / (high - low) for f in fused], abs=1e-4
    )


def test_ranks_break_ties_by_place_and_put_abstentions_last() -> None:
    score = np.array([5, NAN, 5, 9], np.float32)

    assert Ranks(np.array([0, 4])).of(score).tolist() == [2, 4, 3, 1]


def test_learned_blend_is_the_logistic_of_its_features() -> None:
    learned = Bundle("ensemble_v1", {}, {"coefficients": np.array([2.0, 1.0, 0.0, 0.0]), "intercept": np.array([-1.0])})

    found = blended(Settings().layered({"blend": "learned"}, "given"), [0, 1], [0, 1], learned=learned)

    assert found == pytest.approx([1 / (1 + np.exp(1)), 1 / (1 + np.exp(-2))], abs=1e-5)


def test_learned_blend_falls_back_to_the_weights_where_none_was_fitted() -> None:
    assert blended(Settings().layered({"blend": "learned"}, "given"), [0, 1], [0, 1]) == [0.0, 1.0]
