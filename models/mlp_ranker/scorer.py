"""The network as a ranker (C33)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.data.bundle import Bundle
from models.ranker import RankerConfig
from models.scoring.scorer import RankerAsked

_ROWS = 2048  # rows per forward pass, so that the widest layer stays in the cache


@dataclass(frozen=True, eq=False)
class MlpRanker:
    """Forward pass of `ranker_v1`: dense layers with ReLU, then a sigmoid (C33); no dropout."""

    layers: tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]
    name: str = "mlp"

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> MlpRanker:
        """Read the arrays weight_0 (out, in), bias_0 (out,), weight_1, …"""
        depth = sum(k.startswith("weight_") for k in bundle.arrays)
        return cls(tuple((bundle.arrays[f"weight_{i}"], bundle.arrays[f"bias_{i}"]) for i in range(depth)))

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        rows = features.reshape(-1, features.shape[-1])
        parts = [self._forward(rows[s : s + _ROWS]) for s in range(0, max(len(rows), 1), _ROWS)]
        return np.concatenate(parts).reshape(features.shape[:-1])

    def _forward(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        for i, (weight, bias) in enumerate(self.layers):
            x = x @ weight.T
            x += bias
            if i < len(self.layers) - 1:
                np.maximum(x, 0, out=x)
        return np.asarray(1 / (1 + np.exp(-x[:, 0])), np.float32)


def open_ranker(asked: RankerAsked, config: RankerConfig) -> MlpRanker | None:  # noqa: ARG001 - its shape is stored
    """Open the network if it was trained and passed evaluation on the surface, or is requested by name."""
    bundle = asked.bundle
    if bundle is None or not (
        asked.by_name or asked.surface.value in bundle.config.get("surfaces", [asked.surface.value])
    ):
        return None
    return MlpRanker.from_bundle(bundle)
