"""Settings whose models are fitted in a moment: the settings of every test are these, changed where it must be."""

from __future__ import annotations

from typing import Any

from models.settings.declared import declared
from models.settings.settings import Settings

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


def small_settings(**changed: Any) -> Settings:
    """SMALL with these changes; defaults otherwise."""
    return Settings().layered(SMALL | changed, "given")


def small_variables(**changed: Any) -> dict[str, str]:
    """The same as variables of the environment, only what differs from the defaults."""
    return {declared(name).variable: str(value).lower() for name, value in (SMALL | changed).items()}
