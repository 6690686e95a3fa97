"""The page's part of `/openapi.json`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from models.schema import Surface
from serving.page.routes import FILES, WORD_LEAST, WORD_MOST

Schema = dict[str, Any]
Operation = Callable[..., Schema]
_TEXT: Schema = {"type": "string"}
_PLACE: Schema = {"type": ["integer", "null"], "minimum": 1}


def paths(owner: Mapping[Surface, Schema], plain: Operation, asked: Operation) -> Schema:
    """The paths below `/api/find`, `/api/explain`, `/api/compare`, `/api/releases`, the page and its files.

    owner: the parameter that names an owner. plain, asked: describe an operation without and with an answer in JSON."""
    found: Schema = {
        rule: plain(
            "file",
            f"{name}, of the page for people",
            {"200": {"description": "the file", "content": {kind: {"schema": _TEXT}}}},
        )
        for name, (rule, kind) in FILES.items()
    }
    found["/api/releases"] = asked("releases", "The releases in Redis, the live one first", _releases(), [])
    for s in Surface:
        for side in ("owners", "items"):
            found[f"/api/find/{s}/{side}"] = asked(
                "find", f"{s}: {side} by a word of their name", _found(), [_query("q", _word_schema())]
            )
        item = _query("item", owner[s]["schema"], "why this item is or is not in the list", required=False)
        found[f"/api/explain/{s}/{{owner}}"] = asked(
            "explain", f"{s}: how a list comes about", {"type": "object"}, [owner[s], item]
        )
        found[f"/api/compare/{s}/{{owner}}"] = asked(
            "compare",
            f"{s}: the list of the live release beside another's",
            _compared(),
            [owner[s], _query("release", _TEXT)],
        )
    return found


def _query(name: str, schema: Schema, about: str = "", required: bool = True) -> Schema:
    return {"name": name, "in": "query", "required": required, "schema": schema, "description": about or name}


def _word_schema() -> Schema:
    return _TEXT | {"minLength": WORD_LEAST, "maxLength": WORD_MOST}


def _found() -> Schema:
    one = _closed({"id": _TEXT, "name": _TEXT, "role": {"type": ["string", "null"]}})
    return _closed({"found": {"type": "array", "items": one}})


def _releases() -> Schema:
    one = _closed(
        {
            "release": _TEXT,
            "as_of": _TEXT,
            "generated_at": _TEXT,
            "lists": {"type": "object"},
            "shares": {"type": "object"},
        }
    )
    labels = {"type": "object", "additionalProperties": _TEXT}
    return _closed({"live": _TEXT, "sources": labels, "releases": {"type": "array", "minItems": 1, "items": one}})


def _compared() -> Schema:
    one = _closed({"id": _TEXT, "name": _TEXT, "now": _PLACE, "then": _PLACE})
    return _closed(
        {
            "now": _TEXT,
            "then": _TEXT,
            "overlap_at_10": {"type": "integer", "minimum": 0, "maximum": 10},
            "items": {"type": "array", "items": one},
        }
    )


def _closed(properties: Schema) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties, "additionalProperties": False}
