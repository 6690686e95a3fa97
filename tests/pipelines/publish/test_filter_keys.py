"""Read new rows of the platform since the build, incrementally."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest
import redis

import tests.stored as stored
from models.lists.redis_format import OWN, Keys, since_meaning
from models.schema import Entity, EventType
from models.settings.settings import Settings
from pipelines.events.drain import drain_events
from pipelines.publish.history import rollback
from pipelines.publish.publish import publish_release
from tests.pipelines.conftest import Sql, Town

USER, STARTUP, OTHER = (uuid.UUID(int=n) for n in (1, 2, 3))
MEET = "INSERT INTO user_interactions VALUES (:u, :s, :kind, :at)"
HOUR = timedelta(hours=1)


@pytest.fixture
def live(town: Town) -> Settings:
    """Publish a release with the cutoff 10 April 2020. Return its settings."""
    publish_release(town.settings, town.build())
    return town.settings


def now() -> datetime:
    return datetime.now(UTC)


def met(client: redis.Redis, keys: Keys, entity: Entity, owner: uuid.UUID) -> dict[uuid.UUID, int]:
    found = stored.cells(client, keys.since(entity, str(owner)))
    return {uuid.UUID(bytes=k): since_meaning(v)[0] for k, v in found.items()}


def test_rows_since_the_cutoff_are_known_to_both_sides(
    live: Settings, client: redis.Redis, keys: Keys, sql: Sql
) -> None:
    at = now() - HOUR
    for other, kind, when in (
        (STARTUP, "like", at),
        (OTHER, "view", at),
        (uuid.UUID(int=4), "like", "2020-04-09"),
        (uuid.UUID(int=5), "stare", at),
    ):
        sql(MEET, u=USER, s=other, kind=kind, at=when)
    sql("INSERT INTO matchbook_events VALUES ('e', :u, :s, 'dismiss', :at)", u=USER, s=uuid.UUID(int=6), at=at)
    sql("INSERT INTO matchbook_events VALUES ('f', :u, :s, 'impression', :at)", u=USER, s=uuid.UUID(int=7), at=at)
    assert drain_events(live)["met"] == 3
    assert met(client, keys, Entity.USER, USER) == {
        STARTUP: EventType.LIKE.code,
        OTHER: EventType.VIEW.code,
        uuid.UUID(int=6): EventType.DISMISS.code,
    }
    assert met(client, keys, Entity.STARTUP, STARTUP) == {USER: EventType.LIKE.code}
    _, at_us = since_meaning(stored.cell(client, keys.since(Entity.USER, str(USER)), STARTUP.bytes))
    assert at_us == int(at.timestamp() * 1_000_000)
    assert 0 < client.ttl(keys.since(Entity.STARTUP, str(STARTUP))) <= live.releases.ttl_hours * 3600


def test_only_what_is_new_is_read(live: Settings, client: redis.Redis, keys: Keys, sql: Sql) -> None:
    """The next full reading finds a row that arrives hours late. It is hourly or on request."""
    assert drain_events(live)["full"] is True
    sql(MEET, u=USER, s=STARTUP, kind="like", at=now())
    sql(MEET, u=USER, s=OTHER, kind="like", at=now() - 5 * HOUR)
    done = drain_events(live)
    assert (done["full"], done["met"]) == (False, 1)
    assert set(met(client, keys, Entity.USER, USER)) == {STARTUP}
    assert drain_events(live)["met"] == 0
    assert drain_events(live, full=True)["met"] == 1
    client.hincrby(keys.drain, "full", -int(1.1 * 3600e6))
    assert [drain_events(live)["full"] for _ in range(2)] == [True, False]


def test_another_release_is_read_from_its_own_cutoff(
    town: Town, live: Settings, client: redis.Redis, keys: Keys, sql: Sql
) -> None:
    publish_release(live, town.build(days=10))
    sql(MEET, u=USER, s=STARTUP, kind="like", at="2020-04-12")
    assert drain_events(live)["met"] == 0
    rollback(live)
    assert set(met(client, keys, Entity.USER, USER)) == {STARTUP}  # before it answers any request
    assert drain_events(live) | {"release": ""} == {
        "drained": 0,
        "new": 0,
        "set_aside": 0,
        "release": "",
        "full": True,
        "met": 0,
        "hidden": 0,
        "shown": 0,
    }


def test_a_founder_is_not_shown_what_became_their_own(
    live: Settings, client: redis.Redis, keys: Keys, sql: Sql
) -> None:
    sql("INSERT INTO startups (id, founder_id, created_at) VALUES (:s, :u, :at)", s=STARTUP, u=USER, at=now())
    sql("INSERT INTO startups (id, founder_id, created_at) VALUES (:s, :u, '2020-01-01')", s=OTHER, u=USER)
    drain_events(live)
    assert met(client, keys, Entity.USER, USER) == {STARTUP: OWN}
    assert met(client, keys, Entity.STARTUP, STARTUP) == {USER: OWN}


def test_the_version_moves_only_when_a_set_changes(live: Settings, client: redis.Redis, keys: Keys, sql: Sql) -> None:
    drain_events(live)
    assert client.get(keys.hidden_version) is None
    sql("INSERT INTO startups (id, withdrawn_at) VALUES (:s, :at)", s=STARTUP, at=now())
    sql("INSERT INTO users (id, role, opted_out_at) VALUES (:u, 'investor', :at)", u=USER, at=now())
    sql("INSERT INTO users (id, role, opted_out_at) VALUES (:u, 'investor', :at)", u=OTHER, at=now() + HOUR)
    assert drain_events(live)["hidden"] == 2
    first = int(stored.value(client, keys.hidden_version))
    assert (client.smembers(keys.hidden(Entity.STARTUP)), client.smembers(keys.hidden(Entity.USER))) == (
        {STARTUP.bytes},
        {USER.bytes},
    )
    for full in (False, True):
        assert drain_events(live, full=full)["hidden"] == 0
        assert int(stored.value(client, keys.hidden_version)) == first


def test_returning_entities_are_shown_again_and_deleted_ones_stay_hidden(
    live: Settings, client: redis.Redis, keys: Keys, sql: Sql
) -> None:
    for startup in (STARTUP, OTHER):
        sql("INSERT INTO startups (id, withdrawn_at) VALUES (:s, '2020-05-01')", s=startup)
    drain_events(live)
    version = int(stored.value(client, keys.hidden_version))
    sql("UPDATE startups SET withdrawn_at = NULL WHERE id = :s", s=STARTUP)
    sql("DELETE FROM startups WHERE id = :s", s=OTHER)
    assert drain_events(live)["shown"] == 0  # the row is not new, so the hourly reading finds it
    assert drain_events(live, full=True)["shown"] == 1
    assert client.smembers(keys.hidden(Entity.STARTUP)) == {OTHER.bytes}
    assert int(stored.value(client, keys.hidden_version)) == version + 1


def test_views_are_written_only_where_they_are_seen(town: Town, client: redis.Redis, keys: Keys, sql: Sql) -> None:
    town.settings = town.settings.layered({"views_are_seen": False}, "given")
    publish_release(town.settings, town.build())
    sql(MEET, u=USER, s=STARTUP, kind="view", at=now())
    assert drain_events(town.settings)["met"] == 0


def test_a_redis_that_lost_its_data_is_filled_again(live: Settings, client: redis.Redis, keys: Keys, sql: Sql) -> None:
    sql(MEET, u=USER, s=STARTUP, kind="like", at=now() - 3 * HOUR)
    drain_events(live)
    client.delete(keys.drain, keys.since(Entity.USER, str(USER)), keys.since(Entity.STARTUP, str(STARTUP)))
    assert drain_events(live)["met"] == 1
