"""Make `/openapi.json`, the OpenAPI document of this API, from the constants of the code.

The packages in clients/ are generated from it: `make clients`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from models import registry
from models.data.event import POSITION_MOST
from models.schema import (
    FILTERS,
    INTERACTION_TYPES,
    LIST_KINDS,
    Entity,
    EventType,
    ListKind,
    Method,
    Similar,
    Surface,
)
from models.sentences import MOST
from models.spec import Stage
from serving.because import SIMILAR_OF
from serving.http.because import ROWS_DEFAULT, ROWS_MOST
from serving.http.callers import HEADER, NEEDS
from serving.http.events import EVENTS_MOST
from serving.http.requests import BODY_MOST, EXCLUDE_MOST, LIMIT_DEFAULT, LIMIT_MOST, OFFSET_MOST, OWNERS_MOST, URL_MOST
from serving.http.routes import PREFIX

#: Tags of operations. The packages in clients/ have lists and events, whose requests may all be repeated.
LISTS, EVENTS, OPERATIONS, PAGE = "lists", "events", "operations", "page"
TAGS = {
    LISTS: "Ranked lists, which your backend shows",
    EVENTS: "What people did, which your backend sends",
    OPERATIONS: "Health, metrics and this document",
    PAGE: "Questions behind the console; they may change in any version",
}
UUID_PATTERN = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
EXAMPLE_ID = "3f2b8c1e-9d4a-4c57-8e21-0b6f5d9a7c10"
Schema = dict[str, Any]
#: Makes the paths of the JSON about lists from the owner parameter of each surface and a function that describes one.
PagePaths = Callable[[Mapping[Surface, Schema], Callable[..., Schema]], Schema]


def document(page_paths: PagePaths, asks_for_keys: bool = True) -> Schema:
    """Make the OpenAPI 3.1 document of a reader with or without API keys."""
    tagged = {
        LISTS: {
            **{path: said for kind in LIST_KINDS for path, said in _list_paths(kind).items()},
            **{path: said for surface in Surface for path, said in _surface_paths(surface).items()},
        },
        EVENTS: {"/api/events": {"post": _taking()}},
        OPERATIONS: _other_paths(),
        PAGE: page_paths({s: _owner(s) for s in Surface}, _asked),
    }
    for tag, found in tagged.items():
        for path, method, operation in operations({"paths": found}):
            operation |= {"tags": [tag], "operationId": _operation_id(path, method)}
            if not asks_for_keys:
                operation["security"] = []
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Matchbook reader",
            "version": "1",
            "description": "Ranked lists of startups for users and of users for startups, stored or computed live.",
        },
        "tags": [{"name": tag, "description": about} for tag, about in TAGS.items()],
        "paths": {path: said for found in tagged.values() for path, said in found.items()},
        "components": {
            "schemas": _schemas(),
            "parameters": _parameters(),
            "responses": _responses(),
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": HEADER}},
        },
    }


def operations(described: Mapping[str, Any]) -> Iterator[tuple[str, str, Schema]]:
    """Yield path, method and description of each operation of a document."""
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _operation_id(path: str, method: str) -> str:
    """Return `startups_for_developer_popular`, `post_events`: the words of a path without its prefix and parameters.

    What is asked by POST but only reads has no verb.
    """
    words = re.sub(r"/\{\w+\}|\W+", " ", path.removeprefix(PREFIX).removeprefix("/api")).replace("_", " ").split()
    verb = [method] if method != "get" and not path.startswith(PREFIX) else []
    return "_".join([*verb, *(words or ["page"])])


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
    """Describe what every kind of list has."""
    at, schema = f"{PREFIX}/{kind}", _list_name(kind)
    query, owner = _query_parameters(), _owner(kind)
    ids, many = _ref("schemas", "OwnerIds"), _ref("schemas", f"{schema}s")
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
        "schema": _id(),
    }


def _other_paths() -> Schema:
    health = {"description": "what is up and what is down", "content": _json(_ref("schemas", "Health"))}
    ready = {"description": "whether lists can be served", "content": _json(_ref("schemas", "Ready"))}
    live = {"type": "object", "required": ["live"], "properties": {"live": {"const": True}}}
    return {
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
    return {
        "summary": "Store events, each event id once",
        "security": _needs("events"),
        "requestBody": {"required": True, "content": _json(_ref("schemas", "Events"))},
        "responses": {
            "202": {"description": "all were taken", "content": _json(_ref("schemas", "Accepted"))},
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
    text = {"type": "string"}
    lists = {_list_name(kind): _list_schema(kind) for kind in LIST_KINDS}
    rows = {_list_name(s): _list_name(SIMILAR_OF[s.item]) for s in Surface}
    return {
        "Method": {"enum": [m.value for m in Method], "description": "what made a list"},
        "Source": {"enum": [s.name for s in registry.sources()], "description": "what proposed an item"},
        "EventType": {"enum": [k.value for k in EventType]},
        "Item": _item(),
        **lists,
        **{f"{name}s": _lists_schema(name) for name in lists},
        **{f"{name}{part}": said for name in rows for part, said in _rows_schemas(name, rows[name]).items()},
        "OwnerIds": _sent("ids", OWNERS_MOST, _id()),
        "Event": _event(),
        "Events": _sent("events", EVENTS_MOST, _ref("schemas", "Event")),
        "Accepted": _closed({"accepted": {"type": "integer", "minimum": 1}}),
        "ErrorDetail": _closed(dict.fromkeys(("code", "expected", "got", "hint"), text)),
        "Error": _closed({"error": _ref("schemas", "ErrorDetail")}),
        "Ready": {
            "type": "object",
            "required": ["ready", "release"],
            "properties": {"ready": {"type": "boolean"}, "release": {"type": ["string", "null"]}},
        },
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


def _item() -> Schema:
    item = _closed(
        {
            "id": {"type": "string", "format": "uuid"},
            "score": _score(),
            "reasons": {
                "type": "array",
                "maxItems": MOST,
                "items": {"type": "string"},
                "description": "sentences, the most specific first",
            },
            "sources": {"type": "array", "items": _ref("schemas", "Source")},
        }
    )
    return item | {
        "examples": [
            {
                "id": EXAMPLE_ID,
                "score": 0.96,
                "reasons": ["you showed interest in nine education startups", "new on the platform"],
                "sources": [s.name for s in registry.sources()][:2],
            }
        ]
    }


def _sent(name: str, most: int, of: Schema) -> Schema:
    """Describe a body with one list."""
    several = {"type": "array", "minItems": 1, "maxItems": most, "items": of}
    return {"type": "object", "required": [name], "properties": {name: several}}


def _event() -> Schema:
    return {
        "type": "object",
        "required": ["event_id", "user_id", "startup_id", "type"],
        "additionalProperties": False,
        "properties": {
            "event_id": {
                "type": "string",
                "pattern": "^[!-~]{1,128}$",
                "description": "your choice; an id counts once, so the same events may be sent again",
            },
            "user_id": _id(),
            "startup_id": _id(),
            "type": _ref("schemas", "EventType"),
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
        "examples": [{"event_id": "1", "user_id": EXAMPLE_ID, "startup_id": EXAMPLE_ID, "type": EventType.CLICK.value}],
    }


def _rows_schemas(name: str, similar: str) -> dict[str, Schema]:
    """Return the schemas of one row, and of all rows. Then the names of the schemas of a list and of a row's list."""
    row = _closed(
        {
            "id": {"type": "string", "format": "uuid"},
            "type": {"enum": [t.value for t in INTERACTION_TYPES if (t.weight or 0) > 0]},
            "at": {"type": "string", "format": "date-time"},
            "list": _ref("schemas", similar),
        }
    )
    rows = _closed(
        {
            "because": {"type": "array", "maxItems": ROWS_MOST, "items": _ref("schemas", f"{name}Row")},
            "release": {"type": "string"},
            "degraded": {"type": "boolean"},
            "reason": {"type": ["string", "null"]},
        }
    )
    return {"Row": row, "Rows": rows}


def _list_schema(kind: ListKind) -> Schema:
    """Describe the lists of one kind, and of the others that share its name."""
    text, number, flag = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
    method, maybe = _ref("schemas", "Method"), {"type": ["string", "null"]}
    return _closed(
        {
            f"{kind.item}s": {"type": "array", "maxItems": LIMIT_MOST, "items": _ref("schemas", "Item")},
            "scores": {"type": "object", "additionalProperties": _score(), "description": "of the items, by id"},
            "surface": {"enum": [k.value for k in LIST_KINDS if _list_name(k) == _list_name(kind)]},
            "method_used": method,
            "route": method,
            "model_version": text,
            "interaction_count": number,
            "reranked": flag,
            "ranker": {"enum": [*(spec.kind for spec in registry.staged(Stage.RANKER)), None]},
            "ranker_version": maybe,
            "generated_at": {"type": "string", "format": "date-time"},
            "release": text | {"description": "of the whole answer"},
            "source": {"enum": ["cache", "live"]},
            "stale": flag | {"description": "the release is old"},
            "degraded": flag | {"description": "a server or model failed; this is the best available list"},
            "known": flag | {"description": "whether the platform knows the owner"},
            "total": number | {"description": "ranks after filtering, before paging"},
            "short": flag | {"description": "fewer ranks than asked for; `reason` says why"},
            "reason": maybe,
            "answer_id": maybe | {"description": "send it back with the events that follow from this answer"},
            "experiment": maybe,
            "arm": maybe,
        }
    )


def _lists_schema(name: str) -> Schema:
    by_owner = {"type": "object", "additionalProperties": _ref("schemas", name), "description": "by the owner's id"}
    return _closed({"lists": by_owner})


def _parameters() -> Schema:
    def query(name: str, schema: Schema, about: str) -> Schema:
        return {"name": name, "in": "query", "required": False, "schema": schema, "description": about}

    several = {"type": "array", "items": {"type": "string"}}
    return {
        "limit": query("limit", _whole(1, LIMIT_MOST, LIMIT_DEFAULT), "places wanted"),
        "offset": query("offset", _whole(0, OFFSET_MOST, 0), "places to skip"),
        "rows": query("rows", _whole(1, ROWS_MOST, ROWS_DEFAULT), "items that the owner engaged with"),
        **{f: query(f, several, f"only items of this {f}, in any case; repeat it to allow several") for f in FILTERS},
        "exclude": query(
            "exclude",
            {"type": "array", "maxItems": EXCLUDE_MOST, "items": _id()},
            f"up to {EXCLUDE_MOST} ids to leave out, separated by commas",
        )
        | {"style": "form", "explode": False},
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
    name = "StartupList" if kind.item is Entity.STARTUP else "UserList"
    return f"Similar{name}" if isinstance(kind, Similar) else name


def _closed(properties: Schema) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties, "additionalProperties": False}


def _id() -> Schema:
    return {"type": "string", "pattern": UUID_PATTERN}


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
