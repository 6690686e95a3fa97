"""Limit posted events: time by the clock of Redis, types and ids by key, numbers by minute and day."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
import redis
from flask import Flask

import serving.http.events
from models.keys import BOUNDS, Scope, encode_keys, new_key
from models.lists.redis_format import Keys
from models.schema import Entity, EventType, Role, Surface
from models.settings.settings import Settings
from pipelines.events.drain import drain_events
from serving.clients.redis import FIELD_BYTES, HASH_BYTES
from tests.serving.conftest import Person, Publish, Start, ask_list, event, ids, post

MINE, THEIRS = Surface.STARTUPS_FOR_DEVELOPER, Surface.DEVELOPERS_FOR_STARTUP
USER, STARTUP = str(UUID(int=1)), str(UUID(int=2))


def sent(app: Flask, *events: dict[str, Any], key: str = "") -> tuple[int, dict[str, str]]:
    """Return the status, and the error if there is one."""
    answer = app.test_client().post("/api/events", json={"events": events}, headers={"X-API-Key": key} if key else {})
    return answer.status_code, answer.get_json().get("error", {})


@pytest.mark.parametrize("minutes", [-60 * 24 * 400, -6, 6, 60 * 24 * 400])
def test_a_reader_with_a_wrong_clock_takes_valid_events_and_none_is_rejected(
    start: Start, settings: Settings, client: redis.Redis, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    class Wrong(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Wrong:
            return cls.fromtimestamp(time.time() + 60 * minutes, tz)

    monkeypatch.setattr(serving.http.events, "datetime", Wrong)
    app, seconds = start(), client.time()[0]
    at = {m: datetime.fromtimestamp(seconds + 60 * m, UTC).isoformat() for m in (-30, 0, 4, 6)}
    for m in (-30, 0, 4):
        post(app, event(USER, STARTUP, at=at[m]))
    post(app, event(USER, STARTUP))
    status, error = sent(app, event(USER, STARTUP, at=at[6]))
    assert status == 400 and error["expected"].startswith("events[0].at: ")
    done = drain_events(settings)
    assert (done["new"], done["set_aside"]) == (4, 0)


def test_a_retraction_shows_both_to_each_other_again(
    start: Start, publish: Publish, rows: str, person: Person, settings: Settings
) -> None:
    publish()
    app, owner = start(), person(Role.DEVELOPER, 4)
    before = ids(ask_list(app, MINE, owner))
    startup = next(s for s in before if owner in ids(ask_list(app, THEIRS, s)))
    for drained in (False, True):
        for kind in ("dismiss", "dislike", "apply"):
            post(app, event(owner, startup, kind))
        assert startup not in ids(ask_list(app, MINE, owner))
        if drained:
            drain_events(settings)
        post(app, event(owner, startup, "retract"))
        assert ids(ask_list(app, MINE, owner)) == before and owner in ids(ask_list(app, THEIRS, startup))
        drain_events(settings)
        assert ids(ask_list(app, MINE, owner)) == before and owner in ids(ask_list(app, THEIRS, startup))


@pytest.fixture
def bound(start: Start, settings: Settings) -> Callable[..., tuple[Flask, str]]:
    """Start a reader with API keys, one of which has bounds."""

    def make(**bounds: list[str]) -> tuple[Flask, str]:
        key, spelt = new_key("tracker", [Scope.EVENTS], datetime.now(UTC), None, bounds)
        settings.home.mkdir(parents=True, exist_ok=True)
        settings.api_keys_file.write_text(encode_keys([key]))
        settings.api_keys_file.chmod(0o600)
        return start(replace(settings, api_keys="on")), spelt

    return make


def test_a_bound_key_posts_only_allowed_events(
    bound: Callable[..., tuple[Flask, str]], client: redis.Redis, keys: Keys
) -> None:
    other = "ffffffff-0000-4000-8000-000000000000"
    for bounds, wrong, field in (
        ({"types": ["view", "click"]}, event(USER, STARTUP, "retract"), "type"),
        ({"users": [USER]}, event(other, STARTUP), "user_id"),
        ({"users": [USER[:9], "ffffff00"]}, event(other, STARTUP), "user_id"),
        ({"startups": [STARTUP]}, event(USER, other), "startup_id"),
        ({"types": ["click"], "users": [USER], "startups": [STARTUP[:4]]}, event(USER, other), "startup_id"),
    ):
        app, key = bound(**bounds)
        assert sent(app, event(USER.upper(), STARTUP), key=key)[0] == 202
        before = client.xlen(keys.events)
        status, error = sent(app, event(USER, STARTUP), wrong, key=key)
        assert (status, error["code"]) == (403, "event_not_allowed")
        assert error["expected"].startswith(f"events[1].{field}: ")
        assert client.xlen(keys.events) == before and not client.exists(keys.since(Entity.USER, other))


def test_every_field_with_a_bound_is_checked() -> None:
    given = {"types": ["click"], "users": ["1"], "startups": ["1"]}
    assert set(given) == set(BOUNDS)
    for name in BOUNDS:
        key = new_key("x", [Scope.EVENTS], datetime.now(UTC), None, {name: given[name]})[0]
        assert key.forbids(EventType.VIEW, USER, STARTUP)


def test_events_are_counted_by_the_minute_and_by_the_caller(
    start: Start, settings: Settings, client: redis.Redis, keys: Keys
) -> None:
    app = start(settings.layered({"events_rate_limit": 200}, "given"))
    many = [event(USER, str(UUID(int=n)), "impression") for n in range(10, 130)]
    assert sent(app, *many)[0] == 202
    status, error = sent(app, *many)
    assert (status, error["code"], error["expected"]) == (429, "too_many_events", "at most 200 events a minute")
    assert client.xlen(keys.events) == 120
    assert sent(app, *many[:80])[0] == 202
    assert 0 < client.ttl(keys.posted("open", int(time.time()) // 60)) <= 120


def test_posted_events_have_a_memory_limit_a_day(
    start: Start, settings: Settings, client: redis.Redis, keys: Keys
) -> None:
    app, requests = (
        start(
            settings.layered({"events_memory_mb": 1, "events_rate_limit": 10**9, "events_waiting_most": 10**9}, "given")
        ),
        0,
    )

    def strangers() -> list[dict[str, Any]]:
        return [event(str(uuid.uuid4()), str(uuid.uuid4()), "dismiss") for _ in range(200)]

    used = client.info("memory")["used_memory"]
    while (status := sent(app, *strangers()))[0] == 202:
        requests += 1
    assert (status[0], status[1]["code"]) == (429, "too_many_events")
    assert "of at most 1 MB a day" in status[1]["expected"]
    assert requests == -(-(1 << 20) // (200 * 2 * (HASH_BYTES + FIELD_BYTES)))
    grown = client.info("memory")["used_memory"] - client.memory_usage(keys.events, samples=0) - used
    assert grown < 2 << 20, "what is claimed is about what is taken"
    known = event(USER, STARTUP, "impression")
    assert sent(app, known)[0] == 429  # until tomorrow; no event is lost, the client sends it again
