"""Make `/openapi.json`, the OpenAPI document of this API, from the constants of the code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from models import registry
from models.data.event import POSITION_MOST
from models.schema import FILTERS, INTERACTION_TYPES, LIST_KINDS, Entity, EventType, ListKind, Method, Surface
from models.sentences import MOST
from models.spec import Stage
from serving.http.because import ROWS_DEFAULT, ROWS_MOST
from serving.http.callers import HEADER, NEEDS
from serving.http.events import EVENTS_MOST
from serving.http.requests import BODY_MOST, EXCLUDE_MOST, LIMIT_DEFAULT, LIMIT_MOST, OFFSET_MOST, OWNERS_MOST, URL_MOST
from serving.http.routes import PREFIX

UUID_PATTERN = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
Schema = dict[str, Any]
#: Makes the paths of the JSON about lists from the owner parameter of each surface and a function that describes one.
PagePaths = Callable[[Mapping[Surface, Schema], Callable[..., Schema]], Schema]


def document(page_paths: PagePaths, asks_for_keys: bool = True) -> Schema:
    """Make the OpenAPI 3.1 document of a reader with or without API keys."""
    paths: Schema = {}
    for kind in LIST_KINDS:
        paths |= _list_paths(kind)
    for surface in Surface:
        paths |= _surface_paths(surface)
    paths |= _other_paths() | page_paths({s: _owner(s) for s in Surface}, _asked)
    if not asks_for_keys:
        for operation in (o for path in paths.values() for o in path.values()):
            operation["security"] = []
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Matchbook reader",
            "version": "1",
            "description": "Ranked lists of startups for users and of users for startups, stored or computed live.",
        },
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "parameters": _parameters(),
            "responses": _responses(),
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": HEADER}},
        },
    }


def _surface_paths(surface: Surface) -> Schema:
    """Describe what only surfaces have."""
    at, schema = f"{PREFIX}/{surface}", _list_name(surface)
    query, rows = _query_parameters(), _ref("parameters", "rows")
    name = f"{schema}Rows"
    return {
        f"{at}/popular": _get("popular", f"{surface}: the popular list, the same for everyone", schema, query),
        f"{at}/trending": _get("trending", f"{surface}: the trending list, the same for everyone", schema, query),
        f"{at}/{{owner}}/because": _asked(
            "because",
            f"{surface}: what is similar to the items that an owner engaged with last",
            _ref("schemas", name),
            [_owner(surface), rows, *query],
        ),
    }


def _query_parameters() -> list[Schema]:
    return [_ref("parameters", p) for p in ("limit", "offset", *FILTERS, "exclude")]


def _list_paths(kind: ListKind) -> Schema:
    at, schema = f"{PREFIX}/{kind}", _list_name(kind)
    query, owner = _query_parameters(), _owner(kind)
    ids = {
        "type": "object",
        "required": ["ids"],
        "properties": {
            "ids": {
                "type": "array",
                "minItems": 1,
                "maxItems": OWNERS_MOST,
                "items": {"type": "string", "pattern": UUID_PATTERN},
            }
        },
    }
    many = {
        "type": "object",
        "required": ["lists"],
        "additionalProperties": False,
        "properties": {"lists": {"type": "object", "additionalProperties": _ref("schemas", schema)}},
    }
    return {
        f"{at}/{{owner}}": _get("one", f"{kind}: the list of one {kind.owner}", schema, [owner, *query]),
        f"{at}/many": {
            "post": {
                "summary": f"{kind}: the lists of several owners, all of one release",
                "parameters": query,
                "requestBody": {"required": True, "content": _json(ids)},
                "security": _needs("many"),
                "responses": {"200": {"description": "lists by owner id", "content": _json(many)}} | _ERRORS,
            }
        },
    }


def _owner(kind: ListKind) -> Schema:
    return {
        "name": "owner",
        "in": "path",
        "required": True,
        "description": f"id of the {kind.owner}",
        "schema": {"type": "string", "pattern": UUID_PATTERN},
    }


def _other_paths() -> Schema:
    health = {"description": "what is up and what is down", "content": _json(_ref("schemas", "Health"))}
    ready = {
        "description": "whether lists can be served",
        "content": _json(
            {
                "type": "object",
                "required": ["ready", "release"],
                "properties": {"ready": {"type": "boolean"}, "release": {"type": ["string", "null"]}},
            }
        ),
    }
    live = {"type": "object", "required": ["live"], "properties": {"live": {"const": True}}}
    return {
        "/api/events": {"post": _taking()},
        "/health": _plain("health", "The state of this process and its servers", {"200": health, "503": health}),
        "/health/live": _plain(
            "alive", "The process answers", {"200": {"description": "it does", "content": _json(live)}}
        ),
        "/health/ready": _plain("ready", "Lists can be served", {"200": ready, "503": ready}),
        "/metrics": _plain(
            "metrics",
            "Metrics for Prometheus",
            {"200": {"description": "text format", "content": {"text/plain": {"schema": {"type": "string"}}}}},
        ),
        "/openapi.json": _plain(
            "openapi", "This document", {"200": {"description": "OpenAPI 3.1", "content": _json({"type": "object"})}}
        ),
    }


def _taking() -> Schema:
    events = {
        "type": "object",
        "required": ["events"],
        "properties": {
            "events": {"type": "array", "minItems": 1, "maxItems": EVENTS_MOST, "items": _ref("schemas", "Event")}
        },
    }
    taken = _closed({"accepted": {"type": "integer", "minimum": 1}})
    return {
        "summary": "Store events, each event id once",
        "security": _needs("events"),
        "requestBody": {"required": True, "content": _json(events)},
        "responses": {
            "202": {"description": "all were taken", "content": _json(taken)},
            **_ERRORS,
            "503": _ref("responses", "NotTaken"),
        },
    }


def _get(endpoint: str, summary: str, schema: str, parameters: list[Schema]) -> Schema:
    tag = {
        "ETag": {
            "description": "hash of this body; absent if the list must not be cached",
            "schema": {"type": "string"},
        }
    }
    found = {"description": "a list", "content": _json(_ref("schemas", schema)), "headers": tag}
    return {
        "get": {
            "summary": summary,
            "parameters": [*parameters, _ref("parameters", "If-None-Match")],
            "security": _needs(endpoint),
            "responses": {"200": found, "304": {"description": "the body has not changed"}} | _ERRORS,
        }
    }


def _asked(endpoint: str, summary: str, schema: Schema, parameters: list[Schema]) -> Schema:
    found = {"description": "the answer", "content": _json(schema)}
    return {
        "get": {
            "summary": summary,
            "parameters": parameters,
            "security": _needs(endpoint),
            "responses": {"200": found} | _ERRORS,
        }
    }


def _plain(endpoint: str, summary: str, responses: Schema) -> Schema:
    """Describe an operation without parameters, with a key if the endpoint needs one."""
    security = _needs(endpoint)
    without = {*responses, "429", "503", *(() if security else _KEYS)}
    refused = {s: r for s, r in _ERRORS.items() if s not in without}
    return {"get": {"summary": summary, "security": security, "responses": responses | refused}}


def _needs(endpoint: str) -> list[Schema]:
    """Return the security requirement of an endpoint: a key with its scope, or none."""
    scope = NEEDS[endpoint]
    return [{"key": [scope.value]}] if scope else []


def _schemas() -> Schema:
    error = _closed({k: {"type": "string"} for k in ("code", "expected", "got", "hint")})
    return {
        "Item": _closed(
            {
                "id": {"type": "string", "format": "uuid"},
                "score": _score(),
                "reasons": {"type": "array", "maxItems": MOST, "items": {"type": "string"}},
                "sources": {"type": "array", "items": {"enum": [s.name for s in registry.sources()]}},
            }
        ),
        **{_list_name(s): _list_schema(s.item) for s in Surface},
        **{f"{_list_name(s)}Rows": _rows_schema(s) for s in Surface},
        "Event": _event(),
        "Error": _closed({"error": error}),
        "Health": {
            "type": "object",
            "required": ["status", "database_connected", "redis_connected", "release"],
            "properties": {
                "status": {"enum": ["healthy", "degraded", "unhealthy"]},
                "database_connected": {"type": "boolean"},
                "redis_connected": {"type": "boolean"},
                "release": {"type": ["string", "null"]},
                "troubles": {"type": "object"},
            },
        },
    }


def _event() -> Schema:
    uuid = {"type": "string", "pattern": UUID_PATTERN}
    return {
        "type": "object",
        "required": ["event_id", "user_id", "startup_id", "type"],
        "additionalProperties": False,
        "properties": {
            "event_id": {"type": "string", "pattern": "^[!-~]{1,128}$"},
            "user_id": uuid,
            "startup_id": uuid,
            "type": {"enum": [k.value for k in EventType]},
            "at": {
                "type": ["string", "null"],
                "format": "date-time",
                "description": "since 1970, not in the future by the clock of Redis; default: the time of receipt",
            },
            "answer_id": {
                "type": ["string", "null"],
                "pattern": "^[A-Za-z0-9_-]{30,240}$",
                "description": "the answer_id of the answer that showed the item",
            },
            "position": {
                "type": ["integer", "null"],
                "minimum": 1,
                "maximum": POSITION_MOST,
                "description": "the place in that list, from 1",
            },
        },
    }


def _rows_schema(surface: Surface) -> Schema:
    row = _closed(
        {
            "id": {"type": "string", "format": "uuid"},
            "type": {"enum": [t.value for t in INTERACTION_TYPES if (t.weight or 0) > 0]},
            "at": {"type": "string", "format": "date-time"},
            "list": _ref("schemas", _list_name(surface)),
        }
    )
    return _closed(
        {
            "because": {"type": "array", "maxItems": ROWS_MOST, "items": row},
            "release": {"type": "string"},
            "degraded": {"type": "boolean"},
            "reason": {"type": ["string", "null"]},
        }
    )


def _list_schema(item: Entity) -> Schema:
    text, number, flag = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
    method = {"enum": [m.value for m in Method]}
    return _closed(
        {
            f"{item}s": {"type": "array", "maxItems": LIMIT_MOST, "items": _ref("schemas", "Item")},
            "scores": {"type": "object", "additionalProperties": _score()},
            "method_used": method,
            "route": method,
            "model_version": text,
            "interaction_count": number,
            "reranked": flag,
            "ranker": {"enum": [*(spec.kind for spec in registry.staged(Stage.RANKER)), None]},
            "ranker_version": {"type": ["string", "null"]},
            "generated_at": {"type": "string", "format": "date-time"},
            "release": text,
            "source": {"enum": ["cache", "live"]},
            "stale": flag,
            "degraded": flag,
            "known": flag,
            "total": number,
            "short": flag,
            **{f: {"type": ["string", "null"]} for f in ("reason", "answer_id", "experiment", "arm")},
        }
    )


def _parameters() -> Schema:
    def query(name: str, schema: Schema, about: str) -> Schema:
        return {"name": name, "in": "query", "required": False, "schema": schema, "description": about}

    several = {"type": "array", "items": {"type": "string"}}
    return {
        "limit": query("limit", _whole(1, LIMIT_MOST, LIMIT_DEFAULT), "places wanted"),
        "offset": query("offset", _whole(0, OFFSET_MOST, 0), "places to skip"),
        "rows": query("rows", _whole(1, ROWS_MOST, ROWS_DEFAULT), "items that the owner engaged with"),
        **{f: query(f, several, f"only items of this {f}, in any case; repeat it to allow several") for f in FILTERS},
        "exclude": query("exclude", {"type": "string"}, f"up to {EXCLUDE_MOST} ids to leave out, separated by commas"),
        "If-None-Match": {
            "name": "If-None-Match",
            "in": "header",
            "required": False,
            "schema": {"type": "string"},
            "description": "the ETag of an earlier answer; the answer is 304 if nothing has changed",
        },
    }


def _responses() -> Schema:
    about = {
        "Malformed": "an id or a parameter is malformed, or there are too many values",
        "NotIdentified": "no API key, or an unknown, revoked or expired one",
        "NotAllowed": "the key lacks the scope, or may not post such events",
        "BodyTooLarge": f"the body is longer than {BODY_MOST} bytes",
        "UrlTooLong": f"the URL is longer than {URL_MOST} characters",
        "TooMany": "the caller has sent too many requests or events in this minute, or too many new pairs today",
        "NotTaken": "no event was taken; send the same request again",
        "Unavailable": "no release was ever published",
    }
    later = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}
    return {
        name: {"description": text, "content": _json(_ref("schemas", "Error"))}
        | ({"headers": later} if name in ("TooMany", "NotTaken") else {})
        for name, text in about.items()
    }


def _list_name(kind: ListKind) -> str:
    return "StartupList" if kind.item is Entity.STARTUP else "UserList"


def _closed(properties: Schema) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties, "additionalProperties": False}


def _score() -> Schema:
    return {"type": "number", "minimum": 0, "maximum": 1}


def _whole(low: int, high: int, default: int) -> Schema:
    return {"type": "integer", "minimum": low, "maximum": high, "default": default}


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _ref(kind: str, name: str) -> Schema:
    return {"$ref": f"#/components/{kind}/{name}"}


_KEYS = {"401": "NotIdentified", "403": "NotAllowed"}
_ERRORS: Schema = {
    status: _ref("responses", name)
    for status, name in (
        ("400", "Malformed"),
        *_KEYS.items(),
        ("413", "BodyTooLarge"),
        ("414", "UrlTooLong"),
        ("429", "TooMany"),
        ("503", "Unavailable"),
    )
}
