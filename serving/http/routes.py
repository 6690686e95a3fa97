"""The routes of lists: for each surface the lists of one owner and of many owners, popular and trending (F01-F06)."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, g, request

from models.schema import Surface
from models.settings.settings import Settings
from serving.http.answer_ids import AnswerIds
from serving.http.present import body
from serving.http.requests import ASKED, Query, list_response, read_id, read_json, read_owners, read_query
from serving.lists import OPEN, Answer, ListReader

PREFIX = "/api/recommendations"


def list_routes(settings: Settings, lists: ListReader, ids: AnswerIds) -> Blueprint:
    """The routes that serve the lists of a ListReader."""
    routes = Blueprint("lists", __name__, url_prefix=PREFIX)

    def present(answer: Answer, query: Query) -> Response:
        g.answers = (answer,)
        return list_response(body(answer, query, settings.reader.stale_hours, ids), answer)

    def one(surface: Surface, owner: str) -> Response:
        """The list of one owner."""
        owner, query = read_id(owner), read_query(request.args)
        return present(lists.one(surface, owner, caller(), request.environ.get(ASKED)), query)

    def many(surface: Surface) -> Response:
        """The lists of several owners, all of one release."""
        query, owners = read_query(request.args), read_owners(json_body())
        g.answers = lists.many(surface, owners, caller())
        found = ",".join(f'"{a.owner}":{body(a, query, settings.reader.stale_hours, ids)}' for a in g.answers)
        return Response(f'{{"lists":{{{found}}}}}', mimetype="application/json")

    def popular(surface: Surface) -> Response:
        """The popular list of the surface, the same for everyone."""
        query = read_query(request.args)
        return present(lists.popular(surface, caller()), query)

    def trending(surface: Surface) -> Response:
        """The trending list of the surface, the same for everyone."""
        query = read_query(request.args)
        return present(lists.trending(surface, caller()), query)

    for surface in Surface:
        at = {"surface": surface}
        routes.add_url_rule(f"/{surface}/<owner>", "one", one, defaults=at)
        routes.add_url_rule(f"/{surface}/popular", "popular", popular, defaults=at)
        routes.add_url_rule(f"/{surface}/trending", "trending", trending, defaults=at)
        routes.add_url_rule(f"/{surface}/many", "many", many, defaults=at, methods=["POST"])
    return routes


def json_body() -> Any:
    """The JSON of this request; None if it has none."""
    return read_json(request.get_data()) if request.is_json else None


def caller() -> str:
    """The public id of the caller's key."""
    return str(g.get("caller", OPEN))
