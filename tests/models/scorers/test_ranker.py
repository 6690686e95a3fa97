"""The second stage: rules by hand, the network, and greedy placing against the obvious loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.features import DIVERSITY_FACETS, FEATURES
from models.nouns.bundle import Bundle
from models.scorers.ranker import MlpRanker, RuleRanker, place
from models.settings import Settings

RULES = RuleRanker.of(Settings())


def test_rule_score_by_hand() -> None:
    """C36: 0.5 x 0.8 + 0.2 x 0.5 + 0.2 x 1 + 0.1 x 0.3."""
    assert RULES.score(np.array([[0.8, 0.5, 1.0, 0.3]], np.float32)) == pytest.approx([0.73])


def test_rule_weights_are_settings() -> None:
    """G11."""
    only = RuleRanker.of(
        Settings(rule_model_weight=0, rule_recency_weight=3, rule_popularity_weight=0, rule_diversity_weight=1)
    )

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

    found = MlpRanker.of(bundle).score(np.array([[[0.25, 9, 9, 9]], [[1, 9, 9, 9]]], np.float32))

    assert found.shape == (2, 1)
    assert found.ravel() == pytest.approx([1 / (1 + np.exp(-(2 * 0.25 + 4 * 0.25 - 1))), 1 / (1 + np.exp(-1))])


def naive(features: np.ndarray, codes: list[list[int]], places: int) -> list[int]:
    """The rule-based greedy order of one owner, written as a loop."""

    def score(i: int, placed: list[int], greedy: bool) -> float:
        x = features[i].astype(np.float32).copy()
        if greedy:
            same = sum(sum(c[i] == c[j] >= 0 for c in codes) for j in placed)
            x[FEATURES.index("diversity")] = np.float32(1) - np.float32(same) / (max(len(placed), 1) * len(codes))
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

    order, score = place(RULES, features[None], facets, np.ones((1, n), bool), places, n)

    if n <= 3 * places or not places:  # beyond, the pool of the greedy places is the 3 x places best by base score
        assert order[0].tolist() == naive(features, codes.tolist(), places)
    assert sorted(order[0].tolist()) == list(range(n))
    assert (np.diff(score[0]) <= 0).all()


def test_what_is_not_there_is_never_placed_before_what_is() -> None:
    features = np.full((2, 6, 4), 0.5, np.float32)
    present = np.array([[True] * 2 + [False] * 4, [True] * 6])
    facets = {f: np.zeros((2, 6), np.int32) for f in DIVERSITY_FACETS}

    order, score = place(RULES, features, facets, present, 4, 5)

    assert set(order[0, :2].tolist()) == {0, 1} and np.isneginf(score[0, 2:]).all()
    assert sorted(order[1].tolist()) == [0, 1, 2, 3, 4] and np.isfinite(score[1]).all()


def test_diversity_separates_equals() -> None:
    """C51: of three equally good items the one of another category comes second."""
    features = np.array([[[0.9, 0, 0, 0.5]] * 3], np.float32)
    facets = {"category": np.array([[1, 1, 2]]), "field": np.array([[5, 5, 6]]), "type": np.array([[-1, -1, -1]])}

    order, _ = place(RULES, features, facets, np.ones((1, 3), bool), 3, 3)

    assert order[0].tolist() == [0, 2, 1]
