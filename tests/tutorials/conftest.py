"""A copy of the checkout with the tiny marketplace in data/, and an environment in which its commands run."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.settings.settings import Settings
from tests.marketplace.tiny import SMALL, write_tiny_marketplace
from tests.tutorials.follow import copy_checkout


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The checkout, data/ in it."""
    where = copy_checkout(tmp_path / "copy")
    write_tiny_marketplace(where / "data")
    return where


@pytest.fixture
def env(settings: Settings) -> dict[str, str]:
    """The servers and the home of the test, and settings that make a build small."""
    small = {**SMALL, "enable_two_tower": False, "ranker": "rules", "shards": 2, "graph_filter_min_pairs": 0}
    return {
        "MATCHBOOK_HOME": str(settings.home),
        "MATCHBOOK_NAMESPACE": settings.namespace,
        "DATABASE_URL": settings.database_url.reveal(),
        "REDIS_URL": settings.redis_url.reveal(),
    } | {_variable(flat): str(value).lower() for flat, value in small.items()}


def _variable(flat: str) -> str:
    from models.settings.declared import declared

    return declared(flat).variable
