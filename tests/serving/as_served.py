"""Answer with a Flask app as in production, hit path first, for tests that use Flask's client."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from serving.http.hits import Hits, Reply
from serving.http.requests import ASKED
from serving.lists import Asked


class Headers:
    """The headers of an RSGI scope."""

    def __init__(self, environ: WSGIEnvironment) -> None:
        found = {k[5:].replace("_", "-").lower(): v for k, v in environ.items() if k.startswith("HTTP_")}
        length = environ.get("CONTENT_LENGTH", "")
        self._found = found | ({"content-length": length} if length not in ("", "0") else {})

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._found

    def get_all(self, name: str) -> list[str]:
        return [self._found[name.lower()]] if name in self else []


class Scope:
    """The RSGI scope of a WSGI request."""

    def __init__(self, environ: WSGIEnvironment) -> None:
        self.method, self.query_string = environ["REQUEST_METHOD"], environ.get("QUERY_STRING", "")
        self.headers = Headers(environ)


#: The event loop of all readers of the tests, in its own thread.
_LOOP = asyncio.new_event_loop()
threading.Thread(target=_LOOP.run_forever, name="event-loop", daemon=True).start()


def by_hits(hits: Hits, environ: WSGIEnvironment) -> Reply | Asked | None:
    """Return the answer of the hit path to a WSGI request."""
    asked = hits.answer(Scope(environ), environ["PATH_INFO"])
    return asyncio.run_coroutine_threadsafe(asked, _LOOP).result(timeout=60)


def as_served(app: WSGIApplication, hits: Hits) -> WSGIApplication:
    def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        reply: Any = by_hits(hits, environ)
        if isinstance(reply, tuple):
            status, headers, data = reply
            start(f"{status} {HTTPStatus(status).phrase.upper()}", headers)
            return [data]
        if reply is not None:
            environ[ASKED] = reply
        return app(environ, start)

    answer.flask = app  # type: ignore[attr-defined]
    return answer
