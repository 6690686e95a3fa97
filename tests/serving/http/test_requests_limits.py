"""Refuse large requests with a clear error before any work."""

from __future__ import annotations

import http.client
import uuid
from typing import Any

import pytest
from flask import Flask

from models.schema import Surface
from tests.serving.conftest import Publish, Served, Start

AT = f"/api/recommendations/{Surface.STARTUPS_FOR_DEVELOPER}"


@pytest.fixture
def app(start: Start, publish: Publish) -> Flask:
    publish()
    return start()


def refused(app: Flask, path: str, **options: Any) -> tuple[int, str]:
    answer = app.test_client().open(path, **options)
    error = answer.get_json()["error"]
    assert list(error) == ["code", "expected", "got", "hint"]
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.status_code, error["code"]


def test_a_long_body_is_413_on_any_route(app: Flask) -> None:
    body = b"x" * 65_537
    for method, path in (("POST", f"{AT}/many"), ("GET", f"{AT}/popular"), ("GET", "/health/live")):
        assert refused(app, path, method=method, data=body) == (413, "body_too_large")


def test_a_long_body_of_unknown_length_is_413_too(served: Served, publish: Publish) -> None:
    publish()
    connection = http.client.HTTPConnection("127.0.0.1", served(), timeout=10)
    connection.request(
        "POST",
        f"{AT}/many",
        body=iter([b"x" * 30_000] * 3),
        encode_chunked=True,
        headers={"Transfer-Encoding": "chunked", "Content-Type": "application/json"},
    )
    answer = connection.getresponse()
    assert answer.status == 413, answer.read()
    assert b"body_too_large" in answer.read()
    connection.close()


def test_a_long_address_is_414_and_two_hundred_excluded_ids_are_not_long(app: Flask, served: Served) -> None:
    ids = ",".join(str(uuid.uuid4()) for _ in range(200))
    assert app.test_client().get(f"{AT}/popular?exclude={ids}").status_code == 200
    assert refused(app, f"{AT}/popular?exclude={ids}&category={'x' * 600}") == (414, "url_too_long")
    connection = http.client.HTTPConnection("127.0.0.1", served(), timeout=10)
    for query, status in (
        (f"exclude={ids}", 200),
        (f"category={'x' * 8_000}", 414),
        (f"category={'x' * 20_000}", 414),
        (f"category={'x' * 80_000}", 431),
    ):
        connection.request("GET", f"{AT}/popular?{query}")
        answer = connection.getresponse()
        assert (answer.status, b"Traceback" in answer.read()) == (status, False)
        connection.close()


def test_many_query_values_are_400(app: Flask) -> None:
    assert app.test_client().get(f"{AT}/popular?" + "&".join(["stage=seed"] * 50)).status_code == 200
    assert refused(app, f"{AT}/popular?" + "&".join(["stage=seed"] * 51)) == (400, "too_many_values")
    assert refused(app, f"{AT}/popular?" + "&".join(["nothing=0"] * 51)) == (400, "too_many_values")
