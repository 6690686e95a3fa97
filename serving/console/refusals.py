"""Turn errors into pages where a person asked for a page."""

from __future__ import annotations

from flask import Response, make_response, render_template, request

from serving.http.callers import PAGES


def wants_page() -> bool:
    """Return whether the request is for a page, or by a browser for an unknown path."""
    if request.url_rule is not None:
        return request.blueprint == PAGES
    return not request.path.startswith("/api/") and "text/html" in request.headers.get("Accept", "")


def error_page(status: int, expected: str, got: str, hint: str) -> Response:
    """Render an error."""
    return make_response(render_template("error.html", status=status, expected=expected, got=got, hint=hint), status)
