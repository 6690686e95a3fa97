"""The reader starts and answers with any damaged key in Redis. An owner's key affects only that owner."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import redis

from models.catalogue.catalogue import decode_items
from models.errors import MatchbookError, ReleaseIncomplete
from models.lists.redis_format import Keys, decode_list
from models.schema import Entity, Role, Surface
from models.settings.environment import Secret
from models.settings.settings import Settings
from pipelines.events.drain import drain_events
from pipelines.redis_client import connect
from serving.app import create_app
from tests.own_redis import OwnRedis
from tests.serving.conftest import Person, Publish, Start, event
from tests.stored import cell, cells, type_of, value

SURFACE = Surface.STARTUPS_FOR_DEVELOPER
AT = f"/api/recommendations/{SURFACE}"
DAMAGES = 3000
CONTENTS: dict[str, Callable[[redis.Redis, bytes], Any]] = {
    "no text": lambda r, key: r.set(key, b"\xff\x00garbage"),
    "nothing": lambda r, key: r.set(key, b""),
    "other JSON": lambda r, key: r.set(key, b'{"a": []}'),
    "a list": lambda r, key: r.rpush(key, b"x"),
    "a hash": lambda r, key: r.hset(key, b"\xff", b"\xfe"),
    "a set": lambda r, key: r.sadd(key, b"\xff"),
}
TYPES = dict.fromkeys(CONTENTS, "string") | {"a list": "list", "a hash": "hash", "a set": "set"}
#: Redis answers every command on a key of another type with the same error, so one other type stands for all.
OTHER = {"string": "a list", "hash": "a set"}


@pytest.fixture
def settings(settings: Settings, server: OwnRedis) -> Settings:
    return settings.layered({"redis_url": Secret(server.url), "rate_limit": 0}, "given")


@pytest.fixture
def owners(person: Person) -> tuple[str, str]:
    return person(Role.DEVELOPER, 4), person(Role.DEVELOPER, 9)


@pytest.fixture
def filled(
    settings: Settings, server: OwnRedis, start: Start, rows: str, publish: Publish, owners: tuple[str, str]
) -> redis.Redis:
    publish()
    client = start().test_client()
    for owner in owners:
        liked = client.get(f"{AT}/{owner}").get_json()["startups"][-1]["id"]
        assert client.post("/api/events", json={"events": [event(owner, liked)]}).status_code == 202
    drain_events(settings)
    return server.client


@pytest.mark.parametrize("content", CONTENTS)
def test_a_reader_starts_and_answers(
    content: str, filled: redis.Redis, start: Start, settings: Settings, owners: tuple[str, str]
) -> None:
    kept = {key: filled.dump(key) or b"" for key in filled.scan_iter("*")}
    types = {key: type_of(filled, key) for key in kept}
    damaged = [k for k, held in types.items() if content == OTHER.get(held, "a hash") or TYPES[content] == held]
    assert damaged
    for key in damaged:
        filled.flushall()
        for name, dumped in kept.items():
            filled.restore(name, 0, dumped)
        filled.delete(key)
        CONTENTS[content](filled, key)
        app = start()
        app.testing = False
        client, beside = app.test_client(), f"{key!r} is {content}"
        for path in (f"{AT}/{owners[0]}", f"{AT}/popular", f"{AT}/trending", "/health", "/metrics"):
            assert client.get(path).status_code == 200, f"{path}: {beside}"
        assert len(client.post(f"{AT}/many", json={"ids": owners}).get_json()["lists"]) == 2, beside
        new = event(owners[0], str(uuid.uuid4()))
        assert client.post("/api/events", json={"events": [new]}).status_code in (202, 503), beside
        for full in (False, True):
            try:
                drain_events(settings, full)
            except MatchbookError as error:
                assert str(error)
        app.extensions["matchbook"].close()


@pytest.mark.parametrize("content", CONTENTS)
def test_a_damaged_key_affects_only_its_owner(
    content: str, filled: redis.Redis, start: Start, settings: Settings, owners: tuple[str, str]
) -> None:
    broken, other = owners
    since = Keys(settings.namespace).since(Entity.USER, broken)
    filled.delete(since)
    CONTENTS[content](filled, since.encode())
    client = start().test_client()
    lists = client.post(f"{AT}/many", json={"ids": owners}).get_json()["lists"]
    assert (len(lists[other]["startups"]), lists[other]["degraded"]) == (10, False)
    assert len(lists[broken]["startups"]) == 10
    for _ in range(2):
        drain_events(settings, full=True)
    assert client.get(f"{AT}/{broken}").get_json()["degraded"] is False
    assert client.post("/api/events", json={"events": [event(broken, str(uuid.uuid4()))]}).status_code == 202


def test_a_damaged_list_is_its_owners_trouble(
    filled: redis.Redis, start: Start, settings: Settings, owners: tuple[str, str]
) -> None:
    broken, other = owners
    app = start()
    release = app.extensions["matchbook"].releases.held.id
    key, field = Keys(settings.namespace).lists(release, SURFACE), uuid.UUID(broken).bytes
    whole = cell(filled, key, field)
    chance = random.Random(7)
    app.testing = False
    for damage in (
        whole[:7],
        whole[:12] + b"\xff" * (len(whole) - 12),
        b"\x01\xff\xff" + whole[3:],
        *(_damaged(whole, chance) for _ in range(50)),
    ):
        filled.hset(key, field, damage)
        lists = app.test_client().post(f"{AT}/many", json={"ids": owners}).get_json()["lists"]
        assert lists[broken]["startups"] and lists[other]["degraded"] is False, damage.hex()


def test_damaged_bytes_are_refused_with_an_error(filled: redis.Redis, start: Start, settings: Settings) -> None:
    release, keys = start().extensions["matchbook"].releases.held.id, Keys(settings.namespace)
    table = value(filled, keys.items(release, Entity.USER))
    lists = list(cells(filled, keys.lists(release, SURFACE)).values())
    chance = random.Random(11)
    for _ in range(DAMAGES):
        for decode, whole in ((decode_items, table), (decode_list, chance.choice(lists))):
            try:
                decode(_damaged(whole, chance))
            except ReleaseIncomplete as error:
                assert str(error)


def _damaged(whole: bytes, chance: random.Random) -> bytes:
    """Truncate the bytes or change some."""
    if chance.random() < 0.2:
        return whole[: chance.randrange(len(whole))]
    found = bytearray(whole)
    for _ in range(chance.choice([1, 3, 30])):
        found[chance.randrange(len(found))] = chance.randrange(256)
    return bytes(found)


@pytest.mark.parametrize("option", ["db=x", "socket_timeout=abc", "max_connections=y"])
def test_an_unknown_option_is_refused_with_an_error(settings: Settings, server: OwnRedis, option: str) -> None:
    wrong = replace(settings, redis_url=Secret(f"{server.url}?{option}"))
    for door in (create_app, connect):
        with pytest.raises(MatchbookError, match="REDIS_URL has an option"):
            door(wrong)
