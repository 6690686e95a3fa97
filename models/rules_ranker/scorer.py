"""The rules as a ranker (C36, G11)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.rules_ranker import RulesConfig
from models.scoring.scorer import RankerAsked


@dataclass(frozen=True, eq=False)
class RuleRanker:
    """Scores 0.5 model score + 0.2 recency + 0.2 popularity + 0.1 diversity (C36).

    These are defaults; weights are settings (G11).
    """

    weights: NDArray[np.float32]
    name: str = "rules"

    @classmethod
    def from_config(cls, config: RulesConfig) -> RuleRanker:
        weights = config.model_weight, config.recency_weight, config.popularity_weight, config.diversity_weight
        w = np.array(weights, np.float32)
        return cls(w / max(float(w.sum()), 1e-9))

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Add term by term, because rounding in a matrix product may depend on the other rows."""
        total = features[..., 0] * self.weights[0]
        for i in range(1, len(self.weights)):
            total += features[..., i] * self.weights[i]
        return np.asarray(total, np.float32)


def open_ranker(asked: RankerAsked, config: RulesConfig) -> RuleRanker:  # noqa: ARG001 - the rules serve everywhere
    """Make the rules with the configured weights."""
    return RuleRanker.from_config(config)
