"""Give a live list to owners whose events since the build may change their route."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import redis

from models.lists.redis_format import Keys, LiveList, since_value
from models.routing import route_may_change
from models.schema import Entity, Role, Surface
from models.settings.settings import Settings
from serving.app import Reader
from tests.marketplace.world import World
from tests.serving.conftest import Execute, Publish, Start, ask

SURFACE = Surface.STARTUPS_FOR_DEVELOPER
Act = Callable[..., None]


@pytest.fixture
def cold(rows: str, planted: World) -> str:
    """Return a developer of group 0 with two events."""
    row = next(r for r in planted.rows(Role.DEVELOPER, 0) if planted.user_group[r] == 0)
    return str(planted.users.ids.ids[row])


@pytest.fixture
def act(settings: Settings, execute: Execute, planted: World) -> Act:
    """Let a user like n startups of a group after the build: in PostgreSQL and in the since hash."""

    def like(owner: str, group: int, first: int, n: int, drained: bool = True) -> None:
        startups = planted.startups.ids.ids[planted.startup_group == group][first : first + n]
        key = Keys(settings.namespace).since(Entity.USER, owner)
        with redis.Redis.from_url(settings.redis_url.reveal()) as client:
            for i, startup in enumerate(startups):
                at = datetime(2020, 5, first + i + 1, tzinfo=UTC)
                client.hset(key, uuid.UUID(startup).bytes, since_value(2, int(at.timestamp() * 1e6)))
                if drained:
                    execute(
                        "INSERT INTO user_interactions VALUES (%s, %s, 'like', %s)",
                        owner,
                        str(startup),
                        f"2020-05-{first + i + 1:02d}",
                    )

    return like


@pytest.mark.parametrize(
    ("surface", "count", "more", "crossed"),
    [
        (SURFACE, 1, 3, False),
        (SURFACE, 1, 4, True),
        (SURFACE, 4, 1, True),
        (SURFACE, 5, 14, False),
        (SURFACE, 5, 15, True),
        (SURFACE, 0, 100, True),
        (SURFACE, 20, 100, False),
        (SURFACE, 4, 0, False),
        (Surface.DEVELOPERS_FOR_STARTUP, 4, 1, True),
        (Surface.DEVELOPERS_FOR_STARTUP, 5, 100, False),
    ],
)
def test_which_routes_may_change(surface: Surface, count: int, more: int, crossed: bool) -> None:
    assert route_may_change(surface, count, more, Settings()) is crossed
    assert route_may_change(
        Surface.DEVELOPERS_FOR_STARTUP, 5, 15, Settings().layered({"founder_ensemble": True}, "given")
    )


def test_a_cold_owner_who_became_warm_is_answered_live_by_als(
    start: Start, publish: Publish, cold: str, act: Act, planted: World
) -> None:
    publish()
    app = start()
    before = ask(app, cold)
    assert (before["route"], before["source"]) == ("content_based", "cache")
    act(cold, group=1, first=0, n=2)
    assert ask(app, cold)["source"] == "cache"  # four events in all: still cold
    act(cold, group=1, first=2, n=3)
    body = ask(app, cold)
    assert (body["route"], body["method_used"], body["source"]) == ("als", "als", "live")
    assert (body["interaction_count"], body["degraded"], body["known"]) == (7, False, True)
    shown = [planted.startup_group[planted.startups.ids.rows_of(list(b["scores"])[:3])] for b in (before, body)]
    assert [1 in groups for groups in shown] == [False, True]


def test_without_a_live_list_in_time_the_stored_one_answers_degraded(
    start: Start, publish: Publish, cold: str, act: Act, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    publish()
    app = start(settings.layered({"live_budget_s": 0.05}, "given"))
    stored = ask(app, cold)
    act(cold, group=1, first=0, n=6)
    reader: Reader = app.extensions["matchbook"]
    real = reader.database.owner

    def slowly(*given: Any) -> Any:
        time.sleep(0.5)
        return real(*given)

    monkeypatch.setattr(reader.database, "owner", slowly)
    body = ask(app, cold)
    assert (body["source"], body["degraded"], body["route"]) == ("cache", True, "content_based")
    assert body["scores"] == stored["scores"]


def test_a_live_list_that_is_behind_its_owner_is_made_again_once_a_minute(
    start: Start, publish: Publish, rows: str, execute: Execute, act: Act, settings: Settings
) -> None:
    release, newcomer = publish(), str(uuid.uuid4())
    execute("INSERT INTO users (id, role, interests) VALUES (%s, 'developer', 'games')", newcomer)
    app, key = start(), Keys(settings.namespace).live(release, SURFACE, newcomer)
    assert ask(app, newcomer)["route"] == "content_based"
    act(newcomer, group=0, first=0, n=5)
    assert ask(app, newcomer)["route"] == "content_based"  # kept, because PostgreSQL may not have the event yet
    with redis.Redis.from_url(settings.redis_url.reveal()) as client:
        kept = LiveList.decode(client.get(key))
        client.set(key, replace(kept, made_us=kept.made_us - 61_000_000).encode(), ex=600)
        body = ask(app, newcomer)
        assert (body["route"], body["interaction_count"], body["source"]) == ("als", 5, "live")
        again = LiveList.decode(client.get(key))
        client.set(key, replace(again, made_us=again.made_us - 61_000_000).encode(), ex=600)
        assert ask(app, newcomer)["generated_at"] < body["generated_at"]  # kept: a minute old but current
    execute("DELETE FROM user_interactions WHERE user_id = %s", newcomer)
    assert ask(app, newcomer)["route"] == "als"


def test_a_live_list_that_is_behind_answers_where_no_newer_comes(
    start: Start,
    publish: Publish,
    rows: str,
    execute: Execute,
    act: Act,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release, newcomer = publish(), str(uuid.uuid4())
    execute("INSERT INTO users (id, role, interests) VALUES (%s, 'developer', 'games')", newcomer)
    app, key = start(), Keys(settings.namespace).live(release, SURFACE, newcomer)
    before = ask(app, newcomer)
    act(newcomer, group=0, first=0, n=5)
    with redis.Redis.from_url(settings.redis_url.reveal()) as client:
        kept = LiveList.decode(client.get(key))
        client.set(key, replace(kept, made_us=kept.made_us - 61_000_000).encode(), ex=600)
    monkeypatch.setattr(app.extensions["matchbook"].database, "owner", lambda *_: 1 / 0)
    body = ask(app, newcomer)
    assert len(body["scores"].items() & before["scores"].items()) >= 5  # of ten places, minus the five new events
    assert (body["degraded"], body["source"]) == (True, "live")


def test_several_owners_get_the_list_of_their_own_route(
    start: Start, publish: Publish, cold: str, act: Act, person: Callable[[Role, int], str]
) -> None:
    publish()
    app, warm = start(), person(Role.DEVELOPER, 4)
    act(cold, group=1, first=0, n=6)
    body = app.test_client().post(f"/api/recommendations/{SURFACE}/many", json={"ids": [cold, warm]}).get_json()
    assert {o: (a["route"], a["source"]) for o, a in body["lists"].items()} == {
        cold: ("als", "live"),
        warm: ("als", "cache"),
    }


def test_posted_events_before_the_drain_cause_no_repeated_computation(
    start: Start, publish: Publish, cold: str, act: Act, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()
    app = start()
    act(cold, group=1, first=0, n=6, drained=False)
    reader: Reader = app.extensions["matchbook"]
    calls, real = list[Any](), reader.database.owner

    def counted(*given: Any) -> Any:
        calls.append(given)
        return real(*given)

    monkeypatch.setattr(reader.database, "owner", counted)
    bodies = [ask(app, cold) for _ in range(5)]
    assert len(calls) == 1
    assert {(b["route"], b["source"], b["degraded"]) for b in bodies} == {("content_based", "live", False)}
    assert {b["interaction_count"] for b in bodies} == {2}
