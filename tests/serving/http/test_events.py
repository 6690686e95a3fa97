"""`POST /api/events` takes all events of a request or none, with a clear error; an id counts once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import redis
from flask import Flask

from models.lists.redis_format import Keys
from models.schema import Entity, EventType, Role, Surface
from models.settings.settings import Settings
from pipelines.events.drain import drain_events
from tests.serving.conftest import Person, Publish, Start, ask_list, event, ids, post
from tests.serving.proxy import Wires
from tests.stored import entries

SURFACE = Surface.STARTUPS_FOR_DEVELOPER
USER, STARTUP = str(UUID(int=1)), str(UUID(int=2))


def refused(app: Flask, body: Any, status: int = 400) -> dict[str, str]:
    answer = app.test_client().post("/api/events", json=body)
    assert (answer.status_code, list(answer.get_json()["error"])) == (status, ["code", "expected", "got", "hint"]), body
    return answer.get_json()["error"]


def later(**delta: int) -> str:
    return (datetime.now(UTC) + timedelta(**delta)).isoformat()


def test_an_event_waits_in_the_stream_as_it_was_posted(start: Start, client: redis.Redis, keys: Keys) -> None:
    app = start()
    sent = event(USER.upper(), STARTUP, "impression", at="2024-05-01T16:00:00+02:00")
    post(app, sent, event(USER, STARTUP))
    first, second = entries(client, keys.events)
    assert {k.decode(): v.decode() for k, v in first.items()} == {
        **sent,
        "user_id": USER,
        "at": "2024-05-01T14:00:00+00:00",
    }
    assert abs(datetime.fromisoformat(second[b"at"].decode()) - datetime.now(UTC)) < timedelta(minutes=1)


def test_every_type_is_taken_and_counted(start: Start) -> None:
    app = start()
    post(app, *(event(USER, STARTUP, kind.value) for kind in EventType))
    text = app.test_client().get("/metrics").text
    for kind in EventType:
        assert f'matchbook_events_taken_total{{type="{kind}"}}' in text
    assert f"matchbook_events_waiting {len(EventType)}.0" in text
    assert "matchbook_events_oldest_seconds " in text


MALFORMED: list[tuple[Any, str]] = [
    ({"event_id": ""}, "event_id"),
    ({"event_id": "a b"}, "event_id"),
    ({"event_id": "x" * 129}, "event_id"),
    ({"event_id": 7}, "event_id"),
    ({"event_id": None}, "event_id"),
    ({"event_id": "é"}, "event_id"),
    ({"event_id": "a\x00"}, "event_id"),
    ({"user_id": "42"}, "user_id"),
    ({"user_id": None}, "user_id"),
    ({"startup_id": f"{{{STARTUP}}}"}, "startup_id"),
    ({"startup_id": [STARTUP]}, "startup_id"),
    ({"type": "stare"}, "type"),
    ({"type": "Click"}, "type"),
    ({"type": None}, "type"),
    ({"type": ["click"]}, "type"),
    ({"at": "yesterday"}, "at"),
    ({"at": 1714572000}, "at"),
    ({"at": ""}, "at"),
    ({"at": "2024-13-01"}, "at"),
    ({"at": "1969-12-31T23:59:59Z"}, "at"),
    ({"at": later(hours=20)}, "at"),
    ({"at": "9999-12-31T23:59:59-10:00"}, "at"),
    ({"weight": 3}, "weight"),
    ({"position": 0}, "position"),
    ({"position": "1"}, "position"),
    ({"position": 1001}, "position"),
    ({"position": True}, "position"),
    ({"answer_id": ""}, "answer_id"),
    ({"answer_id": "x" * 29}, "answer_id"),
    ({"answer_id": 7}, "answer_id"),
    ({"answer_id": "A" * 60}, "answer_id"),
]


def test_one_malformed_event_is_named_by_its_place_and_none_is_taken(
    start: Start, client: redis.Redis, keys: Keys
) -> None:
    app = start()
    for change, field in MALFORMED:
        error = refused(app, {"events": [event(USER, STARTUP), event(USER, STARTUP) | change]})
        assert error["code"] == "malformed_event", change
        assert error["expected"].startswith(f"events[1].{field}: "), change
        assert "None" not in error["got"] and "True" not in error["got"], change
        assert "no event of this request was taken" in error["hint"]
    assert client.xlen(keys.events) == 0
    assert not client.exists(keys.since(Entity.USER, USER))


JSON = "application/json"
NOT_JSON = "a body that is not valid JSON: "
OTHERWISE = [
    ("{", JSON, NOT_JSON + "Expecting property name enclosed in double quotes at line 1, column 2"),
    ('{"events": [NaN]}', JSON, NOT_JSON + "it has NaN"),
    (b'{"events": ["\xff"]}', JSON, NOT_JSON + "it is not UTF-8"),
    ("[" * 9 + "1" + "]" * 9, JSON, NOT_JSON + "it has more than 8 levels"),
    ("[" * 60_000, JSON, NOT_JSON + "it has more than 8 levels"),
    ("", JSON, "an empty body"),
    ("", None, "an empty body"),
    ('{"events": []}', None, "no Content-Type: application/json"),
    ('{"events": []}', "text/plain", "Content-Type text/plain"),
    ("{}", JSON, "an object without events"),
    ("[]", JSON, "a list"),
    ("null", JSON, "null"),
    ("7", JSON, "a number"),
    ("true", JSON, "true or false"),
    ('"events"', JSON, "a text"),
    ('{"events": {}}', JSON, "events that is an object"),
    ('{"events": null}', JSON, "events that is null"),
    ('{"events": []}', JSON, "0 events"),
]


def test_malformed_bodies_are_refused_with_an_error(start: Start) -> None:
    app = start()
    bodies: list[Any] = [
        None,
        [],
        {},
        {"events": []},
        {"events": "x"},
        {"events": {}},
        "events",
        {"events": [event(USER, STARTUP)] * 201},
    ]
    for body in bodies:
        assert refused(app, body)["code"] == "malformed_body", body


def test_what_came_instead_of_events_is_told_in_the_words_of_the_caller(start: Start) -> None:
    for sent, kind, got in OTHERWISE:
        answer = start().test_client().post("/api/events", data=sent, content_type=kind)
        error = answer.get_json()["error"]
        assert (answer.status_code, error["code"], error["got"]) == (400, "malformed_body", got)
        assert error["expected"] == 'JSON {"events": [...]} with 1 to 200 events'


def test_an_invalid_event_is_named(start: Start) -> None:
    app = start()
    nothings: list[Any] = [None, 7, "click", []]
    for one in nothings:
        assert refused(app, {"events": [one]})["expected"].startswith("events[0].event: an object with event_id")
    missing = event(USER, STARTUP)
    del missing["startup_id"]
    assert refused(app, {"events": [missing]})["expected"].startswith("events[0].startup_id: ")


def test_an_instant_a_little_ahead_is_a_clock_that_runs_ahead(start: Start) -> None:
    post(start(), event(USER, STARTUP, at=later(minutes=4)))


def test_an_id_counts_once_however_often_it_is_sent(
    start: Start, settings: Settings, client: redis.Redis, keys: Keys
) -> None:
    app, again = start(), event(USER, STARTUP)
    post(app, again, again)
    assert drain_events(settings)["new"] == 1
    post(app, again)
    done = drain_events(settings)
    assert (done["drained"], done["new"], client.xlen(keys.events)) == (1, 0, 0)
    assert "matchbook_events_drained_total 3.0" in app.test_client().get("/metrics").text


def test_a_stopped_drain_is_reported_and_nothing_is_lost(
    start: Start, settings: Settings, client: redis.Redis, keys: Keys
) -> None:
    app = start(settings.layered({"events_waiting_most": 3}, "given"))
    post(app, event(USER, STARTUP), event(USER, STARTUP))
    two = {"events": [event(USER, STARTUP), event(USER, str(UUID(int=3)))]}
    answer = app.test_client().post("/api/events", json=two)
    error = answer.get_json()["error"]
    assert (answer.status_code, error["code"], answer.headers["Retry-After"]) == (503, "events_full", "60")
    assert "same event ids" in error["hint"]
    assert client.xlen(keys.events) == 2
    assert client.hlen(keys.since(Entity.USER, USER)) == 1  # a refused event hides nothing
    post(app, event(USER, STARTUP))
    drain_events(settings)
    post(app, event(USER, STARTUP), event(USER, STARTUP))


@pytest.mark.parametrize("failure", ["down", "frozen"])
def test_with_redis_gone_the_events_are_not_taken_and_may_be_sent_again(
    start: Start, wires: Wires, settings: Settings, failure: str
) -> None:
    app, sent = start(wires.settings), event(USER, STARTUP)
    if failure == "down":
        wires.redis.down()
    wires.redis.frozen = failure == "frozen"
    answer = app.test_client().post("/api/events", json={"events": [sent]})
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (503, "events_not_taken")
    assert int(answer.headers["Retry-After"]) > 0
    assert "the same event ids may come any number of times" in answer.get_json()["error"]["hint"]
    if failure == "down":
        wires.redis.up()
    wires.redis.frozen = False
    answer.status_code = 503
    while answer.status_code == 503:  # the pause after a failure
        answer = app.test_client().post("/api/events", json={"events": [sent]})
    assert answer.status_code == 202
    assert drain_events(settings)["new"] == 1


def test_a_full_redis_takes_no_events_and_still_hands_out_lists(
    start: Start, publish: Publish, person: Person, client: redis.Redis, keys: Keys
) -> None:
    publish()
    app, owner = start(), person(Role.DEVELOPER, 4)
    whole = ids(ask_list(app, SURFACE, owner))
    before = client.config_get("maxmemory")["maxmemory"] or 0
    client.config_set("maxmemory", 1)
    try:
        error = refused(app, {"events": [event(owner, whole[0])]}, status=503)
        body = ask_list(app, SURFACE, owner)
    finally:
        client.config_set("maxmemory", before)
    assert (error["code"], client.xlen(keys.events)) == ("events_not_taken", 0)
    assert (ids(body), body["source"], body["degraded"]) == (whole, "cache", False)
