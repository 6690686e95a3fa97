"""Limit the rate per minute in the same round trip. Counting never makes a request fail."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from uuid import UUID

import pytest
import redis
from flask import Flask
from werkzeug.test import TestResponse

from models.lists.redis_format import Keys
from models.schema import Role, Surface
from models.settings.settings import Settings
from serving.clients import redis as cache
from serving.http.callers import Callers
from tests.serving.conftest import Person, Publish, Start, event
from tests.serving.proxy import Wires

AT = f"/api/recommendations/{Surface.STARTUPS_FOR_DEVELOPER}"
START_S = 1_700_000_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=START_S - START_S % 60 + 10)
    monkeypatch.setattr(cache, "time", SimpleNamespace(time=lambda: clock.now))
    return clock


@pytest.fixture
def app(start: Start, publish: Publish, settings: Settings, clock: SimpleNamespace) -> Flask:
    publish()
    return start(settings.layered({"rate_limit": 5}, "given"))


def requests(app: Flask, owner: str) -> list[Callable[[], TestResponse]]:
    client = app.test_client()
    return [
        lambda: client.get(f"{AT}/{owner}"),
        lambda: client.get(f"{AT}/popular"),
        lambda: client.get(f"{AT}/trending"),
        lambda: client.post(f"{AT}/many", json={"ids": [owner]}),
        lambda: client.post("/api/events", json={"events": [event(owner, str(UUID(int=2)), "impression")]}),
    ]


def test_every_request_counts_and_one_too_many_gets_a_time_to_retry(
    app: Flask, person: Person, clock: SimpleNamespace, client: redis.Redis, keys: Keys
) -> None:
    asked = requests(app, person(Role.DEVELOPER, 4))
    assert [r().status_code for r in asked] == [200, 200, 200, 200, 202]
    for r in asked:
        answer = r()
        error = answer.get_json()["error"]
        assert (answer.status_code, error["code"], answer.headers["Retry-After"]) == (429, "too_many_requests", "50")
        assert error["expected"] == "at most 5 requests a minute"
    assert client.xlen(keys.events) == 1
    assert 0 < client.ttl(keys.rate("open", clock.now // 60)) <= 120
    clock.now += 50
    assert asked[0]().status_code == 200


def test_callers_are_counted_apart(app: Flask, person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    callers = iter(["a"] * 6 + ["b"])
    monkeypatch.setattr(Callers, "reader", lambda *_: next(callers))
    found = [app.test_client().get(f"{AT}/{person(Role.DEVELOPER, 4)}").status_code for _ in range(7)]
    assert found == [200] * 5 + [429, 200]


def test_no_limit_counts_nothing(
    start: Start,
    publish: Publish,
    settings: Settings,
    person: Person,
    client: redis.Redis,
    keys: Keys,
    clock: SimpleNamespace,
) -> None:
    publish()
    app = start(settings.layered({"rate_limit": 0}, "given"))
    for ask in requests(app, person(Role.DEVELOPER, 4)):
        assert ask().status_code in (200, 202)
    assert not client.exists(keys.rate("open", clock.now // 60))


def test_with_redis_down_no_request_is_refused(
    start: Start, publish: Publish, rows: str, wires: Wires, person: Person
) -> None:
    publish()
    app = start(wires.settings.layered({"rate_limit": 1}, "given"))
    wires.redis.down()
    for path in [f"{AT}/{person(Role.DEVELOPER, 4)}", f"{AT}/popular", f"{AT}/trending"] * 2:
        answer = app.test_client().get(path)
        assert answer.status_code == 200, path
