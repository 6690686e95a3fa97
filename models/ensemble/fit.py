"""Trains the learned blend: a logistic regression. Its probability is the ensemble's score (C17, O05)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.bundle import Bundle
from models.ensemble import SPEC
from models.errors import TrainingError

BLEND = SPEC.bundle
#: Columns of `models.ensemble.scorer.learned_features`, in order.
BLEND_FEATURES = ("als_score", "two_tower_score", "log_interaction_count", "log_account_age_days")


def fit_blend(
    features: NDArray[np.float32], label: NDArray[np.int8], min_positives: int, about: Mapping[str, Any] | None = None
) -> Bundle:
    """Train "ensemble_v1", the probability that an owner engages with a candidate.

    features: (n, 4) from `models.ensemble.scorer.learned_features`. label: (n,) 0 or 1. about: further config.
    Arrays: coefficients (4,) and intercept (1,), float64. Count and age are the same for all candidates of an owner, so
    only the two scores affect the order.
    Raises TrainingError with fewer than `min_positives`, or if one label is missing.
    """
    from sklearn.linear_model import LogisticRegression

    positives = int(label.sum())
    if features.shape != (len(label), len(BLEND_FEATURES)) or not np.isfinite(features).all():
        raise TrainingError(f"expected finite features ({len(label)}, {len(BLEND_FEATURES)}), got {features.shape}")
    if positives < min_positives or positives == len(label):
        raise TrainingError(
            f"{positives} positives and {len(label) - positives} negatives, "
            f"{min_positives} positives and a negative needed; "
            "the weighted blend is used until there is more feedback"
        )
    x = features.astype(np.float64)
    scale = np.maximum(x.std(axis=0), 1e-9)  # the solver needs columns of one scale; undone below
    model = LogisticRegression(max_iter=1000).fit(x / scale, label)
    coefficients, intercept = model.coef_[0] / scale, model.intercept_
    config = {
        **(about or {}),
        "features": list(BLEND_FEATURES),
        "rows": len(label),
        "positives": positives,
        "coefficients": dict(zip(BLEND_FEATURES, coefficients.round(9).tolist(), strict=True)),
        "intercept": round(float(intercept[0]), 9),
        "regularization": "l2, C=1 on standardised columns",
        "log_loss": round(_log_loss(x @ coefficients + intercept[0], label), 6),
    }
    return Bundle(BLEND, config, {"coefficients": coefficients, "intercept": intercept})


def _log_loss(logit: NDArray[np.float64], label: NDArray[np.int8]) -> float:
    return float(np.mean(np.logaddexp(0, logit) - label * logit))
