"""Share one computation between requests of all processes, also after a process or server dies."""

from __future__ import annotations

import re
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from flask import Flask

from models.errors import ServiceError
from models.lists.redis_format import Keys
from models.schema import Surface
from models.settings.settings import Settings
from serving.app import Reader
from tests.serving.conftest import Execute, Publish, Start, ask

SURFACE = Surface.STARTUPS_FOR_DEVELOPER
AT = f"/api/recommendations/{SURFACE}"


def reader(app: Flask) -> Reader:
    return app.extensions["matchbook"]


@pytest.fixture
def newcomer(rows: str, execute: Execute) -> str:
    owner = str(uuid.uuid4())
    execute("INSERT INTO users (id, role, interests) VALUES (%s, 'developer', 'biotech;genomics')", owner)
    return owner


class Reads:
    """Counts the owner reads of several readers, and blocks them until the gate opens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *apps: Flask) -> None:
        self.calls, self.gate = 0, threading.Event()
        for app in apps:
            monkeypatch.setattr(reader(app).database, "owner", self._slowly(reader(app).database.owner))

    def _slowly(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def read(*given: Any) -> Any:
            self.calls += 1
            assert self.gate.wait(10)
            return real(*given)

        return read


def test_two_processes_that_miss_one_list_compute_it_once(
    start: Start, publish: Publish, newcomer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()
    apps = [start(), start()]
    reads = Reads(monkeypatch, *apps)
    with ThreadPoolExecutor(40) as pool:
        asked = [pool.submit(ask, apps[i % 2], newcomer) for i in range(40)]
        threading.Timer(0.5, reads.gate.set).start()
        bodies = [a.result() for a in asked]
    assert reads.calls == 1
    assert all(b == bodies[0] for b in bodies)
    assert (bodies[0]["source"], bodies[0]["degraded"], bodies[0]["method_used"]) == ("live", False, "content_based")


def test_a_wait_for_another_process_ends_with_the_budget(
    start: Start, publish: Publish, newcomer: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()
    first, second = start(), start(settings.layered({"live_budget_s": 0.1}, "given"))
    reads = Reads(monkeypatch, first, second)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(ask, first, newcomer)
        while not reads.calls:
            time.sleep(0.01)
        body = ask(second, newcomer)
        reads.gate.set()
        assert slow.result()["source"] == "live"
    assert (body["method_used"], body["degraded"], len(body["startups"])) == ("popular", True, 10)
    assert reads.calls == 1
    assert ask(second, newcomer)["source"] == "live"


def test_a_claim_of_a_dead_process_ends(
    start: Start, publish: Publish, newcomer: str, settings: Settings, client: redis.Redis
) -> None:
    release = publish()
    app = start(settings.layered({"live_budget_s": 0.1}, "given"))
    key = Keys(settings.namespace).flight(release, SURFACE, newcomer)
    client.set(key, "a process that is gone", px=60_000)
    assert ask(app, newcomer)["degraded"] is True
    client.delete(key)  # the lease has ended
    assert ask(start(settings), newcomer)["source"] == "live"
    assert client.get(key) is None


def test_a_lost_claim_is_not_deleted_for_its_next_holder(
    start: Start,
    publish: Publish,
    newcomer: str,
    settings: Settings,
    client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release = publish()
    app, key = start(), Keys(settings.namespace).flight(release, SURFACE, newcomer)
    reads = Reads(monkeypatch, app)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, app, newcomer)
        while not reads.calls:
            time.sleep(0.01)
        assert 0 < client.pttl(key) <= 5_000
        client.set(key, "the next", px=60_000)
        reads.gate.set()
        assert asked.result()["source"] == "live"
    assert client.get(key) == b"the next"


def test_a_failure_pauses_for_all_and_is_tried_again(
    start: Start,
    publish: Publish,
    newcomer: str,
    settings: Settings,
    client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release = publish()
    apps, calls, real = [start(), start()], [], {}

    def broken(*_: Any) -> None:
        calls.append(1)
        raise ServiceError("PostgreSQL does not answer")

    for app in apps:
        real[app] = reader(app).database.owner
        monkeypatch.setattr(reader(app).database, "owner", broken)
    bodies = [ask(apps[i % 2], newcomer) for i in range(6)]
    assert len(calls) == 1
    assert all((b["method_used"], b["degraded"]) == ("popular", True) for b in bodies)
    key = Keys(settings.namespace).flight(release, SURFACE, newcomer)
    assert 0 < client.pttl(key) <= 1_950
    for app in apps:
        monkeypatch.setattr(reader(app).database, "owner", real[app])
    end = time.monotonic() + 10
    while ask(apps[1], newcomer)["degraded"]:
        assert time.monotonic() < end, "it is not tried again"
        time.sleep(0.1)


def test_without_redis_there_is_one_computation_a_process(
    start: Start, publish: Publish, newcomer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()
    apps = [start(), start()]
    reads = Reads(monkeypatch, *apps)
    for app in apps:
        for breaker in reader(app).cache.breakers.values():
            breaker._pause_s = 60.0
            breaker.failed(OSError("gone"))
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(ask, apps[i % 2], newcomer) for i in range(20)]
        threading.Timer(0.5, reads.gate.set).start()
        bodies = [a.result() for a in asked]
    assert reads.calls == 2
    assert all((b["source"], b["degraded"]) == ("live", True) for b in bodies)


def test_a_failed_computation_leaves_no_claim(
    start: Start, publish: Publish, newcomer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()
    app = start()
    monkeypatch.setattr(reader(app).database, "owner", lambda *_: 1 / 0)
    assert ask(app, newcomer)["degraded"] is True
    assert len(reader(app).live.flights) == 0


def test_the_processes_compute_one_list_for_many_requests(
    publish: Publish, newcomer: str, served: Callable[..., int]
) -> None:
    publish()
    port = served(MATCHBOOK_LIVE_BUDGET_S="20")

    def get(path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return answer.read().decode()

    with ThreadPoolExecutor(32) as pool:
        bodies = list(pool.map(lambda _: get(f"{AT}/{newcomer}"), range(200)))
    assert set(bodies) == {bodies[0]}
    assert '"source":"live"' in bodies[0]
    counted = re.findall(r"^matchbook_live_seconds_count\{.*\} ([\d.]+)$", get("/metrics"), re.M)
    assert sum(map(float, counted)) == 1
