"""Provide settings that fit models quickly. All tests use them, with few changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from models.learned_ranker import fit
from models.mlp_ranker import fit as mlp_fit
from models.settings.declared import declared
from models.settings.settings import Settings
from pipelines.report import plots

SMALL: dict[str, Any] = {
    "als_factors": 4,
    "als_iterations": 3,
    "two_tower_epochs": 1,
    "two_tower_dimensions": 8,
    "content_dimensions": 8,
    "ranker_epochs": 1,
    "ranker_min_positives": 5,
    "depth": 10,
}

#: Functions that draw a picture. Axes and ticks take most of the time.
PICTURES = ("dots", "bars", "curves", "calibration", "weeks")


def small_settings(**changed: Any) -> Settings:
    """Return SMALL with these changes, and defaults otherwise."""
    return Settings().layered(SMALL | changed, "given")


def small_variables(**changed: Any) -> dict[str, str]:
    """Return the same as environment variables, without default values."""
    return {declared(name).variable: str(value).lower() for name, value in (SMALL | changed).items()}


@contextmanager
def quick_builds(pictures: bool = False) -> Iterator[None]:
    """Fit a third of the learned ranker's trees with a higher learning rate, the network on fewer pairs.

    tests/models/learned_ranker and tests/models/mlp_ranker fit all. pictures: draw real pictures, not empty ones.
    """
    fewer = {
        name: (goal, replace(shape, trees=shape.trees // 3, learning_rate=0.2), again)
        for name, (goal, shape, again) in fit._FORESTS.items()
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "_FORESTS", fewer)
        patch.setattr(mlp_fit, "_EACH", 4)
        for drawn in () if pictures else PICTURES:
            patch.setattr(plots, drawn, lambda *_, **__: "<svg></svg>")
        yield
