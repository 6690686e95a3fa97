"""How much a request may bring: what is larger is refused before anything is done with it."""

from __future__ import annotations

from flask import Flask, request

from models.errors import BodyTooLarge, RequestError, UrlTooLong

BODY_MOST = 64 * 1024
URL_MOST = 8_000  # room for 200 excluded ids
VALUES_MOST = 50
REFUSED = "matchbook.refused"  # in the environment: the RequestError of a request that did not come as a whole


def cap_requests(app: Flask) -> None:
    """Refuse large requests of an app: 413, 414 or 400."""
    app.config["MAX_CONTENT_LENGTH"] = BODY_MOST + 1  # werkzeug stops there without a word where no length is told
    app.before_request(_check)


def _check() -> None:
    given = request.environ
    if REFUSED in given:
        raise given[REFUSED]
    if given.get("CONTENT_LENGTH") and (request.content_length or 0) > BODY_MOST:
        raise _body_too_large(f"{request.content_length} bytes")
    if "HTTP_TRANSFER_ENCODING" in given and len(request.get_data()) > BODY_MOST:
        raise _body_too_large("more")
    length = len(given.get("PATH_INFO", "")) + len(given.get("QUERY_STRING", ""))
    if length > URL_MOST:
        raise UrlTooLong(
            "url_too_long",
            f"an address of at most {URL_MOST} characters",
            f"{length} characters",
            "exclude fewer ids, or page with offset",
        )
    if given.get("QUERY_STRING") and (values := sum(1 for _ in request.args.items(multi=True))) > VALUES_MOST:
        raise RequestError(
            "too_many_values",
            f"at most {VALUES_MOST} query values",
            f"{values} values",
            "put excluded ids into one value, with commas between; leave out what means nothing here",
        )


def _body_too_large(got: str) -> BodyTooLarge:
    return BodyTooLarge("body_too_large", f"a body of at most {BODY_MOST} bytes", got, "split the request into several")
