"""Turn errors into pages where a person asked for a page."""

from __future__ import annotations

from flask import Response, make_response, render_template, request
from werkzeug.exceptions import HTTPException

from serving.http.callers import PAGES

TITLES = {
    400: "Something in the address or form is not right",
    403: "This is not allowed",
    404: "There is no such page",
    429: "Too many requests",
    500: "The console has a fault",
    503: "This cannot be shown now",
}
HINT = "The address may be mistyped, or from an older version. The links above lead to every page."


def wants_page() -> bool:
    """Return whether the request is for a page, or by a browser for an unknown path."""
    if request.url_rule is not None:
        return request.blueprint == PAGES
    return not request.path.startswith("/api/") and "text/html" in request.headers.get("Accept", "")


def error_page(status: int, expected: str, got: str, hint: str) -> Response:
    """Render an error. expected: empty if the address alone is wrong."""
    title = TITLES.get(status, "This did not work")
    told = {"title": title, "expected": expected, "got": got, "hint": hint}
    return make_response(render_template("error.html", **told), status)


def unknown_page(error: HTTPException) -> Response:
    """Render what werkzeug or `abort` refused: most often an address without a page."""
    own = error.description if error.description != type(error).description else None
    return error_page(error.code or 500, "", f"{request.method} {request.path}"[:200], own or HINT)
