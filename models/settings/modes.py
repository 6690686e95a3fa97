"""Modes of ranking: one switch, [ranking] mode, sets many settings at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: No setting is replaced.
SETTINGS = "settings"
#: The source documents' recipe (docs/decisions/0040-seed-mode.md).
SEED = "seed"
#: By mode: the values that it sets, by flat name.
MODES: Mapping[str, Mapping[str, Any]] = {
    SETTINGS: {},
    SEED: {
        # Routing by counts: content, ALS, ensemble (B01-B05). Startups get no ensemble (R24).
        "cold_start_threshold": 5,
        "warm_user_threshold": 20,
        "founder_ensemble": False,
        # Candidates: twice the places, from the routed method alone (C10, C52). No cap on exposure.
        "candidate_multiplier": 2.0,
        "candidate_sources": "route",
        "exposure_cap": 0.0,
        # The ensemble: 0.6 ALS + 0.4 two-tower (C08, C12).
        "blend": "weighted",
        "blend_profile": None,
        "ensemble_als_weight": 0.6,
        "ensemble_two_tower_weight": 0.4,
        # The network over four features (C33), else the rules (A08). Diversity by thirds in the first places (C51).
        "ranker": "mlp",
        "diversity_places": 20,
        # Training of the network: positives by engagement, viewed pairs first among negatives (C37, C41-C43, C53).
        "ranker_epochs": 20,
        "ranker_batch": 128,
        "ranker_learning_rate": 0.001,
        "ranker_hidden": (32, 16),
        "ranker_negatives": 2,
        "ranker_negatives_from": "declined",
        "ranker_min_positives": 100,
        # The rules (C36, C46).
        "rule_model_weight": 0.5,
        "rule_recency_weight": 0.2,
        "rule_popularity_weight": 0.2,
        "rule_diversity_weight": 0.1,
        "recency_days": 30.0,
    },
}
