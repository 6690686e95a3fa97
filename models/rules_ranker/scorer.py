"""The rules as a ranker (C36, G11)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.settings import Settings


@dataclass(frozen=True, eq=False)
class RuleRanker:
    """0.5 model score + 0.2 recency + 0.2 popularity + 0.1 diversity (C36); the weights are settings (G11)."""

    weights: np.ndarray
    name: str = "rules"

    @classmethod
    def of(cls, settings: Settings) -> RuleRanker:
        w = np.array(
            [
                settings.rule_model_weight,
                settings.rule_recency_weight,
                settings.rule_popularity_weight,
                settings.rule_diversity_weight,
            ],
            np.float32,
        )
        return cls(w / max(float(w.sum()), 1e-9))

    def score(self, features: np.ndarray) -> np.ndarray:
        """Term by term: a matrix product may round a row by where it stands, and equal features must score equally."""
        total = features[..., 0] * self.weights[0]
        for i in range(1, len(self.weights)):
            total += features[..., i] * self.weights[i]
        return np.asarray(total, np.float32)
