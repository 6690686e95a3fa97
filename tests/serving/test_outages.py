"""While a server is down, answer within the time-outs, marked degraded. Recover without a restart."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import redis
from flask import Flask

from models.lists.redis_format import Keys
from models.lists.release import NOTHING_LIVE
from models.schema import Role, Surface
from models.settings.settings import Settings
from pipelines.store.artifacts import Artifacts
from tests.serving.conftest import Person, Publish, Start
from tests.serving.proxy import Wires
from tests.waiting import until

SURFACE = Surface.STARTUPS_FOR_DEVELOPER
PATIENCE_S = 3.0  # far above all time-outs below, far below a hang


def ask(app: Flask, owner: str, surface: Surface = SURFACE) -> dict[str, Any]:
    started = time.monotonic()
    answer = app.test_client().get(f"/api/recommendations/{surface}/{owner}")
    assert time.monotonic() - started < PATIENCE_S
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def health(app: Flask, tail: str = "") -> tuple[int, dict[str, Any]]:
    answer = app.test_client().get(f"/health{tail}")
    return answer.status_code, answer.get_json()


def test_the_reader_asks_a_replica_where_one_is_named(
    start: Start, publish: Publish, rows: str, wires: Wires, settings: Settings
) -> None:
    publish()
    replica = replace(settings, reader_database_url=wires.settings.database_url)
    app = start(replica)
    assert ask(app, str(uuid.uuid4()))["degraded"] is False
    wires.postgres.down()
    assert ask(app, str(uuid.uuid4()))["degraded"] is True


@pytest.mark.parametrize("failure", ["down", "frozen", "slow"])
def test_redis_fails_and_comes_back(
    start: Start, publish: Publish, rows: str, wires: Wires, person: Person, failure: str
) -> None:
    publish()
    app, owner = start(wires.settings), person(Role.DEVELOPER, 4)
    stored = ask(app, owner)
    assert stored["degraded"] is False
    if failure == "down":
        wires.redis.down()
    elif failure == "frozen":
        wires.redis.frozen = True
    else:
        wires.redis.delay_s = 0.5
    live = ask(app, owner)
    assert (live["source"], live["degraded"], live["method_used"]) == ("live", True, "als")
    assert live["interaction_count"] == stored["interaction_count"]
    assert [s["id"] for s in live["startups"]] == [s["id"] for s in stored["startups"]]
    status, found = health(app)
    assert (status, found["status"]) == (200, "degraded")
    assert (found["redis_connected"], found["database_connected"]) == (False, True)
    if failure == "down":
        wires.redis.up()
    wires.redis.frozen, wires.redis.delay_s = False, 0.0
    until(lambda: ask(app, owner)["degraded"] is False)
    assert ask(app, owner) == stored


@pytest.mark.parametrize("failure", ["down", "frozen"])
def test_postgres_fails_and_comes_back(
    start: Start,
    publish: Publish,
    rows: str,
    wires: Wires,
    person: Person,
    execute: Callable[..., None],
    failure: str,
) -> None:
    publish()
    app, newcomer = start(wires.settings), str(uuid.uuid4())
    execute("INSERT INTO users (id, role, interests) VALUES (%s, 'developer', 'games')", newcomer)
    if failure == "down":
        wires.postgres.down()
    wires.postgres.frozen = failure == "frozen"
    assert ask(app, person(Role.DEVELOPER, 4))["degraded"] is False  # a hit needs no database
    for _ in range(3):
        body = ask(app, newcomer)
        assert (body["method_used"], body["degraded"], body["known"], len(body["startups"])) == (
            "popular",
            True,
            False,
            10,
        )
    code, said = health(app)
    assert (code, said["status"], said["database_connected"], said["redis_connected"]) == (
        200,
        "degraded",
        False,
        True,
    )
    wires.postgres.frozen = False
    if failure == "down":
        wires.postgres.up()
    until(lambda: ask(app, newcomer)["degraded"] is False)
    assert ask(app, newcomer)["source"] == "live"
    assert health(app)[1]["status"] == "healthy"


def test_with_both_servers_down_the_stored_files_answer(
    start: Start, publish: Publish, rows: str, wires: Wires, person: Person
) -> None:
    publish()
    app = start(wires.settings)
    stored = ask(app, person(Role.DEVELOPER, 9))
    wires.redis.down()
    wires.postgres.down()
    assert ask(app, person(Role.DEVELOPER, 9)) == stored | {"degraded": True}
    assert ask(app, str(uuid.uuid4()))["method_used"] == "popular"


def test_both_down_and_no_files_the_popular_list_held_in_process_answers(
    start: Start, publish: Publish, rows: str, wires: Wires, person: Person, settings: Settings
) -> None:
    release = publish()
    app = start(wires.settings)
    count = ask(app, person(Role.DEVELOPER, 9))["interaction_count"]
    wires.redis.down()
    wires.postgres.down()
    shutil.rmtree(settings.artifacts / "releases" / release)
    body = ask(app, person(Role.DEVELOPER, 9))
    assert (body["method_used"], body["route"], body["degraded"], body["known"]) == (
        "popular",
        "ensemble",
        True,
        True,
    )
    assert (body["interaction_count"], len(body["startups"])) == (count, 10)
    assert health(app, "/live")[0] == 200
    assert health(app, "/ready")[0] == 200
    assert health(app)[1]["status"] == "degraded"


def test_a_reader_that_starts_while_redis_is_down(
    start: Start, publish: Publish, rows: str, wires: Wires, person: Person
) -> None:
    release = publish()
    wires.redis.down()
    app, owner = start(wires.settings), person(Role.DEVELOPER, 4)
    body = ask(app, owner)
    assert (body["release"], body["source"], body["degraded"], body["method_used"]) == (release, "live", True, "als")
    wires.redis.up()
    until(lambda: ask(app, owner)["degraded"] is False)
    assert ask(app, owner)["source"] == "cache"


def test_before_the_first_release_it_is_reported_and_serving_starts_alone(
    start: Start, publish: Publish, rows: str, settings: Settings, person: Person
) -> None:
    app = start()
    answer = app.test_client().get(f"/api/recommendations/{SURFACE}/{person(Role.DEVELOPER, 4)}")
    assert answer.status_code == 503
    assert answer.get_json()["error"] == {
        "code": "no_release",
        "expected": "a published release",
        "got": "none yet",
        "hint": NOTHING_LIVE,
    }
    assert (health(app)[0], health(app)[1]["status"], health(app, "/ready")[0], health(app, "/live")[0]) == (
        503,
        "unhealthy",
        503,
        200,
    )
    publish()
    until(lambda: health(app, "/ready")[0] == 200)
    assert ask(app, person(Role.DEVELOPER, 4))["source"] == "cache"


def test_a_pointer_to_a_release_that_is_not_there_keeps_the_old_one(
    start: Start, publish: Publish, rows: str, settings: Settings, person: Person
) -> None:
    release = publish()
    app = start()
    with redis.Redis.from_url(settings.redis_url.reveal()) as client:
        client.set(Keys(settings.namespace).current, "20990101T000000Z-00000000")
        until(lambda: ask(app, person(Role.DEVELOPER, 4))["degraded"] is True)
        assert ask(app, person(Role.DEVELOPER, 4))["release"] == release
        assert "20990101T000000Z-00000000" in health(app)[1]["troubles"]["release"]
        client.set(Keys(settings.namespace).current, release)
    until(lambda: ask(app, person(Role.DEVELOPER, 4))["degraded"] is False)


def test_a_missing_or_damaged_list_is_computed_live(
    start: Start, publish: Publish, rows: str, settings: Settings, person: Person
) -> None:
    release = publish()
    app, gone, broken = start(), person(Role.DEVELOPER, 4), person(Role.DEVELOPER, 9)
    before = [ask(app, o)["scores"] for o in (gone, broken)]
    key = Keys(settings.namespace).lists(release, SURFACE)
    with redis.Redis.from_url(settings.redis_url.reveal()) as client:
        client.hdel(key, uuid.UUID(gone).bytes)
        client.hset(key, uuid.UUID(broken).bytes, b"\x01\x02\x03")
    for owner, scores in zip((gone, broken), before, strict=True):
        body = ask(app, owner)
        assert (body["source"], body["degraded"], list(body["scores"])) == ("live", True, list(scores))


@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_without_a_model_the_next_in_the_chain_answers(
    start: Start,
    publish: Publish,
    rows: str,
    settings: Settings,
    person: Person,
    damage: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    release = publish()
    stored = Artifacts(settings).release(release)
    path = settings.artifacts / "bundles" / "als_v1" / stored.bundles["als_v1"] / "als_v1_user_factors.npy"
    path.unlink() if damage == "missing" else path.write_bytes(path.read_bytes()[:-1])
    with redis.Redis.from_url(settings.redis_url.reveal()) as client:
        client.hdel(Keys(settings.namespace).lists(release, SURFACE), uuid.UUID(person(Role.DEVELOPER, 4)).bytes)
    app = start()
    body = ask(app, person(Role.DEVELOPER, 4))
    assert (body["route"], body["method_used"], body["source"], body["degraded"]) == (
        "als",
        "content_based",
        "live",
        True,
    )
    assert "als_v1" in health(app)[1]["troubles"]["models"]
    assert any("model not loaded: als_v1" in r.message for r in caplog.records)


def test_a_restart_of_redis_between_two_requests_goes_unnoticed(
    start: Start, publish: Publish, rows: str, wires: Wires, person: Person
) -> None:
    publish()
    app, owner = start(wires.settings), person(Role.DEVELOPER, 4)
    stored = ask(app, owner)
    app.extensions["matchbook"].releases.stop()  # its check of Redis would notice first
    wires.redis.down()
    wires.redis.up()
    assert ask(app, owner) == stored


def test_a_late_answer_is_not_read_by_the_next_request(
    start: Start, publish: Publish, rows: str, wires: Wires, person: Person
) -> None:
    """A late answer of Redis on a closed connection is never read as the next answer."""
    publish()
    app, one, other = start(wires.settings), person(Role.DEVELOPER, 4), person(Role.DEVELOPER, 9)
    stored = [ask(app, one), ask(app, other)]
    for _ in range(3):
        wires.redis.frozen = True
        assert ask(app, one)["degraded"] is True
        wires.redis.frozen = False
        until(lambda: ask(app, other)["degraded"] is False)
        assert [ask(app, one), ask(app, other)] == stored


def test_keys_of_another_type_do_not_mix_up_answers(
    start: Start, publish: Publish, rows: str, settings: Settings, person: Person
) -> None:
    release = publish()
    app, owner, keys = start(), person(Role.DEVELOPER, 4), Keys(settings.namespace)
    stored = ask(app, owner)
    with redis.Redis.from_url(settings.redis_url.reveal()) as client:
        for minute in range(2):
            client.set(keys.rate("open", int(time.time()) // 60 + minute), "no number")
        assert ask(app, owner) == stored
        client.rename(keys.lists(release, SURFACE), "aside")
        client.set(keys.lists(release, SURFACE), "no hash")
        body = ask(app, owner)
        assert (body["source"], body["degraded"], list(body["scores"])) == ("live", True, list(stored["scores"]))
        client.rename("aside", keys.lists(release, SURFACE))
    assert ask(app, owner) == stored
