"""Drain the stream to PostgreSQL: no event is lost or stored twice if a process dies at any moment."""

from __future__ import annotations

import signal
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import redis

from models.data.event import Event
from models.errors import ServiceError
from models.lists.redis_format import DRAIN_GROUP, Keys
from models.schema import EventType
from models.settings.environment import Secret
from models.settings.settings import Settings
from pipelines.events.drain import drain_events
from tests.paths import ROOT
from tests.pipelines.conftest import Sql
from tests.stored import append

AT = datetime(2024, 5, 1, 14, 3, tzinfo=UTC)


def an_event(event_id: str = "", kind: EventType = EventType.CLICK) -> Event:
    return Event(event_id or str(uuid.uuid4()), str(uuid.uuid4()), str(uuid.uuid4()), kind, AT)


def test_an_event_is_kept_with_all_its_columns(settings: Settings, client: redis.Redis, keys: Keys, sql: Sql) -> None:
    event = an_event(kind=EventType.DISMISS)
    append(client, keys, event.entry(), id="1714572185123-0")
    assert drain_events(settings) == {
        "drained": 1,
        "new": 1,
        "set_aside": 0,
        "release": None,
        "full": False,
        "met": 0,
        "hidden": 0,
        "shown": 0,
    }
    received = datetime(2024, 5, 1, 14, 3, 5, 123_000, tzinfo=UTC)
    assert sql("SELECT * FROM matchbook_events") == [
        (event.event_id, uuid.UUID(event.user), uuid.UUID(event.startup), "dismiss", AT, received, None, None)
    ]
    assert client.xlen(keys.events) == 0


def test_nothing_waits_and_nothing_is_done(settings: Settings) -> None:
    assert drain_events(settings)["drained"] == 0


def test_the_first_of_two_with_one_id_is_kept(settings: Settings, client: redis.Redis, keys: Keys, sql: Sql) -> None:
    first, second = an_event("same"), an_event("same")
    for event in (first, second, first):
        append(client, keys, event.entry())
    assert drain_events(settings)["new"] == 1
    append(client, keys, second.entry())
    assert drain_events(settings)["new"] == 0
    assert sql("SELECT user_id FROM matchbook_events") == [(uuid.UUID(first.user),)]
    assert client.hget(keys.drain, "drained") == b"4"


def test_a_drain_killed_between_commit_and_acknowledgement_keeps_nothing_twice(
    settings: Settings, client: redis.Redis, keys: Keys, sql: Sql
) -> None:
    for _ in range(5):
        append(client, keys, an_event().entry())
    program = (
        "import os, signal; from models.settings import Settings; from pipelines.events import drain; "
        "drain._acknowledge = lambda *_: os.kill(os.getpid(), signal.SIGKILL); "
        "drain.drain_events(Settings.from_env())"
    )
    where = {
        "MATCHBOOK_NAMESPACE": settings.namespace,
        "MATCHBOOK_HOME": str(settings.home),
        "PATH": "/usr/bin:/bin",
        "DATABASE_URL": settings.database_url.reveal(),
        "REDIS_URL": settings.redis_url.reveal(),
    }
    killed = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=where, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert sql("SELECT count(*) FROM matchbook_events") == [(5,)]
    assert client.xlen(keys.events) == 5
    append(client, keys, an_event().entry())
    assert drain_events(settings)["drained"] == 1  # entries of another consumer wait for a minute
    done = drain_events(settings, claim_after_s=0)
    assert (done["drained"], done["new"], client.xlen(keys.events)) == (5, 0, 0)
    assert sql("SELECT count(*) FROM matchbook_events") == [(6,)]


def test_with_postgres_down_everything_stays_in_the_stream(
    settings: Settings, client: redis.Redis, keys: Keys, sql: Sql
) -> None:
    for _ in range(3):
        append(client, keys, an_event().entry())
    gone = replace(settings, database_url=Secret("postgresql://nobody@127.0.0.1:1/none"))
    for _ in range(2):
        with pytest.raises(ServiceError, match="does not answer"):
            drain_events(gone, claim_after_s=0)
    assert client.xlen(keys.events) == 3
    assert drain_events(settings, claim_after_s=0)["new"] == 3
    assert sql("SELECT count(*) FROM matchbook_events") == [(3,)]


def test_with_redis_down_it_says_so(settings: Settings) -> None:
    with pytest.raises(ServiceError, match="draining the posted events"):
        drain_events(replace(settings, redis_url=Secret("redis://127.0.0.1:1/0")))


def test_invalid_events_are_rejected_once_and_the_rest_is_stored(
    settings: Settings, client: redis.Redis, keys: Keys, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = an_event().entry()
    poison: list[dict[str, Any]] = [
        {"nonsense": "1"},
        {**whole, "user_id": "42"},
        {**whole, "type": b"\xff\x00"},
        {**whole, "at": "soon"},
        {k: v for k, v in whole.items() if k != "event_id"},
    ]
    names = [append(client, keys, fields).decode() for fields in poison]
    append(client, keys, whole)

    def lost(*_: object) -> None:
        raise ServiceError("the line is cut")

    with monkeypatch.context() as cut:
        cut.setattr("pipelines.events.drain._acknowledge", lost)
        with pytest.raises(ServiceError):
            drain_events(settings)
    done = drain_events(settings, claim_after_s=0)
    assert (done["drained"], done["set_aside"], client.xlen(keys.events)) == (1, 5, 0)
    aside = sql("SELECT entry, reason, content FROM matchbook_rejected_events ORDER BY entry")
    assert [entry for entry, _, _ in aside] == sorted(names)
    assert all(reason and content.startswith("{") for _, reason, content in aside)
    assert sql("SELECT event_id FROM matchbook_events") == [(whole["event_id"],)]
    assert client.hget(keys.drain, "set_aside") == b"5"


def test_an_event_that_postgres_refuses_does_not_hold_up_the_others(
    settings: Settings, client: redis.Redis, keys: Keys, sql: Sql
) -> None:
    sql("ALTER TABLE matchbook_events ADD CHECK (event_id <> 'refused')")
    for name in ("a", "refused", "b"):
        append(client, keys, an_event(name).entry())
    done = drain_events(settings)
    assert (done["drained"], done["new"], done["set_aside"]) == (2, 2, 1)
    assert sql("SELECT event_id FROM matchbook_events ORDER BY 1") == [("a",), ("b",)]
    ((reason, content),) = sql("SELECT reason, content FROM matchbook_rejected_events")
    assert "matchbook_events_event_id_check" in reason and "refused" in content


def test_two_drains_at_once_keep_each_event_once(settings: Settings, client: redis.Redis, keys: Keys, sql: Sql) -> None:
    pipe = client.pipeline()
    for _ in range(5000):
        pipe.xadd(keys.events, dict[Any, Any](an_event().entry()))
    pipe.execute()
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: drain_events(settings), range(2)))
    assert sum(d["drained"] for d in done) == sum(d["new"] for d in done) == 5000
    assert sql("SELECT count(*) FROM matchbook_events") == [(5000,)]
    assert client.xlen(keys.events) == 0
    assert client.xinfo_consumers(keys.events, DRAIN_GROUP) == []  # otherwise one consumer per drain would accumulate
