"""Keep in since hashes what loaded releases need, for any activity. Rows removed from the table hide nothing."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest
import redis

from models.lists.redis_format import Keys
from models.schema import Entity
from models.settings.settings import Settings
from pipelines.events.drain import drain_events
from pipelines.export.export import export_snapshot
from pipelines.publish.history import rollback
from pipelines.publish.publish import publish_release
from pipelines.retire import SHOWN_DAYS, prune_posted
from pipelines.run.run import Run
from tests.pipelines.conftest import Sql, Town
from tests.stored import cells

USER = uuid.UUID(int=1)
MEET = "INSERT INTO user_interactions VALUES (:u, :s, 'like', :at)"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
POST = "INSERT INTO matchbook_events VALUES (:e, :u, :s, :kind, :at, :at)"


def met(client: redis.Redis, keys: Keys) -> set[int]:
    return {uuid.UUID(bytes=f).int for f in cells(client, keys.since(Entity.USER, str(USER)))}


def test_of_daily_active_users_only_data_of_loaded_builds_stays(
    town: Town, client: redis.Redis, keys: Keys, sql: Sql
) -> None:
    """Ten builds, 50 events before each: three builds stay loaded."""
    settings = town.settings.layered({"keep_releases": 3}, "given")
    start, most = datetime(2020, 4, 10, tzinfo=UTC), 0
    for day in range(10):
        publish_release(settings, town.build(days=day))
        for n in range(50):
            sql(MEET, u=USER, s=uuid.UUID(int=1000 * (day + 1) + n), at=start + timedelta(days=day, minutes=60 + n))
        drain_events(settings)
        most = max(most, len(met(client, keys)))
    assert most <= 3 * 50 and len(met(client, keys)) == 3 * 50
    assert {m // 1000 for m in met(client, keys)} == {8, 9, 10}
    assert client.hlen(keys.since(Entity.STARTUP, str(uuid.UUID(int=1000)))) <= 1
    rollback(settings)
    assert {m // 1000 for m in met(client, keys)} >= {9, 10}, "the release before needs what came after its cutoff"


def test_unknown_users_are_deleted_by_age_and_barring_events_stay(settings: Settings, sql: Sql) -> None:
    old, known, startup = NOW - timedelta(days=31), uuid.UUID(int=7), uuid.UUID(int=8)
    sql("INSERT INTO users (id, role) VALUES (:u, 'developer')", u=known)
    sql("INSERT INTO startups (id) VALUES (:s)", s=startup)
    rows = [
        ("a", known, startup, "dismiss", old),
        ("b", known, startup, "dislike", old),
        ("c", known, startup, "like", old),
        ("d", uuid.UUID(int=99), startup, "dismiss", old),
        ("e", known, uuid.UUID(int=98), "like", old),
        ("f", uuid.UUID(int=99), startup, "like", NOW - timedelta(days=29)),
        ("g", known, startup, "impression", NOW - timedelta(days=SHOWN_DAYS + 1)),
        ("h", known, startup, "impression", old),
        ("i", known, startup, "retract", NOW - timedelta(days=900)),
        ("j", known, startup, "dismiss", NOW - timedelta(days=899)),
    ]
    for e, u, s, kind, at in rows:
        sql(POST, e=e, u=u, s=s, kind=kind, at=at)
    for entry in ("1000-0", "99999999999999-0", "odd"):
        sql("INSERT INTO matchbook_rejected_events VALUES (:e, 'r', 'c')", e=entry)
    assert prune_posted(settings, NOW) == {"strangers": 2, "impressions": 1, "set_aside": 2}
    assert "".join(e for (e,) in sql("SELECT event_id FROM matchbook_events ORDER BY 1")) == "abcfhij"
    assert prune_posted(settings, NOW) == {}


@pytest.mark.parametrize("table", ["users", "startups"])
def test_no_user_is_unknown_while_views_lack_users_of_a_snapshot(settings: Settings, sql: Sql, table: str) -> None:
    sql("INSERT INTO users (id, role) SELECT md5('u' || n)::uuid, 'developer' FROM generate_series(1, 40) n")
    sql("INSERT INTO startups (id) SELECT md5('s' || n)::uuid FROM generate_series(1, 20) n")
    sql("INSERT INTO user_interactions SELECT md5('u1')::uuid, md5('s1')::uuid, 'like', '2025-01-01'")
    sql(POST, e="e", u=uuid.UUID(int=99), s=uuid.UUID(int=98), kind="like", at=NOW - timedelta(days=40))
    export_snapshot(Run.start(settings, "r", NOW))
    sql(f"CREATE TABLE aside AS SELECT * FROM {table}")
    sql(f"DELETE FROM {table} WHERE id <> md5('u1')::uuid AND id <> md5('s1')::uuid")
    assert prune_posted(settings, NOW) == {}
    sql(f"INSERT INTO {table} SELECT * FROM aside ON CONFLICT DO NOTHING")
    assert prune_posted(settings, NOW) == {"strangers": 1}
