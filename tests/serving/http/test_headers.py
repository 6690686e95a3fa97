"""Send headers for caching, ETag and browser security."""

from __future__ import annotations

import json
import urllib.request
import uuid
from collections.abc import Callable

import pytest
import redis
from flask import Flask
from werkzeug.test import TestResponse

from models.lists.redis_format import Keys
from models.schema import Role, Surface
from models.settings.settings import Settings
from tests.serving.conftest import Execute, Person, Publish, Start

AT = f"/api/recommendations/{Surface.STARTUPS_FOR_DEVELOPER}"


def get(app: Flask, path: str, tag: str = "") -> TestResponse:
    return app.test_client().get(path, headers={"If-None-Match": tag} if tag else {})


def test_an_unchanged_body_is_not_sent_again(start: Start, publish: Publish, person: Person) -> None:
    publish()
    app, path = start(), f"{AT}/{person(Role.DEVELOPER, 4)}"
    first = get(app, path)
    tag = first.headers["ETag"]
    assert get(app, path).headers["ETag"] == tag
    for said in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = get(app, path, said)
        assert (again.status_code, again.data) == (304, b"")
        assert (again.headers["ETag"], again.headers["Cache-Control"]) == (tag, "private, no-cache")
        assert "Content-Type" not in again.headers
    assert get(app, path, '"other"').data == first.data


def test_a_tag_changes_with_whatever_changes_the_body(start: Start, publish: Publish, person: Person) -> None:
    publish()
    app, path = start(), f"{AT}/{person(Role.DEVELOPER, 4)}"
    paths = [path, f"{path}?limit=5", f"{path}?offset=1", f"{path}?category=games", f"{AT}/{person(Role.DEVELOPER, 9)}"]
    tags = [get(app, p).headers["ETag"] for p in paths]
    assert len(set(tags)) == len(tags)
    publish(day=11)
    app.extensions["matchbook"].releases.follow()
    assert get(app, path, tags[0]).status_code == 200


def test_an_owners_list_is_revalidated_and_shared_lists_may_be_cached_30_s(
    start: Start, publish: Publish, person: Person
) -> None:
    publish()
    app = start()
    assert get(app, f"{AT}/{person(Role.DEVELOPER, 4)}").headers["Cache-Control"] == "private, no-cache"
    for tail in ("popular", "trending"):
        answer = get(app, f"{AT}/{tail}")
        assert answer.headers["Cache-Control"] == "private, max-age=30"
        assert get(app, f"{AT}/{tail}", answer.headers["ETag"]).status_code == 304


def test_live_and_degraded_lists_are_not_to_be_kept(
    start: Start, publish: Publish, rows: str, execute: Execute, settings: Settings, person: Person
) -> None:
    release, newcomer = publish(), str(uuid.uuid4())
    execute("INSERT INTO users (id, role, interests) VALUES (%s, 'developer', 'games')", newcomer)
    app = start()
    with redis.Redis.from_url(settings.redis_url.reveal()) as client:
        client.delete(Keys(settings.namespace).lists(release, Surface.STARTUPS_FOR_DEVELOPER))
    live, degraded = get(app, f"{AT}/{newcomer}", "*"), get(app, f"{AT}/{person(Role.DEVELOPER, 4)}", "*")
    assert (live.get_json()["source"], degraded.get_json()["degraded"]) == ("live", True)
    for answer in (live, degraded):
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "no-store"
        assert "ETag" not in answer.headers


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/health", 200),
        ("/health/live", 200),
        ("/health/ready", 200),
        ("/metrics", 200),
        ("/openapi.json", 200),
        (f"{AT}/popular", 200),
        (f"{AT}/42", 400),
        ("/nowhere", 404),
        ("/", 200),
        ("/lists", 200),
        ("/sign-in", 303),
    ],
)
def test_every_answer_has_security_headers(start: Start, publish: Publish, rows: str, path: str, status: int) -> None:
    publish()
    answer = get(start(), path)
    assert answer.status_code == status
    policy = dict(rule.strip().partition(" ")[::2] for rule in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["object-src"] == policy["base-uri"] == "'none'"
    assert not any("unsafe" in value or "*" in value for value in policy.values())
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert len(answer.headers.getlist("Cache-Control")) == 1
    if path != f"{AT}/popular":
        assert answer.headers["Cache-Control"] == "no-store"


def test_several_lists_at_once_are_not_to_be_kept(start: Start, publish: Publish, person: Person) -> None:
    publish()
    answer = start().test_client().post(f"{AT}/many", json={"ids": [person(Role.DEVELOPER, 4)]})
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_server_does_not_tell_its_version(publish: Publish, served: Callable[..., int]) -> None:
    publish()
    with urllib.request.urlopen(f"http://127.0.0.1:{served()}{AT}/popular", timeout=10) as answer:
        assert answer.headers["Server"] == "granian"
        assert json.load(answer)["startups"]
