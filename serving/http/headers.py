"""What every answer says besides its body: whether it may be kept, and what a browser must not do with it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Flask, Response, request

from serving.lists import Answer

#: Whatever is shown is ours: no foreign or inline script or style, in nobody's frame; ids in addresses stay here.
SECURITY = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    (
        "Content-Security-Policy",
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    ),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
SHARED_S = 30  # popular and trending lists may be this old in a client's cache


def attach_headers(app: Flask) -> None:
    """On every answer of an app. What no route has said anything about is not to be kept."""
    inner = app.wsgi_app

    def with_security(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:
            return start_response(status, [*headers, *SECURITY], *error)  # a tenth of what Flask's own way costs

        return inner(environ, start)

    app.wsgi_app = with_security  # type: ignore[method-assign]

    @app.after_request
    def say_whether_to_keep(response: Response) -> Response:
        response.headers.setdefault("Cache-Control", "no-store")
        return response


def list_response(body: str, answer: Answer) -> Response:
    """The body of one list, with what a client may do with it; a 304 where the client has this very body.

    An owner's stored list may be kept but is asked for again each time: what was acted on must be gone at once. Live
    and degraded lists are not to be kept. The tag is a hash of the body, so whatever the body depends on (release,
    filters, paging, age, what was hidden) changes it.
    """
    data = body.encode()
    if answer.trouble or answer.source == "live":
        return Response(data, mimetype="application/json", headers=(("Cache-Control", "no-store"),))
    tag = hashlib.blake2b(data, digest_size=12).hexdigest()
    told = (
        ("Cache-Control", "private, no-cache" if answer.owner else f"private, max-age={SHARED_S}"),
        ("ETag", f'"{tag}"'),
    )
    if "HTTP_IF_NONE_MATCH" in request.environ and request.if_none_match.contains_weak(tag):
        return Response(status=304, headers=told)
    return Response(data, mimetype="application/json", headers=told)
