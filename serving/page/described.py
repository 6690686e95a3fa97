"""The page's part of `/openapi.json`."""

from __future__ import annotations

from typing import Any

from models.nouns.vocabulary import Surface
from serving.page.routes import FILES, WORD_LEAST, WORD_MOST

Schema = dict[str, Any]
_TEXT: Schema = {"type": "string"}
_PLACE: Schema = {"type": ["integer", "null"], "minimum": 1}


def paths(owner: Schema, errors: Schema) -> Schema:
    """The paths below `/api/find`, `/api/explain`, `/api/compare`, `/api/releases`, the page and its files.

    owner: by surface, the parameter that names an owner. errors: what may be answered instead, by status."""
    found: Schema = {rule: {"get": _file(f"{name}, of the page for people", kind)}
                     for name, (rule, kind) in FILES.items()}
    found["/api/releases"] = {"get": _asked("The releases in Redis, the live one first", _releases(), [], errors)}
    for s in Surface:
        for side in ("owners", "items"):
            found[f"/api/find/{s}/{side}"] = {"get": _asked(f"{s}: {side} by a word of their name", _found(),
                                                          [_query("q", _word())], errors)}
        item = _query("item", owner[s]["schema"], "why this item is or is not in the list", required=False)
        found[f"/api/explain/{s}/{{owner}}"] = {"get": _asked(
            f"{s}: how a list comes about", {"type": "object"}, [owner[s], item], errors)}
        found[f"/api/compare/{s}/{{owner}}"] = {"get": _asked(
            f"{s}: the list of the live release beside another's", _compared(), [owner[s], _query("release", _TEXT)],
            errors)}
    return found


def _file(summary: str, kind: str) -> Schema:
    return {"summary": summary, "responses": {"200": {"description": "the file", "content": {kind: {"schema": _TEXT}}}}}


def _asked(summary: str, schema: Schema, parameters: list[Schema], errors: Schema) -> Schema:
    answer = {"description": "for the page", "content": {"application/json": {"schema": schema}}}
    return {"summary": summary, "parameters": parameters, "responses": {"200": answer} | errors}


def _query(name: str, schema: Schema, about: str = "", required: bool = True) -> Schema:
    return {"name": name, "in": "query", "required": required, "schema": schema, "description": about or name}


def _word() -> Schema:
    return _TEXT | {"minLength": WORD_LEAST, "maxLength": WORD_MOST}


def _found() -> Schema:
    one = _closed({"id": _TEXT, "name": _TEXT, "role": {"type": ["string", "null"]}})
    return _closed({"found": {"type": "array", "items": one}})


def _releases() -> Schema:
    one = _closed({"release": _TEXT, "as_of": _TEXT, "generated_at": _TEXT, "lists": {"type": "object"},
                   "shares": {"type": "object"}})
    return _closed({"live": _TEXT, "releases": {"type": "array", "minItems": 1, "items": one}})


def _compared() -> Schema:
    one = _closed({"id": _TEXT, "name": _TEXT, "now": _PLACE, "then": _PLACE})
    return _closed({"now": _TEXT, "then": _TEXT, "overlap_at_10": {"type": "integer", "minimum": 0, "maximum": 10},
                    "items": {"type": "array", "items": one}})


def _closed(properties: Schema) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties, "additionalProperties": False}
