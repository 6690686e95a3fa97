"""Check ids, query parameters, bodies and sizes of requests. Malformed input raises RequestError."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Flask, Request, Response, request
from werkzeug.datastructures import MultiDict
from werkzeug.http import parse_etags

from models.data.entities import is_id
from models.errors import BodyTooLarge, RequestError, UrlTooLong
from models.schema import FILTERS
from models.words import folded
from serving.lists import Answer

LIMIT_DEFAULT, LIMIT_MOST = 10, 100
OFFSET_MOST = 10_000
EXCLUDE_MOST = 200
OWNERS_MOST = 100
DEEP_MOST = 8  # levels of a JSON body; no valid body has more than three
_NUMBER = re.compile(r"[0-9]{1,6}")


@dataclass(frozen=True)
class Query:
    """The places of a list that a request wants. facets: accepted values by facet, case-folded; one must match."""

    limit: int = LIMIT_DEFAULT
    offset: int = 0
    facets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    exclude: frozenset[str] = frozenset()

    @property
    def filtered(self) -> bool:
        """Return whether the query removes places of the stored list."""
        return bool(self.facets or self.exclude)


def read_query(given: MultiDict[str, str]) -> Query:
    """Read the query parameters of a request. Raises RequestError. Unknown parameters are ignored."""
    if not given:
        return Query()
    facets = {f: tuple(v for v in map(folded, given.getlist(f)) if v) for f in FILTERS if f in given}
    return Query(
        number(given, "limit", LIMIT_DEFAULT, 1, LIMIT_MOST),
        number(given, "offset", 0, 0, OFFSET_MOST),
        {f: values for f, values in facets.items() if values},
        _exclude(given.get("exclude", "")),
    )


@lru_cache(maxsize=1024)
def query_of(text: str) -> Query:
    """Read the query string of a request outside Flask. Raises RequestError as with Flask."""
    if not text:
        return Query()
    given = Request({"QUERY_STRING": text}).args
    _check_values(given)
    return read_query(given)


def sent(name: str, most: int) -> list[Any]:
    """Return the values of a JSON body `{name: [...]}`, 1 to `most`. Raises RequestError."""
    got, hint = _sent_otherwise(), f"send {_TYPE} and a body in JSON"
    if not got:
        try:
            body = read_json(request.get_data())
        except ValueError as error:
            got = f"a body that is not valid JSON: {error}"
        else:
            values = body.get(name) if isinstance(body, dict) else None
            if isinstance(values, list) and 1 <= len(values) <= most:
                return values
            got = f"{len(values)} {name}" if isinstance(values, list) else _described(body, name)
            hint = f"send the {name} in one list, and split longer lists over several requests"
    raise RequestError("malformed_body", f'JSON {{"{name}": [...]}} with 1 to {most} {name}', got, hint)


_TYPE = "Content-Type: application/json"


def _sent_otherwise() -> str:
    """Return what came instead of a body that says that it is JSON; empty if one came."""
    if not request.get_data():
        return "an empty body"
    return "" if request.is_json else f"Content-Type {request.content_type}" if request.content_type else f"no {_TYPE}"


def _described(body: Any, name: str) -> str:
    """Describe a JSON body that has no list of this name."""
    if isinstance(body, dict) and name in body:
        return f"{name} that is {_WORDS.get(type(body[name]), 'a number')}"
    return f"an object without {name}" if isinstance(body, dict) else _WORDS.get(type(body), "a number")


_WORDS = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}


def read_json(text: bytes) -> Any:
    """Decode a JSON value. Raises ValueError if it is invalid, has NaN, or more than DEEP_MOST levels."""
    try:
        found = json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at line {error.lineno}, column {error.colno}") from error
    except UnicodeDecodeError as error:
        raise ValueError("it is not UTF-8") from error
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    level = [found]
    for _ in range(DEEP_MOST):
        level = [
            inner
            for value in level
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
    if level:
        raise ValueError(_TOO_DEEP)
    return found


_TOO_DEEP = f"it has more than {DEEP_MOST} levels"


def _refuse(constant: str) -> None:
    raise ValueError(f"it has {constant}")


def read_id(text: str, what: str = "id") -> str:
    """Return a UUID in canonical form, in lower case. Raises RequestError."""
    if not is_id(text):
        raise RequestError(
            "malformed_id",
            f"{what}: a UUID such as 3f2b8c1e-9d4a-4c57-8e21-0b6f5d9a7c10",
            text,
            "send the platform's id of the user or startup, with its four dashes",
        )
    return text.lower()


def read_owners() -> list[str]:
    """Return the ids of `POST …/many`, in order, without duplicates. Raises RequestError."""
    found = [
        read_id(i if isinstance(i, str) else json.dumps(i), f"ids[{n}]") for n, i in enumerate(sent("ids", OWNERS_MOST))
    ]
    return list(dict.fromkeys(found))


def number(given: MultiDict[str, str], name: str, default: int, low: int, high: int) -> int:
    text = given.get(name)
    if text is None:
        return default
    if not _NUMBER.fullmatch(text) or not low <= int(text) <= high:
        raise RequestError(
            f"malformed_{name}", f"{name}: a whole number from {low} to {high}", text, f"leave it out for {default}"
        )
    return int(text)


def one_of(given: Mapping[str, str], name: str, known: Collection[str]) -> str:
    """Return a query parameter that has few values; empty without one. Raises RequestError."""
    text = given.get(name, "").strip()
    if text and text not in known:
        expected = f"{name}: one of {', '.join(known)}" if known else f"no {name}"
        raise RequestError(f"malformed_{name}", expected, text[:80], "choose one, or leave it out")
    return text


def _exclude(text: str) -> frozenset[str]:
    ids = [part.strip() for part in text.split(",") if part.strip()]
    if len(ids) > EXCLUDE_MOST:
        raise RequestError(
            "malformed_exclude",
            f"exclude: at most {EXCLUDE_MOST} ids",
            f"{len(ids)} ids",
            "use offset instead of excluding shown items",
        )
    return frozenset(read_id(i, "exclude") for i in ids)


#: No foreign or inline script or style, no framing by other sites, no ids of addresses in Referer headers to others.
#: With "no-referrer" browsers would send no origin with our own forms either.
SECURITY = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    (
        "Content-Security-Policy",
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    ),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
SHARED_S = 30  # seconds for which a client may cache popular and trending lists


def attach_headers(app: Flask) -> None:
    """Add the security headers to every answer of an app, and `no-store` if a route sets no Cache-Control."""
    inner = app.wsgi_app

    def with_security(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:
            return start_response(status, [*headers, *SECURITY], *error)  # a tenth of the cost of Flask's hook

        return inner(environ, start)

    app.wsgi_app = with_security  # type: ignore[method-assign]

    @app.after_request
    def say_whether_to_keep(response: Response) -> Response:
        response.headers.setdefault("Cache-Control", "no-store")
        return response


def list_response(body: str, answer: Answer) -> Response:
    status, headers, data = list_reply(body, answer, request.environ.get("HTTP_IF_NONE_MATCH"))
    return Response(data, status, headers)


def list_reply(body: str, answer: Answer, held_by_client: str | None) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return status, headers and data for the body of one list. A 304 if the client holds the same body.

    held_by_client: the header If-None-Match. The ETag is a checksum of the body. A client may keep a stored list but
    must revalidate it, because items must vanish once the owner acts on them. It must not keep live and degraded lists.
    """
    data = body.encode()
    if answer.trouble or answer.source == "live":
        return 200, [("Cache-Control", "no-store"), _JSON], data
    tag = f"{zlib.crc32(data):08x}{len(data):x}"
    kept = ("Cache-Control", "private, no-cache" if answer.owner else f"private, max-age={SHARED_S}")
    headers = [kept, ("ETag", f'"{tag}"')]
    if held_by_client is not None and parse_etags(held_by_client).contains_weak(tag):
        return 304, headers, b""
    return 200, [*headers, _JSON], data


_JSON = ("Content-Type", "application/json")


BODY_MOST = 64 * 1024
BODY_S = 8.0  # seconds for a client to send a body
URL_MOST = 8_000  # bytes, enough for 200 excluded ids
VALUES_MOST = 50
#: Keys of the environ: the RequestError of an incomplete request, the answer of Redis (`Asked`), and that the parts of
#: an answer are sent one by one.
REFUSED, ASKED, STREAMED = "matchbook.refused", "matchbook.asked", "matchbook.streamed"


def cap_requests(app: Flask) -> None:
    """Refuse large requests of an app with status 413, 414 or 400."""
    app.config["MAX_CONTENT_LENGTH"] = BODY_MOST + 1  # without a stated length, werkzeug stops there silently
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
            f"a URL of at most {URL_MOST} characters",
            f"{length} characters",
            "exclude fewer ids, or use offset",
        )
    if given.get("QUERY_STRING"):
        _check_values(request.args)


def _check_values(given: MultiDict[str, str]) -> None:
    if (values := sum(1 for _ in given.items(multi=True))) > VALUES_MOST:
        raise RequestError(
            "too_many_values",
            f"at most {VALUES_MOST} query values",
            f"{values} values",
            "put excluded ids into one value, separated by commas; leave out unknown parameters",
        )


def _body_too_large(got: str) -> BodyTooLarge:
    return BodyTooLarge("body_too_large", f"a body of at most {BODY_MOST} bytes", got, "split the request into several")
