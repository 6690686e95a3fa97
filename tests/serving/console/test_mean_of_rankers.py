"""The console and the API name the rankers whose mean ranks."""

from __future__ import annotations

import uuid

import pytest

from models.schema import Role, Surface
from models.settings.settings import Settings
from tests.marketplace.bundles import mean_bundles
from tests.serving.conftest import Execute, Person, Publish, Start
from tests.serving.console.kept import words


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.layered({"enable_two_tower": True}, "given")  # the learned half has its score


def test_the_mean_of_two_rankers_is_named(
    start: Start, publish: Publish, rows: str, execute: Execute, person: Person
) -> None:
    release, owner = publish(more=mean_bundles()), str(uuid.uuid4())
    columns = "role, headline, skills, interests, location"
    execute(  # anyone who joined since the build gets a live list
        f"INSERT INTO users (id, {columns}) SELECT %s, {columns} FROM users WHERE id = %s",
        owner,
        person(Role.DEVELOPER, 4),
    )
    client = start().test_client()
    said = client.get(f"/api/explain/{Surface.STARTUPS_FOR_DEVELOPER}/{owner}").get_json()
    assert (said["ranker"], said["mean_of"]) == ("stacked", ["stacked", "learned"])
    assert "Ordered by the mean of the stacked and the learned ranker" in words(client.get(f"/people/{owner}").text)
    told = words(client.get(f"/releases/{release}").text)
    assert "“stacked” the mean of the stacked and the learned ranker, for Startups for developers" in told
