"""Copy the checkout with the tiny marketplace in data/, and set the environment of its commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.schema import Surface
from models.settings.settings import Settings
from tests.marketplace.small import small_variables
from tests.marketplace.tiny import write_tiny_marketplace
from tests.tutorials.follow import copy_checkout


def measured(settings: Settings, release: str, surface: Surface) -> set[str]:
    """Return the models that the report of a release measures separately on a surface."""
    told = json.loads((settings.artifacts / "reports" / release / "report.json").read_text())
    return set(told["evaluation"]["surfaces"][surface]["models"])


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    where = copy_checkout(tmp_path / "copy")
    write_tiny_marketplace(where / "data")
    return where


@pytest.fixture
def env(settings: Settings, tmp_path: Path) -> dict[str, str]:
    """Return the test's servers and home, an Airflow without examples, and settings of a small build.

    The tests that a page runs try few examples: in the checkout itself they try all.
    """
    return {
        "MATCHBOOK_HOME": str(settings.home),
        "MATCHBOOK_NAMESPACE": settings.namespace,
        "DATABASE_URL": settings.database_url.reveal(),
        "REDIS_URL": settings.redis_url.reveal(),
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTEST_ADDOPTS": "--hypothesis-profile=few",
        **small_variables(enable_two_tower=False, ranker="rules", shards=2, graph_filter_min_pairs=0),
    }
