"""The learned blend finds a planted rule, is reproducible, and serves its fitted weights (C17)."""

from __future__ import annotations

import numpy as np
import pytest

from models.ensemble import EnsembleConfig
from models.ensemble.fit import fit_blend
from models.ensemble.scorer import Blend, learned_features
from models.errors import TrainingError
from models.ranker import RankerConfig
from models.settings.settings import Settings

SETTINGS = Settings()


def planted(n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Plant log odds = -2 + 3 x ALS + 1 x two-tower + 0.5 x log count, without the age."""
    rng = np.random.default_rng(0)
    als, tower = rng.random(n), rng.random(n)
    x = learned_features(als, tower, rng.integers(20, 200, n), rng.random(n) * 900)
    odds = -2 + 3 * x[:, 0] + x[:, 1] + 0.5 * (x[:, 2] - 4)
    return x, (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(np.int8)


def test_it_finds_the_planted_weights() -> None:
    bundle = fit_blend(*planted(40_000), SETTINGS.of(RankerConfig).min_positives)
    np.testing.assert_allclose(bundle.arrays["coefficients"], [3, 1, 0.5, 0], atol=0.12)
    names = ["als_score", "two_tower_score", "log_interaction_count", "log_account_age_days"]
    assert bundle.config["features"] == names


def test_equal_rows_give_equal_bytes() -> None:
    first, second = (fit_blend(*planted(), SETTINGS.of(RankerConfig).min_positives) for _ in range(2))
    assert first.digest() == second.digest()


def test_what_is_served_is_the_probability_that_was_fitted() -> None:
    bundle = fit_blend(*planted(), SETTINGS.of(RankerConfig).min_positives)
    raw_als, raw_tower = np.array([3.0, 1, 2], np.float32), np.array([0.0, 1, 1], np.float32)
    served = Blend(SETTINGS.layered({"blend": "learned"}, "given").of(EnsembleConfig), bundle)(
        raw_als, raw_tower, np.zeros(3, np.int32), np.array([0, 3]), np.array([25]), np.array([100.0])
    )
    x = learned_features(np.array([1, 0, 0.5]), np.array([0, 1, 1]), np.full(3, 25), np.full(3, 100.0))
    expected = 1 / (1 + np.exp(-(x @ bundle.arrays["coefficients"] + bundle.config["intercept"])))
    np.testing.assert_allclose(served, expected, rtol=1e-4)


def test_too_few_positives_are_refused() -> None:
    x, label = planted(150)
    with pytest.raises(TrainingError, match="positives and a negative needed"):
        fit_blend(x, np.minimum(label, np.arange(150) < 20), SETTINGS.of(RankerConfig).min_positives)
    with pytest.raises(TrainingError, match="0 negatives"):
        fit_blend(x, np.ones(150, np.int8), SETTINGS.of(RankerConfig).min_positives)
