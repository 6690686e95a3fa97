"""The error codes of the API are declared once, with the status under which they are sent."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from flask import Flask

from models import errors
from models.errors import RequestError
from serving.http.codes import CODES
from tests.paths import ROOT
from tests.serving.conftest import Start

#: Pages show no code. These two modules of the console answer in JSON.
PAGES, JSON = ROOT / "serving" / "console", ("json_routes.py", "insight.py")


def raised() -> Iterator[tuple[int, str]]:
    """Yield status and code of every error that the source text raises."""
    files = [p for p in (ROOT / "serving").rglob("*.py") if p.parent != PAGES or p.name in JSON]
    for tree in map(ast.parse, (p.read_text() for p in files)):
        for call in (n for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)):
            name = ast.unparse(call.func)
            kind = getattr(errors, name, None)
            given: list[Any] = [a.value if isinstance(a, ast.Constant) else None for a in call.args]
            if isinstance(kind, type) and issubclass(kind, RequestError) and given[0]:
                yield kind.status, str(given[0])
            elif name == "_error" and isinstance(given[0], int):
                yield given[0], str(given[1])
            elif name == "number" and given[1]:
                yield 400, f"malformed_{given[1]}"
    for made in (errors.TooManyRequests(1, 1), errors.TooManyEvents("", "", 1)):
        yield made.status, made.code


def test_every_code_is_declared_and_every_declared_code_is_raised() -> None:
    assert set(raised()) == {(status, code) for status, codes in CODES.items() for code in codes}


def test_a_code_without_a_meaning_shares_that_of_the_next() -> None:
    assert all(list(codes.values())[-1] for codes in CODES.values())


def asked(app: Flask, method: str, path: str) -> tuple[int, dict[str, str], str | None]:
    answer = app.test_client().open(path, method=method)
    return answer.status_code, answer.get_json()["error"], answer.headers.get("Allow")


def test_another_method_is_told_the_methods_of_the_route(start: Start) -> None:
    app = start()
    many = "/api/recommendations/startups/for-developer/many"
    for method, path, allowed in (("GET", "/api/events", ["OPTIONS", "POST"]), ("PUT", many, ["GET", "HEAD", "POST"])):
        status, error, header = asked(app, method, path)
        assert (status, error["code"], error["got"]) == (405, "method_not_allowed", f"{method} {path}")
        assert all(m in error["expected"] and m in str(header) for m in allowed)


def test_an_unknown_path_has_a_hint_of_its_own(start: Start) -> None:
    status, error, _ = asked(start(), "GET", "/api/nothing")
    assert (status, error["code"]) == (404, "not_found")
    assert error["hint"] == "check the path; it lists every route"
