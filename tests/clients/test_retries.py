"""Both clients repeat what got no answer or "not now", with the same bodies, and give up as they say."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.conftest import Post, Scripted, Step

EVENT = {"event_id": "once", "user_id": "u", "startup_id": "s", "type": "click"}
TAKEN: Step = (202, {"Content-Type": "application/json"}, '{"accepted": 1}')
FULL = json.dumps({"error": {"code": "events_full", "expected": "room", "got": "none", "hint": "again"}})
Script = Callable[..., Scripted]


def test_events_are_sent_again_with_their_ids_until_they_are_taken(scripted: Script, post: Post) -> None:
    """A dropped connection may be after the reader took the events: the same id counts once."""
    later: list[Step] = [(429, {"Retry-After": "0"}, FULL), (503, {"Retry-After": "0"}, FULL), None]
    reader = scripted(*later, TAKEN)
    assert post(reader.address, [EVENT]) == {"accepted": 1}
    assert reader.bodies == [{"events": [EVENT]}] * 4


def test_a_longer_pause_than_the_client_waits_is_an_error_at_once(scripted: Script, post: Post) -> None:
    reader = scripted((429, {"Retry-After": "3600"}, FULL))
    assert post(reader.address, [EVENT]) == {"status": 429, "code": "events_full", "retry_after_s": 3600}
    assert len(reader.bodies) == 1


@pytest.mark.parametrize("status", [400, 401, 413, 500])
def test_other_refusals_are_not_repeated(scripted: Script, post: Post, status: int) -> None:
    reader = scripted((status, {}, FULL))
    assert post(reader.address, [EVENT])["code"] == "events_full"
    assert len(reader.bodies) == 1


@pytest.mark.parametrize("body", ["<html>gone</html>", "", '{"error": "text"}', "[]"])
def test_an_answer_that_is_not_the_readers_says_so(scripted: Script, post: Post, body: str) -> None:
    reader = scripted((502, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, body))
    found = post(reader.address, [EVENT], retries=1)
    assert found == {"status": 502, "code": "http_502", "retry_after_s": None} and len(reader.bodies) == 2


def test_the_key_does_not_follow_a_redirect(scripted: Script, post: Post) -> None:
    other = scripted(TAKEN)
    reader = scripted((307, {"Location": other.address}, ""))
    assert post(reader.address, [EVENT])["code"] == "http_307"
    assert other.bodies == []


def test_nobody_there(post: Post) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    found: dict[str, Any] = post(address, [EVENT], retries=1)
    assert found == {"status": None, "code": "no_answer", "retry_after_s": None}
