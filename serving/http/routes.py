"""Serve the lists of one owner and of many owners, popular and trending, for each kind of list (F01-F06)."""

from __future__ import annotations

from flask import Blueprint, Response, g, request

from models.schema import LIST_KINDS, ListKind, Surface
from models.settings.settings import Settings
from serving.because import Because
from serving.http.answer_ids import AnswerIds
from serving.http.because import because_response, read_rows
from serving.http.present import body
from serving.http.requests import ASKED, Query, list_response, read_id, read_owners, read_query
from serving.lists import OPEN, Answer, ListReader

PREFIX = "/api/recommendations"


def list_routes(settings: Settings, lists: ListReader, because: Because, ids: AnswerIds) -> Blueprint:
    routes = Blueprint("lists", __name__, url_prefix=PREFIX)

    def present(answer: Answer, query: Query) -> Response:
        g.answers = (answer,)
        return list_response(body(answer, query, settings.reader.stale_hours, ids), answer)

    def one(kind: ListKind, owner: str) -> Response:
        owner, query = read_id(owner), read_query(request.args)
        return present(lists.one(kind, owner, caller(), request.environ.get(ASKED)), query)

    def many(kind: ListKind) -> Response:
        query, owners = read_query(request.args), read_owners()
        g.answers = lists.many(kind, owners, caller())
        found = ",".join(f'"{a.owner}":{body(a, query, settings.reader.stale_hours, ids)}' for a in g.answers)
        return Response(f'{{"lists":{{{found}}}}}', mimetype="application/json")

    def popular(surface: Surface) -> Response:
        query = read_query(request.args)
        return present(lists.popular(surface, caller()), query)

    def trending(surface: Surface) -> Response:
        query = read_query(request.args)
        return present(lists.trending(surface, caller()), query)

    def because_of(surface: Surface, owner: str) -> Response:
        owner, query, most = read_id(owner), read_query(request.args), read_rows(request.args)
        found = because.rows(surface, owner, most, caller())
        g.answers = tuple(row.answer for row in found.rows)
        return because_response(found, query, settings.reader.stale_hours, ids)

    for kind in LIST_KINDS:
        routes.add_url_rule(f"/{kind}/<owner>", "one", one, defaults={"kind": kind})
        routes.add_url_rule(f"/{kind}/many", "many", many, defaults={"kind": kind}, methods=["POST"])
    for surface in Surface:
        at = {"surface": surface}
        routes.add_url_rule(f"/{surface}/popular", "popular", popular, defaults=at)
        routes.add_url_rule(f"/{surface}/trending", "trending", trending, defaults=at)
        routes.add_url_rule(f"/{surface}/<owner>/because", "because", because_of, defaults=at)
    return routes


def caller() -> str:
    return str(g.get("caller", OPEN))
