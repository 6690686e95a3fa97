"""Detect outdated live lists by the clock, and report the right one of two reasons."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis

from models.lists.redis_format import Keys
from models.lists.release import Release
from models.settings.settings import Settings
from pipelines.ingest.ingest import import_folder
from pipelines.schedule import list_freshness
from tests.marketplace.tiny import AFTER_ALL, NEWEST, write_tiny_marketplace

MADE = datetime(2024, 5, 1, 3, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def live(settings: Settings, tmp_path: Path) -> Settings:
    """Publish a release of the tiny marketplace that has only a manifest."""
    import_folder(settings, write_tiny_marketplace(tmp_path / "data"))
    return settings


def with_live(settings: Settings, as_of: datetime) -> Settings:
    name = "20240501T000000Z-abcdef01"
    release = Release(name, as_of.isoformat(), MADE.isoformat(), "abcdef01", "s", {}, {}, [], {})
    folder = settings.artifacts / "releases" / name
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(release.to_json())
    with redis.Redis.from_url(settings.redis_url.reveal()) as client:
        client.set(Keys(settings.namespace).current, name)
    return settings


def test_nothing_live_is_not_late(live: Settings) -> None:
    age = list_freshness(live, MADE)
    assert (age.release, age.late, age.newest) == (None, "", NEWEST.isoformat())


def test_within_the_limit_or_with_the_question_off(live: Settings) -> None:
    with_live(live, AFTER_ALL)
    assert list_freshness(live, MADE + 35 * HOUR).late == ""
    assert list_freshness(live.layered({"late_hours": 0.0}, "given"), MADE + 999 * HOUR).late == ""


@pytest.mark.parametrize(
    ("as_of", "words"),
    [
        (NEWEST - timedelta(days=1), "check the last runs of build_recommendations"),
        (AFTER_ALL, "check that the platform still delivers"),
    ],
)
def test_late_says_whether_the_builds_or_the_platform_stopped(live: Settings, as_of: datetime, words: str) -> None:
    with_live(live, as_of)
    age = list_freshness(live, MADE + 40 * HOUR)
    assert age.age_hours == 40.0 and "40 h ago" in age.late and words in age.late
    assert json.loads(json.dumps(age.to_json()))["late"] == age.late
