"""Check API keys: permitted requests, answers to all others, new and revoked keys (L01, L02, L06)."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask, g
from werkzeug.test import TestResponse

from models.keys import ApiKey, Scope, encode_keys, new_key
from models.schema import Role, Surface
from models.settings.settings import Settings
from serving.http.callers import NEEDS, OPEN_PAGES, PAGES
from tests.paths import ROOT
from tests.serving.conftest import Person, Publish, Start

AT = f"/api/recommendations/{Surface.STARTUPS_FOR_DEVELOPER}"


@pytest.fixture
def asking(settings: Settings) -> Settings:
    return replace(settings, api_keys="on")


@pytest.fixture
def hold(settings: Settings) -> Callable[..., None]:
    def write(*keys: ApiKey, mode: int = 0o600) -> None:
        settings.home.mkdir(parents=True, exist_ok=True)
        aside = settings.api_keys_file.with_suffix(".aside")
        aside.write_text(encode_keys(keys))
        aside.chmod(mode)
        aside.rename(settings.api_keys_file)

    return write


def made(*scopes: Scope, until: datetime | None = None) -> tuple[ApiKey, str]:
    return new_key("backend", scopes, datetime.now(UTC), until)


def ask(app: Flask, path: str, key: str = "", method: str = "GET") -> TestResponse:
    return app.test_client().open(path, method=method, headers={"X-API-Key": key} if key else {})


def refused(answer: TestResponse, status: int) -> str:
    """Return the code of a refusal. Its body has the form of all errors."""
    assert answer.status_code == status, answer.text
    error = answer.get_json()["error"]
    assert list(error) == ["code", "expected", "got", "hint"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)
    return error["code"]


@pytest.mark.parametrize(
    ("chosen", "host", "asks"),
    [
        ("auto", "127.0.0.1", False),
        ("auto", "127.8.0.1", False),
        ("auto", "::1", False),
        ("auto", "[::1]", False),
        ("auto", "localhost", False),
        ("auto", "0.0.0.0", True),
        ("auto", "::", True),
        ("auto", "10.0.0.5", True),
        ("auto", "reader.example", True),
        ("on", "127.0.0.1", True),
        ("off", "0.0.0.0", False),
    ],
)
def test_keys_are_asked_for_where_the_reader_listens_beyond_loopback(chosen: str, host: str, asks: bool) -> None:
    assert replace(Settings(), api_keys=chosen, reader_host=host).asks_for_keys is asks


def test_without_keys_every_caller_is_open(start: Start, publish: Publish, caplog: pytest.LogCaptureFixture) -> None:
    publish()
    caplog.set_level(logging.INFO)
    app = start()
    assert ask(app, f"{AT}/popular").status_code == 200
    assert "caller=open" in caplog.text
    assert "API keys: off" in caplog.text


def test_every_endpoint_says_what_it_needs(start: Start) -> None:
    there = {r.endpoint.rpartition(".")[::2] for r in start().url_map.iter_rules()}
    assert {name for blueprint, name in there if blueprint != PAGES} <= set(NEEDS)
    assert {name for blueprint, name in there if blueprint == PAGES} >= OPEN_PAGES  # all other pages need admin


def test_without_a_key_only_probes_and_the_description_answer(
    start: Start, publish: Publish, asking: Settings, hold: Callable[..., None]
) -> None:
    publish()
    hold(made(Scope.READ)[0])
    app = start(asking)
    for path in ("/health/live", "/health/ready", "/openapi.json"):
        assert ask(app, path).status_code == 200
    for path in (
        f"{AT}/popular",
        f"{AT}/trending",
        f"{AT}/{uuid.uuid4()}",
        f"{AT}/nonsense",
        "/health",
        "/metrics",
        "/nowhere",
    ):
        assert refused(ask(app, path), 401) == "key_missing", path
    assert refused(ask(app, f"{AT}/many", method="POST"), 401) == "key_missing"
    assert refused(ask(app, f"{AT}/popular", method="DELETE"), 401) == "key_missing"


def test_a_key_allows_its_scopes(
    start: Start, publish: Publish, asking: Settings, person: Person, hold: Callable[..., None]
) -> None:
    publish()
    keys = {s: made(s) for s in Scope}
    hold(*(k for k, _ in keys.values()))
    app = start(asking)
    for path in (f"{AT}/{person(Role.DEVELOPER, 4)}", f"{AT}/popular", "/health", "/metrics"):
        assert ask(app, path, keys[Scope.READ][1]).status_code == 200
        assert ask(app, path, keys[Scope.ADMIN][1]).status_code == 200
        assert refused(ask(app, path, keys[Scope.EVENTS][1]), 403) == "scope_missing"
    assert refused(ask(app, "/nowhere", keys[Scope.EVENTS][1]), 404) == "not_found"


def test_events_need_their_scope_and_what_is_not_listed_needs_admin(
    start: Start, asking: Settings, hold: Callable[..., None]
) -> None:
    keys = {s: made(s) for s in Scope}
    hold(*(k for k, _ in keys.values()))
    app = start(asking)
    if not any(r.endpoint == "events" for r in app.url_map.iter_rules()):
        app.add_url_rule("/api/events", "events", lambda: g.caller, methods=["POST"])
    app.add_url_rule("/forgotten", "forgotten", lambda: g.caller)
    opened = {
        path: [s for s in Scope if ask(app, path, keys[s][1], method).status_code not in (401, 403)]
        for path, method in (("/api/events", "POST"), ("/forgotten", "GET"))
    }
    assert opened == {"/api/events": [Scope.EVENTS, Scope.ADMIN], "/forgotten": [Scope.ADMIN]}
    assert ask(app, "/forgotten", keys[Scope.ADMIN][1]).text == keys[Scope.ADMIN][0].id


def test_wrong_expired_and_revoked_keys_are_refused_and_never_repeated(
    start: Start, publish: Publish, asking: Settings, hold: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    publish()
    caplog.set_level(logging.DEBUG)
    good, revoked = made(Scope.READ), made(Scope.READ)
    expired = made(Scope.READ, until=datetime.now(UTC) - timedelta(seconds=1))
    hold(good[0], expired[0])
    app = start(asking)
    wrong = good[1][:-1] + ("A" if good[1][-1] != "A" else "B")
    for key, code in (
        (wrong, "key_unknown"),
        (revoked[1], "key_unknown"),
        ("x" * 5000, "key_unknown"),
        (expired[1], "key_expired"),
    ):
        answer = ask(app, f"{AT}/popular", key)
        assert refused(answer, 401) == code
        assert key not in answer.text and key not in caplog.text
    ask(app, f"{AT}/popular", good[1])
    assert f"caller={good[0].id}" in caplog.text and "caller=none" in caplog.text
    assert good[1] not in caplog.text


def test_keys_come_and_go_without_a_restart_and_without_redis(
    start: Start, publish: Publish, asking: Settings, hold: Callable[..., None]
) -> None:
    publish()
    app = start(asking)
    old, new = made(Scope.READ), made(Scope.READ)
    found = []
    app.extensions["matchbook"].cache.close()
    for breaker in app.extensions["matchbook"].cache.breakers.values():
        breaker.failed(OSError("gone"))
    for held in ((), (old[0],), (old[0], new[0]), (new[0],), ()):
        hold(*held)
        found.append([ask(app, f"{AT}/popular", key).status_code for _, key in (old, new)])
    assert found == [[401, 401], [200, 401], [200, 200], [401, 200], [401, 401]]


def test_without_a_file_the_reader_refuses_and_says_how_to_make_a_key(
    start: Start, publish: Publish, asking: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    publish()
    app = start(asking)
    answer = ask(app, f"{AT}/popular", made(Scope.READ)[1])
    assert refused(answer, 401) == "no_keys"
    assert "python -m pipelines keys add" in answer.get_json()["error"]["hint"]
    assert "nobody may ask" in caplog.text


@pytest.mark.parametrize("damage", ["broken", "readable by others"])
def test_a_file_that_cannot_be_trusted_is_not_taken_over(
    start: Start,
    publish: Publish,
    asking: Settings,
    hold: Callable[..., None],
    damage: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    publish()
    good, smuggled = made(Scope.READ), made(Scope.ADMIN)
    hold(good[0])
    app = start(asking)
    if damage == "broken":
        asking.api_keys_file.write_text("{")
    else:
        hold(smuggled[0], mode=0o644)
    assert [ask(app, f"{AT}/popular", k).status_code for k in (good[1], smuggled[1])] == [200, 401]
    assert "is not taken over" in caplog.text
    hold(smuggled[0])
    assert [ask(app, f"{AT}/popular", k).status_code for k in (good[1], smuggled[1])] == [401, 200]


def test_the_first_key_of_a_reader_that_listens_beyond_loopback(
    publish: Publish, served: Callable[..., int], settings: Settings
) -> None:
    """Without a key no request is permitted. One command makes a key for both processes, another revokes it."""
    publish()
    port = served(MATCHBOOK_READER_HOST="0.0.0.0")

    def status(key: str = "") -> int:
        asked = urllib.request.Request(f"http://127.0.0.1:{port}{AT}/popular", headers={"X-API-Key": key})
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def keys(*words: str) -> dict[str, str]:
        environment = os.environ | {"MATCHBOOK_HOME": str(settings.home)}
        done = subprocess.run(
            [sys.executable, "-m", "pipelines", "keys", *words],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)

    assert {status() for _ in range(8)} == {401}
    key = keys("add", "backend")
    assert {status(key["key"]) for _ in range(8)} == {200}
    assert status() == 401
    keys("revoke", key["id"])
    assert {status(key["key"]) for _ in range(8)} == {401}
