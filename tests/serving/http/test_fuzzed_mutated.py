"""Send malformed requests in process and over sockets: no internal error, one form of refusal."""

from __future__ import annotations

import gzip
import io
import json
import random
import socket
import uuid
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any
from urllib.parse import quote

from flask import Flask
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from benchmarks.faults.mutations import raw_requests
from benchmarks.faults.town import Client, get
from models.schema import Role, Surface
from serving.http.codes import CODES
from tests.serving.conftest import Publish, Start

AT = f"/api/recommendations/{Surface.STARTUPS_FOR_DEVELOPER}"
OWNER = "3f2b8c1e-9d4a-4c57-8e21-0b6f5d9a7c10"
EVENT = {"event_id": "e", "user_id": OWNER, "startup_id": OWNER, "type": "click", "at": "2024-05-01T00:00:00Z"}
PATHS = (
    f"{AT}/{OWNER}",
    f"{AT}/popular",
    f"{AT}/many",
    "/api/events",
    "/health/live",
    "/api/releases",
    "/",
    "/metrics",
    f"/api/explain/{AT[21:]}/{OWNER}",
    f"/api/find/{AT[21:]}/owners",
    f"/api/compare/{AT[21:]}/{OWNER}",
)
NAMES = ("limit", "offset", "category", "field", "type", "location", "stage", "exclude", "q", "item", "release", "x")
ODD = (
    "",
    "\0",
    "%00",
    "../../etc/passwd",
    "..%2f..%2f",
    "a\r\nSet-Cookie: x=1",
    "\ud800",
    "\uff19",
    "1e9",
    "-1",
    "NaN",
    "9" * 5000,
    "'; DROP TABLE users; --",
    "<script>",
    "\u202e",
    "é",
    "%",
    "%zz",
    "%ff",
    "{}",
    "[]",
    OWNER,
    OWNER.upper(),
)
EVENTS = json.dumps({"events": [EVENT]})
BODIES = (
    b"",
    b"{",
    b"null",
    b"\xff\xfe",
    b"[" * 60_000,
    b'{"a":' * 12_000,
    b'{"ids":' + b"[" * 900 + b"]" * 900 + b"}",
    b'{"events":[' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"]}",
    b'{"events":[{"event_id":' + b"[" * 900 + b"]" * 900 + b"}]}",
    b'{"ids":[NaN]}',
    b'{"ids":[1e400]}',
    b'{"ids":' + b"9" * 5000 + b"}",
    b'{"ids":["\\ud800"]}',
    b'{"events":[{"event_id":"\\ud800","\\ud800":1}]}',
    b'{"events":[{"event_id":"\\u0000"}]}',
    b'{"ids":[],"ids":["x"]}',
    EVENTS.encode("utf-16"),
    b"\xef\xbb\xbf" + EVENTS.encode(),
    gzip.compress(EVENTS.encode()),
    EVENTS.encode(),
    json.dumps({"ids": [OWNER]}).encode(),
    EVENTS.replace("2024", "99999").encode(),
    EVENTS.replace("05-01", "13-01").encode(),
)
KINDS = (
    "application/json",
    "application/json; charset=utf-7",
    "text/plain",
    "multipart/form-data; boundary=x",
    "",
    "/",
    "application/x-www-form-urlencoded",
    "\xff",
    "application/json" * 50,
)
METHODS = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "TRACE", "CONNECT", "PURGE", "get", "\xff", "A" * 300)


def values(like: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Generate JSON of nearly the right form, with random values in fields."""
    leaf = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(ODD)
    any_value = st.recursive(
        leaf, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=9), v, max_size=3), max_leaves=6
    )
    return st.fixed_dictionaries({k: st.just(v) | any_value for k, v in like.items()}, optional={"odd": any_value})


TEXT = st.sampled_from(ODD) | st.text(max_size=30)
BODY = (
    st.sampled_from(BODIES)
    | st.binary(max_size=60)
    | st.one_of(
        values({"ids": [OWNER]}), values({"events": [EVENT]}), values(EVENT).map(lambda e: {"events": [e]})
    ).map(lambda v: json.dumps(v).encode())
)


def asked(
    app: Flask, method: str, path: str, query: str, body: bytes, kind: str, headers: dict[str, str]
) -> tuple[int, bytes]:
    """Return the answer that a WSGI server would get."""
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "x",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "CONTENT_TYPE": kind,
        **headers,
    }
    if body:
        environ["CONTENT_LENGTH"] = str(len(body))
    said: list[int] = []

    def begin(status: str, *_: object) -> Callable[[bytes], object]:
        said.append(int(status[:3]))
        return bytes  # the reader never calls this

    answer = b"".join(app.wsgi_app(environ, begin))
    return said[0], answer


def check(status: int, body: bytes, whole: bool = True) -> None:
    assert 200 <= status < 500, (status, body[:500])
    if status >= 400 and (whole or body):
        error = json.loads(body)["error"]
        assert list(error) == ["code", "expected", "got", "hint"]
        assert error["code"] in CODES[status]


def test_no_malformed_request_is_an_internal_error(start: Start, publish: Publish, rows: str) -> None:
    publish()
    app = start()

    @effort(max_examples=600, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.sampled_from(METHODS),
        st.sampled_from(PATHS) | TEXT.map(lambda t: f"/{t}") | TEXT.map(lambda t: f"{AT}/{t}"),
        st.lists(st.tuples(st.sampled_from(NAMES) | TEXT, TEXT), max_size=3),
        BODY,
        st.sampled_from(KINDS),
        st.dictionaries(
            st.sampled_from(
                (
                    "HTTP_IF_NONE_MATCH",
                    "HTTP_X_API_KEY",
                    "HTTP_HOST",
                    "HTTP_ACCEPT",
                    "HTTP_CONTENT_ENCODING",
                    "HTTP_COOKIE",
                    "HTTP_RANGE",
                    "HTTP_EXPECT",
                )
            ),
            st.sampled_from((*ODD[1:], '"' * 50, "gzip", "W/", "*", ",,,", "bytes=0-")),
            max_size=2,
        ),
    )
    def one(
        method: str, path: str, query: list[tuple[str, str]], body: bytes, kind: str, headers: dict[str, str]
    ) -> None:
        spelt = "&".join(f"{quote(n, errors='surrogatepass')}={quote(v, errors='surrogatepass')}" for n, v in query)
        bytes_of = path.encode("utf-8", "surrogatepass").decode("latin-1")
        told = {n: v.encode("utf-8", "surrogatepass").decode("latin-1") for n, v in headers.items()}
        status, answer = asked(app, method, bytes_of, spelt, body, kind, told)
        check(status, answer, whole=method != "HEAD")

    one()


def test_no_malformed_body_is_an_internal_error(start: Start, publish: Publish) -> None:
    publish()
    app = start()
    for path in (f"{AT}/many", "/api/events"):
        for body in BODIES:
            check(*asked(app, "POST", path, "", body, "application/json", {}))


def test_no_bytes_on_a_socket_are_an_internal_error(
    publish: Publish, served: Callable[..., int], person: Callable[[Role, int], str]
) -> None:
    publish()
    port = served()
    client, rng = Client(port), random.Random(0)
    owners = [person(Role.DEVELOPER, part) for part in (0, 4, 9)] + [str(uuid.UUID(int=7))]
    with closing(client):
        for n, request in enumerate(raw_requests(rng, owners, 300)):
            status, body, _ = client.ask(request)
            assert status != -1, request[:300]
            if status:  # 0: the server closed the connection, because it could not parse the request
                check(status, body, whole=False)
            if n % 50 == 0:
                assert client.ask(get("/health/live"))[0] == 200


def test_refusals_of_the_server_are_no_internal_error(publish: Publish, served: Callable[..., int]) -> None:
    publish()
    port = served()

    def raw(sent: bytes, half_closed: bool = False) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as wire:
            wire.sendall(sent)
            if half_closed:
                wire.shutdown(socket.SHUT_WR)
            said = b""
            with suppress(ConnectionResetError):
                while more := wire.recv(65536):
                    said += more
        return said

    last = b"Host: x\r\nConnection: close\r\n"
    for sent in (
        b"\x16\x03\x01\x02\x00\x01",
        b"\0" * 100,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\n bad: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/events HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"GET / HTTP/1.1\r\n" + b"".join(b"A%d: b\r\n" % n for n in range(500)) + b"\r\n",
    ):
        said = raw(sent)
        assert not said or said[9:12] in (b"400", b"404", b"414", b"431", b"505"), (sent[:60], said[:200])
    cut_off = b"POST /api/events HTTP/1.1\r\n" + last + b"Content-Length: 50\r\n\r\n{"
    assert raw(cut_off, half_closed=True)[9:12] in (b"", b"400")
    two_ends = b"POST /health/live HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert b"HTTP/1.1 200" not in raw(two_ends + b"GET /nowhere HTTP/1.1\r\n" + last + b"\r\n")
    in_a_row = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\nGET /health/live HTTP/1.1\r\n" + last + b"\r\n"
    assert raw(in_a_row).count(b"HTTP/1.1 200") == 2
    assert b"HTTP/1.1 200" in raw(b"GET http://reader.example/health/live HTTP/1.1\r\n" + last + b"\r\n")
    assert raw(b"GET /health/live HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 200")
    head = raw(b"HEAD /health/live HTTP/1.1\r\n" + last + b"\r\n")
    assert head.startswith(b"HTTP/1.1 200") and head.endswith(b"\r\n\r\n") and b"content-length: 14" in head.lower()
    assert b"allow: " in raw(b"OPTIONS /api/events HTTP/1.1\r\n" + last + b"\r\n").lower()
    expecting = b"POST /api/events HTTP/1.1\r\n" + last + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}"
    assert raw(expecting).count(b"HTTP/1.1 ") == 2, "100 and the answer"
    for path in (b"/%ff", b"/\xff", b"/" + "é".encode(), b"/a?b=%ff", b"/a?\xff", b"*"):
        assert raw(b"GET " + path + b" HTTP/1.1\r\n" + last + b"\r\n")[9:12] in (b"400", b"404"), path
    odd = b"GET /health/live HTTP/1.1\r\n" + last + b"Content_Length: 7\r\nX: \xe9\r\nCookie: \xff\r\n\r\n"
    assert raw(odd).startswith(b"HTTP/1.1 200")
