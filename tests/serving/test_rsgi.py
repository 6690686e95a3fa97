"""Slow clients do not block others: real sockets and a real reader process."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from urllib.request import Request, urlopen

import pytest

from benchmarks.serving.slow_clients import KINDS, Crowd
from models.schema import Role, Surface
from serving.console.streamed import REST_FOLLOWS
from tests.serving.conftest import Person, Publish, Running, Served

AT = f"/api/recommendations/{Surface.STARTUPS_FOR_DEVELOPER}"
CLIENTS = 200  # far more than the threads of both processes


@pytest.fixture
def port(publish: Publish, served: Served) -> int:
    publish()
    return served(MATCHBOOK_READER_THREADS="2")


def test_answers_come_while_slow_clients_hold_their_connections(port: int, person: Person) -> None:
    owner = person(Role.DEVELOPER, 4)
    asked = Request(f"http://127.0.0.1:{port}{AT}/{owner}")
    posted = Request(
        f"http://127.0.0.1:{port}{AT}/many",
        data=json.dumps({"ids": [owner]}).encode(),
        headers={"Content-Type": "application/json"},
    )
    for kinds in ({kind: sent} for kind, sent in KINDS.items()):
        answered(port, kinds, asked, posted)
    answered(port, KINDS, asked, posted)


def answered(port: int, kinds: Mapping[str, bytes], asked: Request, posted: Request) -> None:
    """Check that requests are answered while clients of these kinds hold their connections."""
    with Crowd(port, CLIENTS, kinds):
        for _ in range(5):
            with urlopen(asked, timeout=60) as said:
                assert json.load(said)["source"] == "cache", f"beside {list(kinds)}"
            with urlopen(posted, timeout=60) as said:
                assert len(json.load(said)["lists"]) == 1, f"beside {list(kinds)}"


def test_a_client_that_does_not_send_is_disconnected(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as half:
        half.sendall(b"GET / HTTP/1.1\r\nHo")
        assert half.recv(1) == b"", "headers have a time-out"
    with socket.create_connection(("127.0.0.1", port), timeout=60) as slow:
        slow.sendall(b"POST /api/events HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        said = _all(slow)
    assert said.startswith(b"HTTP/1.1 408 ")
    assert json.loads(said.partition(b"\r\n\r\n")[2])["error"]["code"] == "body_too_slow"


def test_a_running_request_is_answered_when_the_reader_is_stopped(
    publish: Publish, served: Served, running: Running
) -> None:
    publish()
    port = served()
    body = json.dumps({"ids": ["3f2b8c1e-9d4a-4c57-8e21-0b6f5d9a7c10"]}).encode()
    head = f"POST {AT}/many HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    with socket.create_connection(("127.0.0.1", port), timeout=60) as wire:
        wire.sendall(head.encode() + b"\r\n\r\n" + body[:5])
        time.sleep(0.5)  # by then the server has read it
        running[port].terminate()
        wire.sendall(body[5:])
        assert _all(wire).startswith(b"HTTP/1.1 200 ")


def test_a_page_of_a_person_comes_in_two_parts_and_a_client_may_leave_between(port: int, person: Person) -> None:
    path = f"/people/{person(Role.DEVELOPER, 4)}"
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    for _ in range(4):  # more than the threads of a process
        with socket.create_connection(("127.0.0.1", port), timeout=60) as wire:
            wire.sendall(head)
            wire.recv(1)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as wire:
        wire.sendall(head)
        with wire.makefile("rb") as said:
            headers = b"".join(iter(said.readline, b"\r\n")).lower()
            parts = [said.read(int(size, 16) + 2) for size in iter(said.readline, b"0\r\n")]
    assert headers.startswith(b"http/1.1 200 ") and b"transfer-encoding: chunked" in headers
    assert b"content-security-policy" in headers and b"cache-control: no-store" in headers
    assert parts[0].rstrip().endswith(REST_FOLLOWS.encode()) and b'id="profile"' in parts[0]
    assert b"".join(parts).rstrip().endswith(b"</html>") and b"What the models say" not in parts[0]
    with urlopen(Request(f"http://127.0.0.1:{port}{path}", method="HEAD"), timeout=60) as answer:
        assert answer.status == 200 and answer.read() == b""


def _all(wire: socket.socket) -> bytes:
    """Read until the answer is complete or the connection is closed."""
    said = b""
    while more := wire.recv(65536):
        said += more
        head, there, body = said.partition(b"\r\n\r\n")
        if there and len(body) >= int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]):
            break
    return said
