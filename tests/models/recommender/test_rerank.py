"""Rerank: rules by hand, the network, and greedy placing compared with a simple loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.data.bundle import Bundle
from models.features.table import FEATURES
from models.mlp_ranker.scorer import MlpRanker
from models.recommender.rerank import diversify, place_greedily, rescore_with_diversity
from models.rules_ranker import RulesConfig
from models.rules_ranker.scorer import RuleRanker
from models.schema import DIVERSITY_FACETS
from models.settings.settings import Settings

RULES = RuleRanker.from_config(Settings().of(RulesConfig))
Facets = dict[str, np.ndarray]


def ruled(
    features: np.ndarray, facets: Facets, present: np.ndarray, places: int, depth: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return places by the rules. features: (b, w, 4) with neutral diversity, which the rules replace."""
    base = np.where(present, RULES.score(features), np.float32(-np.inf)).astype(np.float32)
    return place_greedily(rescore_with_diversity(RULES, features), base, facets, places, depth)


def test_rule_score_by_hand() -> None:
    """C36: 0.5 x 0.8 + 0.2 x 0.5 + 0.2 x 1 + 0.1 x 0.3."""
    assert RULES.score(np.array([[0.8, 0.5, 1.0, 0.3]], np.float32)) == pytest.approx([0.73])


def test_rule_weights_are_settings() -> None:
    """The diversity weight of the rules is a setting (G11)."""
    config = RulesConfig(model_weight=0, recency_weight=3, popularity_weight=0, diversity_weight=1)
    only = RuleRanker.from_config(config)

    assert only.score(np.array([[1, 0.4, 1, 0.8]], np.float32)) == pytest.approx([0.5])


def test_mlp_by_hand() -> None:
    """C33: ReLU between the layers, a sigmoid at the end."""
    bundle = Bundle(
        "ranker_v1",
        {},
        {
            "weight_0": np.array([[1, 0, 0, 0], [-1, 0, 0, 0]], np.float32),
            "bias_0": np.array([0, 0.5], np.float32),
            "weight_1": np.array([[2, 4]], np.float32),
            "bias_1": np.array([-1], np.float32),
        },
    )

    found = MlpRanker.from_bundle(bundle).score(np.array([[[0.25, 9, 9, 9]], [[1, 9, 9, 9]]], np.float32))

    assert found.shape == (2, 1)
    assert found.ravel() == pytest.approx([1 / (1 + np.exp(-(2 * 0.25 + 4 * 0.25 - 1))), 1 / (1 + np.exp(-1))])


def naive(features: np.ndarray, codes: list[list[int]], places: int) -> list[int]:
    """Return the greedy order of one owner by the rules, as a loop."""

    def score(i: int, placed: list[int], greedy: bool) -> float:
        x = features[i].astype(np.float32).copy()
        if greedy and placed:  # before the first placed item: neutral, as in the network's training
            same = sum(sum(c[i] == c[j] >= 0 for c in codes) for j in placed)
            x[FEATURES.index("diversity")] = np.float32(1) - np.float32(same) / (len(placed) * len(codes))
        return float(RULES.score(x[None])[0])

    placed: list[int] = []
    rest = list(range(len(features)))
    while rest and len(placed) < places:
        best = max(rest, key=lambda i: (round(score(i, placed, True), 6), -i))
        placed.append(best)
        rest.remove(best)
    return placed + sorted(rest, key=lambda i: (-score(i, [], False), i))


@given(st.integers(1, 12), st.integers(0, 5), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_placing_equals_the_obvious_loop(n: int, places: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = rng.random((n, 4)).astype(np.float32)
    features[:, 3] = 0.5
    codes = rng.integers(-1, 3, (3, n))
    facets = {f: codes[i][None] for i, f in enumerate(DIVERSITY_FACETS)}

    order, score = ruled(features[None], facets, np.ones((1, n), bool), places, n)

    if n <= 3 * places or not places:  # otherwise the greedy places use the best 3 x places by base score
        assert order[0].tolist() == naive(features, codes.tolist(), places)
    assert sorted(order[0].tolist()) == list(range(n))
    assert (np.diff(score[0]) <= 0).all()


def test_what_is_not_there_is_never_placed_before_what_is() -> None:
    features = np.full((2, 6, 4), 0.5, np.float32)
    present = np.array([[True] * 2 + [False] * 4, [True] * 6])
    facets = {f: np.zeros((2, 6), np.int32) for f in DIVERSITY_FACETS}

    order, score = ruled(features, facets, present, 4, 5)

    assert set(order[0, :2].tolist()) == {0, 1} and np.isneginf(score[0, 2:]).all()
    assert sorted(order[1].tolist()) == [0, 1, 2, 3, 4] and np.isfinite(score[1]).all()


def test_diversity_separates_equals() -> None:
    """Of three equally good items, the one of another category comes second (C51)."""
    features = np.array([[[0.9, 0, 0, 0.5]] * 3], np.float32)
    facets = {"category": np.array([[1, 1, 2]]), "field": np.array([[5, 5, 6]]), "type": np.array([[-1, -1, -1]])}

    order, _ = ruled(features, facets, np.ones((1, 3), bool), 3, 3)

    assert order[0].tolist() == [0, 2, 1]


def variety(order: np.ndarray, facets: Facets, first: int) -> float:
    """Return the mean share of facets in which two of the first places differ. A blank shares nothing."""
    codes = np.stack([facets[f][0, order[0, :first]] for f in DIVERSITY_FACETS])
    same = ((codes[:, :, None] == codes[:, None, :]) & (codes[:, :, None] >= 0)).mean(axis=0)
    return float(1 - same[np.triu_indices(first, 1)].mean())


def spread(base: np.ndarray, facets: Facets, weight: float, places: int) -> tuple[np.ndarray, np.ndarray]:
    return place_greedily(diversify(base, weight), base, facets, places, base.shape[1])


def test_likeness_costs_score_by_hand() -> None:
    """Second place: 0.8 - 0.6 x 2/3 = 0.4 for an item that shares two facets with the first, 0.5 for one with none."""
    base = np.array([[0.9, 0.8, 0.5]], np.float32)
    facets = {"category": np.array([[1, 1, 2]]), "field": np.array([[5, 5, 6]]), "type": np.array([[-1, -1, -1]])}

    order, score = spread(base, facets, 0.6, 3)

    assert order[0].tolist() == [0, 2, 1]
    # third place: similarity 2/3 to one of two placed, 0.8 - 0.6 x 1/3 = 0.6, but scores never increase along a list
    assert score[0] == pytest.approx([0.9, 0.5, 0.5])
    assert spread(base, facets, 0.4, 3)[0][0].tolist() == [0, 1, 2]  # 0.8 - 0.4 x 2/3 = 0.53


def test_no_weight_is_plain_order() -> None:
    rng = np.random.default_rng(3)
    base = rng.random((5, 60)).astype(np.float32)
    facets = {f: rng.integers(-1, 3, (5, 60)) for f in DIVERSITY_FACETS}

    order, score = spread(base, facets, 0.0, 20)

    assert np.array_equal(order, np.argsort(-base, axis=1, kind="stable"))
    assert np.array_equal(score, np.take_along_axis(base, order, 1))


def test_more_weight_is_no_less_variety_and_touches_the_first_places_alone() -> None:
    """All sixty candidates compete for the first twenty places. Better ones are more often games."""
    rng = np.random.default_rng(4)
    base = np.sort(rng.random((1, 100)).astype(np.float32))[:, ::-1].copy()
    facets = {f: np.where(rng.random((1, 100)) < base, 0, rng.integers(1, 5, (1, 100))) for f in DIVERSITY_FACETS}

    found = {w: spread(base, facets, w, 20)[0] for w in (0.0, 0.1, 0.3, 0.6, 1.0)}

    told = [variety(order, facets, 20) for order in found.values()]
    assert told == sorted(told) and told[-1] > told[0] + 0.05
    for order in found.values():
        assert set(order[0, :20].tolist()) <= set(range(60))
        rest = order[0, 20:].tolist()
        assert rest == sorted(rest) and sorted(order[0].tolist()) == list(range(100))
