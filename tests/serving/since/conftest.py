"""What the tests of posted events and filters share: asking, posting, waiting."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from flask import Flask

from models.schema import Surface
from tests.serving.conftest import Body, ask
from tests.waiting import until


def ask_list(app: Flask, surface: Surface, tail: str, **query: Any) -> Body:
    """A list of 100 places, unless asked otherwise."""
    return ask(app, tail, {"limit": 100} | query, surface)


def ids(body: Body) -> list[str]:
    return [i["id"] for i in body.get("startups") or body.get("users") or ()]


def event(user: str, startup: str, kind: str = "click", **more: Any) -> Body:
    return {"event_id": str(uuid.uuid4()), "user_id": user, "startup_id": startup, "type": kind, **more}


def post(app: Flask, *events: Body) -> None:
    answer = app.test_client().post("/api/events", json={"events": events})
    assert (answer.status_code, answer.get_json()) == (202, {"accepted": len(events)}), answer.text


def within_a_second(true: Callable[[], bool]) -> None:
    """The watcher looks once a second: more than two mean that it does not."""
    until(true, 2.5)
