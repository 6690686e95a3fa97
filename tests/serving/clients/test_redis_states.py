"""Put Redis into each possible state and check the reader, the drain, a refresh and a publish.

TABLE is also in docs/guides/operate.md. The answer is `own` (the owner's stored or live list), `popular`, or a status,
with `!` if it says degraded. Afterwards the drain restores what it can.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from models.errors import MatchbookError
from models.lists.redis_format import Keys
from models.schema import Entity, Role, Surface
from models.settings.environment import Secret
from models.settings.settings import Settings
from pipelines.events.drain import drain_events
from pipelines.publish.publish import publish_release
from pipelines.publish.trending import refresh_trending
from tests.own_redis import OwnRedis, own_redis
from tests.serving.conftest import Person, Publish, Start, event
from tests.serving.proxy import Wires

SURFACE = Surface.STARTUPS_FOR_DEVELOPER
AT = f"/api/recommendations/{SURFACE}"
COLUMNS = (
    "known owner",
    "newcomer",
    "popular",
    "many",
    "post event",
    "/health",
    "refresh",
    "drain",
    "publish",
    "after the drain",
)
TABLE = {
    "well": ("own", "own", "popular", "own", "202", "healthy", "done", "done", "done", "healthy"),
    "absent": ("own!", "own!", "popular!", "own!", "503", "degraded", "fails", "fails", "fails", "degraded"),
    "empty": ("own!", "own!", "popular!", "own!", "202", "degraded", "nothing", "restores", "done", "healthy"),
    "another namespace's": (
        "own!",
        "own!",
        "popular!",
        "own!",
        "202",
        "degraded",
        "nothing",
        "restores",
        "done",
        "healthy",
    ),
    "expired": ("own!", "own!", "popular!", "own!", "202", "degraded", "done", "restores", "done", "healthy"),
    "evicted: one surface": (
        "own!",
        "own",
        "popular",
        "own!",
        "202",
        "degraded",
        "done",
        "restores",
        "done",
        "healthy",
    ),
    "half loaded": ("own!", "own", "popular", "own!", "202", "degraded", "done", "restores", "done", "healthy"),
    "older than what was published": (
        "own",
        "own",
        "popular",
        "own",
        "202",
        "healthy",
        "done",
        "restores",
        "done",
        "healthy",
    ),
    "read-only": ("own", "own", "popular", "own", "503", "healthy", "fails", "fails", "fails", "healthy"),
    "full": ("own", "own", "popular", "own", "503", "healthy", "fails", "fails", "fails", "healthy"),
    "evicts": ("own", "own", "popular", "own", "202", "degraded", "done", "done", "done", "degraded"),
}


@pytest.fixture
def server() -> Iterator[OwnRedis]:
    with own_redis(enable_debug_command="yes") as server:
        yield server


@pytest.fixture
def settings(settings: Settings, server: OwnRedis) -> Settings:
    return settings.layered({"redis_url": Secret(server.url), "redis_timeout_s": 2.0}, "given")


@dataclass(frozen=True)
class Scene:
    """The start of each state: two releases were published, the second is live."""

    server: OwnRedis
    keys: Keys
    first: str
    second: str
    wires: Wires

    def begin(self, state: str) -> None:
        client, keys = self.server.client, self.keys
        if state == "absent":
            self.wires.redis.down()
        elif state == "empty":
            client.flushall()
        elif state == "another namespace's":
            for key in client.keys("*"):
                client.rename(key, f"other-{key!r}")
        elif state == "expired":
            client.delete(*keys.of_release(self.second))
        elif state == "evicted: one surface":
            client.delete(keys.lists(self.second, SURFACE))
        elif state == "half loaded":
            client.hdel(keys.lists(self.second, SURFACE), *set(client.hkeys(keys.lists(self.second, SURFACE))) - {b"*"})
        elif state == "older than what was published":
            client.lpop(keys.history)
            client.set(keys.current, self.first)
            client.delete(*keys.of_release(self.second))
        elif state == "read-only":
            client.replicaof("127.0.0.1", 1)
        elif state == "full":
            client.config_set("maxmemory", 1)
        elif state == "evicts":
            client.config_set("maxmemory-policy", "volatile-lru")
            client.config_set("maxmemory", "1gb")


@pytest.mark.parametrize("state", list(TABLE))
def test_a_state(
    state: str,
    server: OwnRedis,
    settings: Settings,
    wires: Wires,
    start: Start,
    rows: str,
    publish: Publish,
    person: Person,
    execute: Callable[..., None],
) -> None:
    scene = Scene(server, Keys(settings.namespace), publish(day=10), publish(day=11), wires)
    owner, newcomer = person(Role.DEVELOPER, 4), str(uuid.uuid4())
    execute("INSERT INTO users (id, role, interests) VALUES (%s, 'developer', 'games')", newcomer)
    scene.begin(state)
    app = start(
        wires.settings.layered({"redis_timeout_s": 2.0, "database_timeout_s": 10.0, "live_budget_s": 20.0}, "given")
    )
    assert dict(zip(COLUMNS, seen(app, wires.settings, scene, owner, newcomer), strict=True)) == dict(
        zip(COLUMNS, TABLE[state], strict=True)
    )


def seen(app: Flask, settings: Settings, scene: Scene, owner: str, newcomer: str) -> list[str]:
    client = app.test_client()
    found = [
        told(client.get(f"{AT}/{owner}").get_json()),
        told(client.get(f"{AT}/{newcomer}").get_json()),
        told(client.get(f"{AT}/popular").get_json()),
        told(client.post(f"{AT}/many", json={"ids": [owner]}).get_json()["lists"][owner]),
    ]
    found.append(str(client.post("/api/events", json={"events": [event(owner, str(uuid.uuid4()))]}).status_code))
    found.append(status(app))
    found.append(outcome(lambda: refresh_trending(settings, datetime.now(UTC))["release"]))
    drained = outcome(lambda: drain_events(settings))
    found.append("restores" if drained == "done" and restored(scene) else drained)
    after = status(app)
    found.append(outcome(lambda: publish_release(settings, scene.second, force=True).published))
    return [*found, after]


def told(body: dict[str, Any]) -> str:
    """Return `own` or `popular`. There is always an answer."""
    assert body["startups"], body
    return ("popular" if body["method_used"] == "popular" else "own") + "!" * body["degraded"]


def status(app: Flask) -> str:
    app.extensions["matchbook"].releases._look()  # the watcher does this every second
    return str(app.test_client().get("/health").get_json()["status"])


def outcome(do: Callable[[], Any]) -> str:
    try:
        return "done" if do() else "nothing"
    except MatchbookError as error:
        assert str(error)
        return "fails"


def restored(scene: Scene) -> bool:
    log = (scene.wires.settings.artifacts / "publishes.jsonl").read_text().splitlines()
    return "Redis had lost it" in log[-1]


def test_the_guide_shows_the_table() -> None:
    page = Path("docs/guides/operate.md").read_text()
    assert f"| Redis is | {' | '.join(COLUMNS)} |" in page
    for state, cells in TABLE.items():
        assert f"| {state} | {' | '.join(cells)} |" in page, state


def test_a_user_who_opts_out_while_redis_is_empty_is_in_no_list(
    server: OwnRedis,
    settings: Settings,
    wires: Wires,
    start: Start,
    rows: str,
    publish: Publish,
    person: Person,
    execute: Callable[..., None],
) -> None:
    """PostgreSQL decides: Redis is empty, the reader restarts, no drain runs, no release can be restored."""
    publish()
    server.client.flushall()
    listed = first_of(start(settings), person(Role.DEVELOPER, 4))
    execute("UPDATE startups SET withdrawn_at = now() - interval '1 second' WHERE id = %s", listed)
    execute("UPDATE users SET opted_out_at = now() - interval '1 second' WHERE id = %s", person(Role.DEVELOPER, 4))
    app = start(settings)
    body = app.test_client().get(f"{AT}/{person(Role.DEVELOPER, 4)}?limit=100").get_json()
    assert body["method_used"] == "popular" and listed not in [i["id"] for i in body["startups"]]
    server.client.flushall()
    (settings.artifacts / "publishes.jsonl").unlink()  # no release can be loaded again, but filters are followed
    done = drain_events(settings)
    assert (done["release"], done["hidden"] >= 2) == (None, True)
    keys = Keys(settings.namespace)
    assert server.client.sismember(keys.hidden(Entity.STARTUP), uuid.UUID(listed).bytes)  # type: ignore[arg-type]  # declared str


def first_of(app: Flask, owner: str) -> str:
    return str(app.test_client().get(f"{AT}/{owner}").get_json()["startups"][0]["id"])


def test_a_full_redis_is_emptied_by_the_drain(
    server: OwnRedis, settings: Settings, start: Start, rows: str, publish: Publish, person: Person
) -> None:
    """Events in the stream are stored and leave it, although Redis accepts no writes."""
    publish()
    app = start()
    assert (
        app.test_client()
        .post("/api/events", json={"events": [event(person(Role.DEVELOPER, 4), str(uuid.uuid4()))]})
        .status_code
        == 202
    )
    drain_events(settings)
    app.test_client().post("/api/events", json={"events": [event(person(Role.DEVELOPER, 4), str(uuid.uuid4()))]})
    server.client.config_set("maxmemory", 1)
    with pytest.raises(MatchbookError, match="Redis is full"):
        drain_events(settings)
    assert server.client.xlen(Keys(settings.namespace).events) == 0
    server.client.config_set("maxmemory", 0)
    assert drain_events(settings)["drained"] == 0


def test_nothing_that_never_was_live_is_served(
    server: OwnRedis, settings: Settings, start: Start, rows: str, publish: Publish
) -> None:
    """A release that the gate stored but did not publish is never served."""
    first, held_back = publish(day=10), publish(day=11)
    log = settings.artifacts / "publishes.jsonl"
    log.write_text("".join(line + "\n" for line in log.read_text().splitlines() if held_back not in line.split(",")[2]))
    server.client.flushall()
    assert start().test_client().get(f"{AT}/popular").get_json()["release"] == first
    assert drain_events(settings)["restored"] == first


def test_live_lists_are_kept_from_expiring(server: OwnRedis, settings: Settings, rows: str, publish: Publish) -> None:
    release, keys = publish(), Keys(settings.namespace)
    for key in keys.of_release(release):
        server.client.expire(key, 1000)
    drain_events(settings)
    assert min(server.client.ttl(key) for key in keys.of_release(release)) > 200 * 3600


@pytest.mark.parametrize(("configuration", "said"), [({"cluster_enabled": "yes"}, "Redis Cluster")])
def test_a_cluster_is_refused_in_one_sentence(
    settings: Settings, configuration: dict[str, str], said: str, start: Start, tmp_path: Path
) -> None:
    with own_redis(**configuration) as cluster:
        there = replace(settings, redis_url=Secret(cluster.url))
        with pytest.raises(MatchbookError, match=said):
            drain_events(there)
        assert said in start(there).test_client().get("/health").get_json()["troubles"]["redis"]


def test_facts_of_a_server() -> None:
    from models.lists.redis_server import evicting, hint, unfit

    assert unfit({}) == unfit({"redis_version": "6.2.0"}) == unfit({"redis_version": "7.2.4"}) == ""
    assert "expected Redis 6.2" in unfit({"redis_version": "6.0.16"})
    assert "Redis Cluster" in unfit({"cluster_enabled": 1})
    assert evicting({}) == evicting({"maxmemory_policy": "allkeys-lru", "maxmemory": 0}) == ""
    for policy in ("volatile-lru", "volatile-ttl", "volatile-random", "volatile-lfu", "allkeys-lru", "allkeys-random"):
        assert policy in evicting({"maxmemory_policy": policy, "maxmemory": 1})
    for word, told in (
        ("MOVED 3 127.0.0.1:1", "Cluster"),
        ("CROSSSLOT Keys in request", "Cluster"),
        ("CLUSTERDOWN Hash slot not served", "Cluster"),
        ("OOM command not allowed", "full"),
        ("READONLY You can't write", "primary"),
        ("unknown command 'LPOS'", "6.2"),
    ):
        assert told in hint(word)
