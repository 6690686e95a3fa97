"""Use Redis accounts with only the documented rights: everything works except optional information."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from flask import Flask

from models.lists.redis_server import NICETIES, pipeline_rights, reader_rights
from models.schema import Role, Surface
from models.settings.environment import Secret
from models.settings.settings import Settings
from pipelines.doctor.doctor import diagnose
from pipelines.erase.erase import erase
from pipelines.events.drain import drain_events
from pipelines.publish.history import list_releases, promote, rollback
from pipelines.publish.trending import refresh_trending
from pipelines.refresh.refresh import renew_expiry
from tests.own_redis import OwnRedis
from tests.serving.conftest import Person, Publish, Start, event, post
from tests.stored import command

SURFACE = Surface.STARTUPS_FOR_DEVELOPER


@pytest.fixture
def settings(settings: Settings, server: OwnRedis) -> Settings:
    """Return settings of the pipelines, whose Redis user has only the documented rights."""
    return as_user(settings, server, "pipe", pipeline_rights(settings.namespace))


def as_user(settings: Settings, server: OwnRedis, name: str, rules: str, query: str = "") -> Settings:
    command(server.client, "ACL", "SETUSER", name, "reset", "on", ">secret", *rules.split())
    return replace(settings, redis_url=Secret(f"redis://{name}:secret@127.0.0.1:{server.port}/0{query}"))


def refusals(server: OwnRedis) -> set[str]:
    """Return the refused commands, except those for optional information."""
    told: Any = server.client.acl_log()
    return {entry["object"] for entry in told} - set(NICETIES)


@pytest.mark.parametrize("protocol", ["", "?protocol=2", "?protocol=3", "?protocol=3&decode_responses=true"])
def test_everything_works_with_the_documented_rights(
    settings: Settings, server: OwnRedis, start: Start, rows: str, publish: Publish, person: Person, protocol: str
) -> None:
    writer = replace(settings, redis_url=Secret(settings.redis_url.reveal() + protocol))
    reader = as_user(settings, server, "web", reader_rights(settings.namespace), protocol)
    first, second = publish(day=10), publish(day=11)
    app, owner = start(reader), person(Role.DEVELOPER, 4)
    walk(app, owner, first)
    item = ids(app, owner)[0]
    post(app, event(owner, item, "dislike"))
    assert item not in ids(app, owner)
    assert drain_events(writer)["new"] == 1
    assert drain_events(writer, full=True)["release"] == second
    assert refresh_trending(writer, datetime.now(UTC))["release"] == second
    assert renew_expiry(writer) == 2
    assert rollback(writer).published and promote(writer, second).published
    assert [r["state"] for r in list_releases(writer)] == ["live", "loaded"]
    found = {d.id: d for d in diagnose(writer, datetime.now(UTC))}
    assert {found[name].state.value for name in ("servers", "lists", "loading")} <= {"well", "found"}
    assert {found[name].state.value for name in ("redis", "memory")} == {"unknown"}, found
    assert not [d.says for d in found.values() if "NOPERM" in d.says or "Redis failed" in d.says]
    erase(writer, owner)
    walk(app, person(Role.DEVELOPER, 9), "")
    assert refusals(server) == set()
    assert writer.redis_url.reveal().endswith(protocol)


def walk(app: Flask, owner: str, other: str) -> None:
    """Send every request of the reader."""
    client = app.test_client()
    at = f"/api/recommendations/{SURFACE}"
    for path in (
        f"{at}/{owner}",
        f"{at}/{uuid.uuid4()}",
        f"{at}/popular",
        f"{at}/trending",
        "/health",
        "/health/ready",
        "/metrics",
        "/api/releases",
        f"/api/explain/{SURFACE}/{owner}",
        *([f"/api/compare/{SURFACE}/{owner}?release={other}"] if other else []),
        f"/api/find/{SURFACE}/owners?q={owner[:8]}",
    ):
        answer = client.get(path)
        assert answer.status_code == 200, (path, answer.text)
        assert "NOPERM" not in answer.text, path
        if path.startswith(at):
            assert answer.get_json()["degraded"] is False, (path, answer.text)
    assert client.post(f"{at}/many", json={"ids": [owner, str(uuid.uuid4())]}).status_code == 200
    assert client.get("/health").get_json()["status"] == "healthy"


def ids(app: Flask, owner: str) -> list[str]:
    body = app.test_client().get(f"/api/recommendations/{SURFACE}/{owner}?limit=100").get_json()
    assert body["degraded"] is False
    return [i["id"] for i in body["startups"]]


def test_a_reader_may_not_move_the_pointer(settings: Settings, server: OwnRedis, publish: Publish) -> None:
    publish()
    reader = as_user(settings, server, "web", reader_rights(settings.namespace))
    with redis.Redis.from_url(reader.redis_url.reveal()) as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.set(f"{settings.namespace}:current", "mine")


@pytest.mark.parametrize(
    "forbidden",
    ["info", "memory", "config", "client", "xinfo", "object", "latency", "command", "acl", "dbsize", "debug"],
)
def test_a_command_that_is_only_nice_to_have_may_be_forbidden(
    settings: Settings, server: OwnRedis, publish: Publish, start: Start, rows: str, person: Person, forbidden: str
) -> None:
    """Hosted servers may forbid one command."""
    poor = as_user(settings, server, "pipe", f"~* &* +@all -{forbidden}")
    publish()
    assert drain_events(poor)["release"]
    walk(start(poor), person(Role.DEVELOPER, 4), "")
    assert {d.id for d in diagnose(poor, datetime.now(UTC)) if "NOPERM" in d.says} == set()


def test_the_page_shows_the_rules(settings: Settings) -> None:
    page = Path("docs/guides/deploy.md").read_text()
    for rules in (reader_rights("matchbook"), pipeline_rights("matchbook")):
        missing = [word for word in rules.split() if word not in page.split()]
        assert not missing
