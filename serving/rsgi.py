"""Receive whole requests on granian's event loop (RSGI). Then a thread answers them with Flask.

A hit needs no thread (serving/http/hits.py). A client that sends or reads slowly holds a connection but no thread.
granian's own WSGI adapter reads the body on the thread, without a time-out.
"""

from __future__ import annotations

import asyncio
import io
import logging
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from wsgiref.types import WSGIApplication, WSGIEnvironment

from granian.rsgi import HTTPProtocol, ProtocolClosed, ProtocolError, Scope  # type: ignore[attr-defined]

from models.errors import BodyTooSlow
from serving.http.hits import Hits
from serving.http.requests import ASKED, BODY_MOST, BODY_S, REFUSED, STREAMED

log = logging.getLogger("matchbook.reader")

READ_MOST = (
    1024 * 1024
)  # bytes; a larger body is refused unread, a smaller one is read so that its sender gets the answer
_PLAIN = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}
_VERSIONS = {"1": "HTTP/1.0", "1.1": "HTTP/1.1"}
_FAILED = (
    b'{"error":{"code":"internal","expected":"an answer","got":"a defect of the reader",'
    b'"hint":"its log says more; please report it"}}'
)


class WholeRequests:
    """Runs a WSGI app behind RSGI with at most `threads` threads per process. hits: answers without the app."""

    def __init__(self, app: WSGIApplication, threads: int, hits: Hits | None = None) -> None:
        self._app, self._threads, self._hits = app, ThreadPoolExecutor(threads, "reader"), hits

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """Answer one request. A client that disconnected gets no answer."""
        path, reply = _path(scope), None
        if self._hits is not None:
            reply = await self._hits.answer(scope, path)
            if isinstance(reply, tuple):
                await asyncio.sleep(0)  # replies of one turn leave together and wake the sending thread once
                protocol.response_bytes(*reply)
                return
        environ = environ_of(scope, path)
        if reply is not None:
            environ[ASKED] = reply
        body = b""
        if "CONTENT_LENGTH" in environ or "HTTP_TRANSFER_ENCODING" in environ:
            try:
                async with asyncio.timeout(BODY_S):
                    body = await whole_body(environ, protocol)
            except TimeoutError:
                environ[REFUSED] = BodyTooSlow(
                    "body_too_slow",
                    f"the body within {BODY_S:.0f} s",
                    "a part of the body",
                    "send it faster, or in several requests",
                )
            except (ProtocolClosed, ProtocolError):  # the client stopped sending but may still read
                protocol.response_empty(400, [("Connection", "close")])
                return
        environ["wsgi.input"] = io.BytesIO(body)
        loop = asyncio.get_running_loop()
        sending = await loop.run_in_executor(self._threads, self._answer, environ, protocol, loop)
        if sending is not None:
            await asyncio.wrap_future(sending)

    def _answer(
        self, environ: WSGIEnvironment, protocol: HTTPProtocol, loop: asyncio.AbstractEventLoop
    ) -> Future[None] | None:
        """Send an answer whole. If its parts are sent one by one, return what sends them, which needs no thread."""
        started: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], _error: Any = None) -> Any:
            started[:] = int(status[:3]), headers

        try:
            result = self._app(environ, start)
            status, headers = started
            if STREAMED in environ and environ["REQUEST_METHOD"] == "GET":
                return _in_parts(result, status, headers, protocol, loop)
            data = joined(result)
        except Exception:
            log.exception("an answer failed outside the app")
            status, headers, data = 500, [("Content-Type", "application/json")], _FAILED
        if REFUSED in environ:
            headers = [*headers, ("Connection", "close")]
        protocol.response_bytes(status, headers, data)
        return None


def _in_parts(
    result: Iterable[bytes],
    status: int,
    headers: list[tuple[str, str]],
    protocol: HTTPProtocol,
    loop: asyncio.AbstractEventLoop,
) -> Future[None]:
    """Make the parts of an answer, which the event loop sends. An error ends the answer after the parts before it."""
    parts: asyncio.Queue[bytes] = asyncio.Queue()
    sending = asyncio.run_coroutine_threadsafe(_send(parts, status, headers, protocol), loop)
    try:
        for part in filter(None, closed_after(result)):
            loop.call_soon_threadsafe(parts.put_nowait, part)
    except Exception:
        log.exception("an answer failed after its first part")
    loop.call_soon_threadsafe(parts.put_nowait, b"")
    return sending


async def _send(
    parts: asyncio.Queue[bytes], status: int, headers: list[tuple[str, str]], protocol: HTTPProtocol
) -> None:
    """Send each part when it is there, until an empty one."""
    with suppress(ProtocolClosed, ProtocolError):  # the client has gone
        transport = protocol.response_stream(status, headers)
        while part := await parts.get():
            await transport.send_bytes(part)


def environ_of(scope: Scope, path: str) -> WSGIEnvironment:
    """Make the WSGI environ of a request (PEP 3333), without its body. path: from `_path`.

    It skips headers that are not printable ASCII, and names with an underscore, which could imitate another header.
    """
    host, _, port = scope.server.rpartition(":")
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": _bytes_of(scope.query_string),
        "SERVER_NAME": host,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": _VERSIONS.get(scope.http_version, "HTTP/1.1"),
        "REMOTE_ADDR": scope.client.rpartition(":")[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in _headers(scope):
        if name in _PLAIN:
            environ.setdefault(_PLAIN[name], value)
        elif "_" not in name:
            key = f"HTTP_{name.upper().replace('-', '_')}"
            environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ


def _path(scope: Scope) -> str:
    """Return the decoded path. An undecodable one becomes a path without a route."""
    try:
        path = scope.path
    except Exception:  # noqa: BLE001 - granian's private error type, for bytes that are not UTF-8
        path = "/\ufffd"
    return _bytes_of(path)


def _bytes_of(text: str) -> str:
    """Return the UTF-8 bytes decoded as Latin-1, the text form of PEP 3333."""
    return text if text.isascii() else text.encode().decode("latin-1")


def _headers(scope: Scope) -> Iterable[tuple[str, str]]:
    try:
        return scope.headers.items()
    except Exception:  # noqa: BLE001 - as above, for a value that is not printable ASCII
        return [
            (name, value)
            for name in scope.headers.keys()  # noqa: SIM118 - not a mapping
            if (value := scope.headers.get(name)) is not None
        ]


async def whole_body(environ: WSGIEnvironment, protocol: HTTPProtocol) -> bytes:
    """Read the body and set CONTENT_LENGTH. Of a body above BODY_MOST, read only enough to refuse it.

    Raises ProtocolError if the client disconnected.
    """
    if "HTTP_TRANSFER_ENCODING" not in environ:
        return bytes(await protocol()) if int(environ["CONTENT_LENGTH"]) <= READ_MOST else b""
    body, length = bytearray(), 0
    async for chunk in protocol:
        length += len(chunk)
        if length > READ_MOST:
            break
        if len(body) <= BODY_MOST:
            body += chunk
    del environ["HTTP_TRANSFER_ENCODING"]
    environ["CONTENT_LENGTH"] = str(length)
    return bytes(body)


def joined(result: Iterable[bytes]) -> bytes:
    """Return the whole answer of an app."""
    return b"".join(closed_after(result))


def closed_after(result: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the parts of an answer, then close it as PEP 3333 requires."""
    try:
        yield from result
    finally:
        close = getattr(result, "close", None)
        if close is not None:
            close()
