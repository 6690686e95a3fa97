"""Compare the numbers of docs/requirements.md with default settings and constants."""

from __future__ import annotations

from typing import Any

import pytest

from models.als.fit import ENOUGH
from models.ensemble.scorer import PROFILES, RRF_K
from models.mlp_ranker.fit import DROPOUT
from models.schema import EventType
from models.settings.settings import Settings
from pipelines.train.tune import whole_grid
from serving.live.recommender import COUNT_TTL_S

DEFAULTS: list[tuple[str, Any]] = [
    ("enable_als", True),
    ("enable_two_tower", True),
    ("enable_ensemble", True),
    ("als_model_path", ""),
    ("two_tower_model_path", ""),
    ("ensemble_als_weight", 0.6),
    ("ensemble_two_tower_weight", 0.4),
    ("cold_start_threshold", 5),
    ("warm_user_threshold", 20),
    ("als_factors", 128),
    ("als_regularization", 0.01),
    ("als_iterations", 20),
    ("als_alpha", 40.0),
    ("als_min_interactions", 1),
    ("holdout_share", 0.2),
    ("two_tower_epochs", 10),
    ("ranker_hidden", (32, 16)),
    ("ranker_epochs", 20),
    ("ranker_batch", 128),
    ("ranker_learning_rate", 0.001),
    ("ranker_negatives", 2),
    ("ranker_min_positives", 100),
    ("rule_model_weight", 0.5),
    ("rule_recency_weight", 0.2),
    ("rule_popularity_weight", 0.2),
    ("rule_diversity_weight", 0.1),
    ("recency_days", 30.0),
    ("candidate_multiplier", 2.0),
    ("keep_releases", 3),
    ("retrain_busy", 1000),
    ("live_ttl_s", 1800),
    ("reader_port", 5000),
    ("reader_host", "127.0.0.1"),
]


@pytest.mark.parametrize(("name", "value"), DEFAULTS, ids=[name for name, _ in DEFAULTS])
def test_the_default_is_as_required(name: str, value: Any) -> None:
    assert Settings().value(name) == value


@pytest.mark.parametrize(
    ("changes", "epochs"),
    [
        ({"ranker_epochs": 15, "ranker_batch": 64, "ranker_learning_rate": 0.0005}, 15),
        ({"ranker_epochs": 30, "ranker_batch": 256, "ranker_learning_rate": 0.002}, 30),
    ],
    ids=["conservative", "aggressive"],
)
def test_the_network_can_be_trained_with_other_values(changes: dict[str, Any], epochs: int) -> None:
    assert Settings().layered(changes, "given").table("ranker").epochs == epochs


def test_event_types_have_the_required_weights() -> None:
    weights = {"view": 0.5, "click": 1.0, "like": 2.0, "dislike": -1.0, "favorite": 2.5, "apply": 3.0, "interest": 3.5}
    assert {str(t): t.weight for t in EventType if t.weight is not None} == weights


def test_the_search_tries_the_recommended_weights_of_the_ensemble() -> None:
    assert {0.5, 0.6, 0.7} <= set(whole_grid("ensemble_v1")["ensemble_als_weight"])


def test_constants_are_as_required() -> None:
    assert (RRF_K, DROPOUT, ENOUGH, COUNT_TTL_S) == (60, 0.2, 1000, 300)
    assert sorted(PROFILES.values()) == [0.4, 0.5, 0.6, 0.7]
