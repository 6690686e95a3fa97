"""The reader as granian calls it: the event loop takes a request in whole, then a thread answers it.

A client that is slow to send holds a connection and no thread. A client that is slow to read holds none either: the
server has the whole answer. granian's own way to call a WSGI app reads the body on the thread, without a time-out.
"""

from __future__ import annotations

import asyncio
import io
import logging
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from wsgiref.types import WSGIApplication, WSGIEnvironment

from granian.rsgi import HTTPProtocol, ProtocolClosed, ProtocolError, Scope  # type: ignore[attr-defined]

from models.errors import BodyTooSlow
from serving.http.requests import BODY_MOST, REFUSED

log = logging.getLogger("matchbook.reader")

BODY_S = 8.0  # so long a client may take to send a body
READ_MOST = 1024 * 1024  # a larger body is refused unread; up to here it is read, as else its sender misses the answer
_PLAIN = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}
_VERSIONS = {"1": "HTTP/1.0", "1.1": "HTTP/1.1"}
_FAILED = (
    b'{"error":{"code":"internal","expected":"an answer","got":"a defect of the reader",'
    b'"hint":"its log says more; please report it"}}'
)


class WholeRequests:
    """A WSGI app behind granian's RSGI, answered by at most `threads` threads of a process."""

    def __init__(self, app: WSGIApplication, threads: int) -> None:
        self._app, self._threads = app, ThreadPoolExecutor(threads, "reader")

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """Answer one request. Nothing is answered to a client that went away."""
        environ = environ_of(scope)
        body = b""
        if "CONTENT_LENGTH" in environ or "HTTP_TRANSFER_ENCODING" in environ:
            try:
                async with asyncio.timeout(BODY_S):
                    body = await whole_body(environ, protocol)
            except TimeoutError:
                environ[REFUSED] = BodyTooSlow(
                    "body_too_slow",
                    f"the body within {BODY_S:.0f} s",
                    "a part of it",
                    "send it at once, or in several requests",
                )
            except (ProtocolClosed, ProtocolError):  # the client sends no more; it may still read
                protocol.response_empty(400, [("Connection", "close")])
                return
        environ["wsgi.input"] = io.BytesIO(body)
        await asyncio.get_running_loop().run_in_executor(self._threads, self._answer, environ, protocol)

    def _answer(self, environ: WSGIEnvironment, protocol: HTTPProtocol) -> None:
        told: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], _error: Any = None) -> Any:
            told[:] = int(status[:3]), headers

        try:
            data = joined(self._app(environ, start))
            status, headers = told
        except Exception:
            log.exception("an answer failed outside the app")
            status, headers, data = 500, [("Content-Type", "application/json")], _FAILED
        if REFUSED in environ:
            headers = [*headers, ("Connection", "close")]
        protocol.response_bytes(status, headers, data)


def environ_of(scope: Scope) -> WSGIEnvironment:
    """The environment of a request as PEP 3333 has it, without its body.

    Left out: headers that are no printable ASCII, and names with an underscore, which could pass for another header.
    """
    path, (host, _, port) = _path(scope), scope.server.rpartition(":")
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
    """Decoded; an undecodable one becomes one that no route has."""
    try:
        path = scope.path
    except Exception:  # noqa: BLE001 - granian's own error, of no public type, for bytes that are no UTF-8
        path = "/\ufffd"
    return _bytes_of(path)


def _bytes_of(text: str) -> str:
    """Its UTF-8 bytes as Latin-1, as PEP 3333 has text."""
    return text if text.isascii() else text.encode().decode("latin-1")


def _headers(scope: Scope) -> Iterable[tuple[str, str]]:
    try:
        return scope.headers.items()
    except Exception:  # noqa: BLE001 - as above, for a value that is no printable ASCII
        return [
            (name, value)
            for name in scope.headers.keys()  # noqa: SIM118 - it is no mapping
            if (value := scope.headers.get(name)) is not None
        ]


async def whole_body(environ: WSGIEnvironment, protocol: HTTPProtocol) -> bytes:
    """The body, and its length in CONTENT_LENGTH; of a larger one than BODY_MOST only enough to be refused.

    Raises ProtocolError where the client went away."""
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
    """All that an app answers, closed as PEP 3333 asks."""
    try:
        return b"".join(result)
    finally:
        close = getattr(result, "close", None)
        if close is not None:
            close()
