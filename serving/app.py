"""Assemble the reader: make each part once and turn errors into JSON or a page without a stack trace."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import Any

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from models import registry
from models.errors import MatchbookError, NotIdentified, ReleaseNotFound, RequestError, ServiceError
from models.settings.settings import Settings
from serving.because import Because
from serving.clients.airflow import Airflow
from serving.clients.pipelined import Pipelined
from serving.clients.postgres import Database
from serving.clients.redis import LISTS, Cache
from serving.console.actions import Actions
from serving.console.ahead import Ahead
from serving.console.audiences import Audiences
from serving.console.browse import Browser
from serving.console.comparison import Comparison
from serving.console.entities import EntityPages, Sources
from serving.console.insight import Insight
from serving.console.json_routes import json_routes
from serving.console.json_routes import paths as json_paths
from serving.console.overview import Overview
from serving.console.owner_lists import OwnerLists
from serving.console.pages import console
from serving.console.refusals import error_page, unknown_page, wants_page
from serving.console.release_files import ReleaseFiles
from serving.console.sign_in import asked_to_sign_in
from serving.console.stored import StoredReleases
from serving.filters import Hidden
from serving.http.access import Access
from serving.http.answer_ids import AnswerIds
from serving.http.callers import HEADER, Callers
from serving.http.events import Waiting, event_routes
from serving.http.health import health_routes
from serving.http.hits import Hits
from serving.http.openapi import document
from serving.http.requests import attach_headers, cap_requests
from serving.http.routes import list_routes
from serving.lists import ListReader
from serving.live.recommender import LiveRecommender
from serving.releases import Releases, StoredFiles, load_from_files, load_release

log = logging.getLogger("matchbook.reader")


@dataclass(frozen=True)
class Reader:
    """Hold the parts of a running app, under `app.extensions["matchbook"]`."""

    cache: Cache
    database: Database
    releases: Releases
    live: LiveRecommender
    lists: ListReader
    hits: Hits
    ahead: Ahead

    def close(self) -> None:
        self.releases.stop()
        self.live.close()
        self.database.close()
        self.cache.close()
        self.hits.close()


def create_app(settings: Settings, lists: ListReader | None = None, live: LiveRecommender | None = None) -> Flask:
    """Make the Flask app. `lists` and `live` replace the usual parts. Raises SettingsError without REDIS_URL."""
    cache, database = Cache(settings), Database(settings)
    live = live or LiveRecommender(settings, cache, database)
    if lists is None:
        releases = Releases(cache, partial(load_release, cache, settings), partial(load_from_files, settings))
        lists = ListReader(cache, releases, live, Hidden(cache, database), StoredFiles(settings))
    releases = lists.releases
    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # a path with double slashes gets a 404 in JSON, not a redirect
    access, callers, ids = Access(settings, releases, Waiting(cache)), Callers(settings), AnswerIds(settings)
    hits = Hits(settings, lists, ids, callers, access, cache.breakers[LISTS], Pipelined(settings))
    files = ReleaseFiles(settings)
    browser = Browser(files)
    ahead = Ahead(app, releases, browser, database)
    app.extensions["matchbook"] = Reader(cache, database, releases, live, lists, hits, ahead)
    access.attach(app)  # attached first: it must also see refused requests
    attach_headers(app)
    callers.attach(app)
    cap_requests(app)
    because = Because(cache, database, lists)
    app.register_blueprint(list_routes(settings, lists, because, ids))
    app.register_blueprint(event_routes(cache, ids, lists.hidden))
    app.register_blueprint(health_routes(settings, cache, database, releases, live))
    airflow = Airflow(settings)
    insight = Insight(cache, database, lists, live)
    app.register_blueprint(json_routes(insight))
    stored = StoredReleases(settings, cache)
    overview = Overview(settings, cache, releases, stored, callers, airflow)
    comparison = Comparison(files, database)
    audiences, owner_lists = Audiences(files, database), OwnerLists(lists, insight, because)
    entities = EntityPages(Sources(settings, database, releases, stored, browser, audiences, owner_lists, insight))
    actions = Actions(airflow, stored, cache, entities, lists.hidden, database)
    app.register_blueprint(console(app, settings, callers, overview, actions, entities, comparison))
    app.add_url_rule("/metrics", "metrics", access.metrics)
    described = document(json_paths, settings.asks_for_keys)
    app.add_url_rule("/openapi.json", "openapi", lambda: jsonify(described))
    _map_errors(app)
    _log_rule(settings)
    releases.listeners += [live.follow, insight.forget, files.forget, comparison.forget]
    releases.beside.append(lists.hidden.follow)
    releases.start()
    return app


def _map_errors(app: Flask) -> None:
    @app.errorhandler(RequestError)
    def malformed(error: RequestError) -> tuple[Response, int]:
        if isinstance(error, NotIdentified) and wants_page():
            return asked_to_sign_in(), 303
        response, status = _error(error.status, error.code, error.expected, error.got[:200], error.hint)
        if error.retry_after_s:
            response.headers["Retry-After"] = str(error.retry_after_s)
        if isinstance(error, NotIdentified):
            response.headers["WWW-Authenticate"] = f'ApiKey realm="matchbook", header="{HEADER}"'
        return response, status

    @app.errorhandler(ReleaseNotFound)
    def no_release(error: ReleaseNotFound) -> tuple[Response, int]:
        return _error(503, "no_release", "a published release", "none yet", str(error))

    @app.errorhandler(ServiceError)
    def unavailable(error: ServiceError) -> tuple[Response, int]:
        log.error("%s: %s", request.path.rpartition("/")[0], error)
        hint = str(error) if wants_page() else "try again in some seconds"  # operators see which server it is
        return _error(503, "unavailable", "the servers to answer", "no answer in time", hint)

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> tuple[Response, int]:
        if wants_page():
            return unknown_page(error), error.code or 500
        got, methods = f"{request.method} {request.path}"[:200], sorted(getattr(error, "valid_methods", None) or ())
        if error.code == 405:
            response, status = _error(405, "method_not_allowed", " or ".join(methods), got, "use one of these methods")
            response.headers["Allow"] = ", ".join(methods)
            return response, status
        if error.code == 404:
            return _error(404, "not_found", "a route of /openapi.json", got, "check the path; it lists every route")
        return _error(400, "bad_request", "a request of /openapi.json", got, "check its headers and its path")

    @app.errorhandler(MatchbookError)
    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> tuple[Response, int]:
        log.error("an answer failed: %s", error, exc_info=error)
        return _error(500, "internal", "an answer", "a defect of the reader", "its log says more; please report it")


def _error(status: int, code: str, expected: str, got: str, hint: str) -> tuple[Response, int]:
    if wants_page():
        return error_page(status, expected, got, hint), status
    said: dict[str, Any] = {"error": {"code": code, "expected": expected, "got": got, "hint": hint}}
    return jsonify(said), status


def _log_rule(settings: Settings) -> None:
    cold, warm = settings.routing.cold_start_threshold, settings.routing.warm_user_threshold
    log.info("routing of users: fewer than %d interactions content_based, fewer than %d als, else ensemble", cold, warm)
    log.info("routing of startups: fewer than %d different users content_based, else als_reverse", cold)
    switches = dict.fromkeys(path for spec in registry.MODELS for path in spec.switch)
    told = (f"{path} {settings.at(path)}" for path in (*switches, "ensemble.blend", "ranker.kind"))
    log.info("switches: %s", ", ".join(told))
