"""Answer in JSON about single lists: search by name, explain, compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Response, jsonify, request

from models.errors import RequestError
from models.schema import Surface
from serving.console.insight import Insight
from serving.http.requests import read_id
from serving.http.routes import caller

WORD_LEAST, WORD_MOST = 2, 80


def json_routes(insight: Insight) -> Blueprint:
    """Make the routes of the JSON about single lists."""
    routes = Blueprint("insight", __name__)

    @routes.get("/api/releases")
    def releases() -> Response:
        return jsonify(insight.releases())

    def find(surface: Surface, side: str) -> Response:
        """Find owners or items of a surface by a word of the name or the start of the id."""
        entity = surface.owner if side == "owners" else surface.item
        return jsonify({"found": insight.find(surface, entity, _word(request.args.get("q", "")))})

    def explained(surface: Surface, owner: str) -> Response:
        """Explain an owner's list. With `item`, explain why that item is in it or not."""
        owner, item = read_id(owner), request.args.get("item")
        told: dict[str, Any] = (
            insight.explained(surface, owner, caller())
            if item is None
            else insight.why(surface, owner, read_id(item, "item"), caller())
        )
        return jsonify(told)

    def compared(surface: Surface, owner: str) -> Response:
        release = request.args.get("release", "")
        if not release:
            raise RequestError("malformed_release", "release: an id of /api/releases", "nothing", "send one of them")
        return jsonify(insight.compared(surface, read_id(owner), release))

    for surface in Surface:
        at = {"surface": surface}
        for side in ("owners", "items"):
            routes.add_url_rule(f"/api/find/{surface}/{side}", "find", find, defaults=at | {"side": side})
        routes.add_url_rule(f"/api/explain/{surface}/<owner>", "explain", explained, defaults=at)
        routes.add_url_rule(f"/api/compare/{surface}/<owner>", "compare", compared, defaults=at)
    return routes


def _word(text: str) -> str:
    word = " ".join(text.split()).lower()
    if not WORD_LEAST <= len(word) <= WORD_MOST or "\0" in word:
        raise RequestError(
            "malformed_q", f"q: {WORD_LEAST} to {WORD_MOST} characters", text or "nothing", "change the length"
        )
    return word


Schema = dict[str, Any]
Operation = Callable[..., Schema]
_TEXT: Schema = {"type": "string"}
_PLACE: Schema = {"type": ["integer", "null"], "minimum": 1}


def paths(owner: Mapping[Surface, Schema], asked: Operation) -> Schema:
    """Return the OpenAPI paths of these routes.

    owner: the parameter of the owner's id. asked: describes an operation with a JSON answer.
    """
    found: Schema = {}
    found["/api/releases"] = asked("releases", "The releases in Redis, the live one first", _releases(), [])
    for s in Surface:
        for side in ("owners", "items"):
            found[f"/api/find/{s}/{side}"] = asked(
                "find", f"{s}: {side} by a word of their name", _found(), [_query("q", _word_schema())]
            )
        item = _query("item", owner[s]["schema"], "explain why this item is or is not in the list", required=False)
        found[f"/api/explain/{s}/{{owner}}"] = asked(
            "explain", f"{s}: how a list is made", {"type": "object"}, [owner[s], item]
        )
        found[f"/api/compare/{s}/{{owner}}"] = asked(
            "compare",
            f"{s}: compare the lists of the live release and another",
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
