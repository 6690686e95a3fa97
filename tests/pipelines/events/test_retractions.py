"""A retracted pair of posted events stops counting in PostgreSQL and Redis, in any order.

The platform's own rows stay.
"""

from __future__ import annotations

import itertools
import uuid
from datetime import UTC, datetime, timedelta

import pytest
import redis

from models.data.event import Event
from models.lists.redis_format import Keys, since_meaning
from models.schema import Entity, EventType
from models.settings.settings import Settings
from pipelines.events.drain import drain_events
from pipelines.publish.publish import publish_release
from serving.clients.redis import Cache
from tests.pipelines.conftest import Sql, Town
from tests.stored import append, cells, entries

USER, STARTUP, OTHER = (str(uuid.UUID(int=n)) for n in (1, 2, 3))
NOW = datetime.now(UTC)
MEET = "INSERT INTO user_interactions VALUES (:u, :s, :kind, :at)"


@pytest.fixture
def live(town: Town) -> Settings:
    """Publish a release with the cutoff 10 April 2020. Return its settings."""
    publish_release(town.settings, town.build())
    return town.settings


def event(kind: EventType, minutes: float, startup: str = STARTUP, name: str = "") -> Event:
    return Event(name or str(uuid.uuid4()), USER, startup, kind, NOW + timedelta(minutes=minutes))


def known(client: redis.Redis, keys: Keys) -> list[dict[str, EventType]]:
    """Read the since hashes of the user and of the startup."""
    found = (cells(client, keys.since(e, o)) for e, o in ((Entity.USER, USER), (Entity.STARTUP, STARTUP)))
    return [
        {str(uuid.UUID(bytes=k)): EventType.of_code(since_meaning(v)[0]) for k, v in side.items()} for side in found
    ]


def in_force(sql: Sql) -> set[str]:
    return {t for (t,) in sql("SELECT type FROM matchbook_events WHERE type NOT LIKE 'retract%'")}


def test_the_order_of_arrival_does_not_matter(settings: Settings, client: redis.Redis, keys: Keys, sql: Sql) -> None:
    for n, order in enumerate(itertools.permutations(range(4))):
        pair = str(uuid.UUID(int=100 + n))
        events = [
            event(kind, at, pair)
            for kind, at in (
                (EventType.DISMISS, -9),
                (EventType.LIKE, -8),
                (EventType.RETRACT, -5),
                (EventType.APPLY, -2),
            )
        ]
        for i in order:
            append(client, keys, events[i].entry())
            drain_events(settings)
        left = sql("SELECT type FROM matchbook_events WHERE startup_id = :s AND type NOT LIKE 'retract%'", s=pair)
        assert left == [("apply",)], order


def test_a_retraction_removes_all_events_of_the_pair_except_impressions(
    settings: Settings, client: redis.Redis, keys: Keys, sql: Sql
) -> None:
    for kind in EventType:
        append(client, keys, event(kind, -9).entry())
        append(client, keys, event(kind, -9, OTHER).entry()) if kind is not EventType.RETRACT else None
    drain_events(settings)
    left = sql("SELECT startup_id, count(*) FROM matchbook_events WHERE type NOT LIKE 'retract%' GROUP BY 1 ORDER BY 1")
    assert left == [(uuid.UUID(STARTUP), 1), (uuid.UUID(OTHER), len(EventType) - 1)]
    assert in_force(sql) == {k.value for k in EventType if k is not EventType.RETRACT}
    assert sql("SELECT count(*) FROM matchbook_interactions") == [(7,)]
    assert sql("SELECT item FROM matchbook_dismissed_by(:u, 'infinity')", u=USER) == [(uuid.UUID(OTHER),)]


def test_a_retracted_event_does_not_return_when_sent_again(
    settings: Settings, client: redis.Redis, keys: Keys, sql: Sql
) -> None:
    sent = event(EventType.DISMISS, -9, name="same")
    for one in (sent, event(EventType.RETRACT, -5), sent, event(EventType.DISMISS, 0, name="same")):
        append(client, keys, one.entry())
        drain_events(settings)
    assert in_force(sql) == set()


def test_a_forged_time_ahead_of_the_clock_is_no_way_round(
    settings: Settings, client: redis.Redis, keys: Keys, sql: Sql
) -> None:
    append(client, keys, event(EventType.DISMISS, 4).entry())
    drain_events(settings)
    append(client, keys, Event("r", USER, STARTUP, EventType.RETRACT, datetime.now(UTC)).entry())
    drain_events(settings)
    assert in_force(sql) == set()
    ahead = [datetime.now(UTC) + timedelta(seconds=s) for s in (240, 1)]
    append(client, keys, Event("s", USER, OTHER, EventType.RETRACT, ahead[0]).entry())
    append(client, keys, Event("t", USER, OTHER, EventType.LIKE, ahead[1]).entry())
    drain_events(settings)
    assert in_force(sql) == {"like"}


def test_redis_follows_at_once_and_rows_of_the_platform_return(
    live: Settings, client: redis.Redis, keys: Keys, sql: Sql
) -> None:
    cache = Cache(live)
    sql(MEET, u=USER, s=STARTUP, kind="like", at=NOW - timedelta(hours=3))
    drain_events(live)
    cache.post("x", [event(EventType.DISMISS, -1), event(EventType.DISMISS, -1, OTHER)], cache.now())
    assert known(client, keys)[0] == {STARTUP: EventType.DISMISS, OTHER: EventType.DISMISS}
    cache.post("x", [event(EventType.RETRACT, 0), event(EventType.RETRACT, 0, OTHER)], cache.now())
    assert known(client, keys) == [{}, {}]
    drain_events(live)
    assert known(client, keys) == [{STARTUP: EventType.LIKE}, {USER: EventType.LIKE}]
    client.delete(*client.scan_iter(f"{keys.namespace}:since:*"))
    drain_events(live, full=True)
    assert known(client, keys) == [{STARTUP: EventType.LIKE}, {USER: EventType.LIKE}]
    cache.close()


def test_a_drain_that_read_the_rows_just_before_is_put_right_by_the_next(
    live: Settings, client: redis.Redis, keys: Keys
) -> None:
    cache = Cache(live)
    cache.post("x", [event(EventType.DISMISS, -1)], cache.now())
    drain_events(live)
    cache.post("x", [event(EventType.RETRACT, 0)], cache.now())
    waiting = entries(client, keys.events)
    client.delete(keys.events)
    drain_events(live, full=True)  # the retraction is still in another place
    assert known(client, keys)[0] == {STARTUP: EventType.DISMISS}
    for fields in waiting:
        append(client, keys, fields)
    drain_events(live)
    assert known(client, keys) == [{}, {}]
    cache.close()


def test_the_later_event_of_a_request_counts(live: Settings, client: redis.Redis, keys: Keys, sql: Sql) -> None:
    from serving.http.events import read_events

    cache = Cache(live)
    for first, second, left in (("dismiss", "retract", set()), ("retract", "dismiss", {"dismiss"})):
        pair = {"user_id": USER, "startup_id": STARTUP}
        given = [{"event_id": str(uuid.uuid4()), **pair, "type": t} for t in (first, second)]
        received = cache.now()
        cache.post("x", read_events(given, received), received)
        drain_events(live)
        assert in_force(sql) == left and set(known(client, keys)[0]) == ({STARTUP} if left else set())
    cache.close()
