"""Report the state of this process and its servers, checked on each request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Response, jsonify

from models import registry
from models.errors import ServiceError
from models.lists.redis_server import evicting, unfit
from models.settings.settings import Settings
from serving.clients.postgres import Database
from serving.clients.redis import Cache
from serving.live.recommender import LiveRecommender
from serving.releases import HeldRelease, Releases, age_hours


def health_routes(
    settings: Settings, cache: Cache, database: Database, releases: Releases, live: LiveRecommender
) -> Blueprint:
    routes = Blueprint("health", __name__)

    @routes.get("/health")
    def health() -> tuple[Response, int]:
        """Report healthy, degraded (something is missing, lists are served) or unhealthy (no release, status 503)."""
        held = releases.current
        loaded, models = live.trouble(held) if held else (False, "")
        info, silent = _asked(cache.about)
        troubles = {
            "database": _asked(database.ping)[1],
            "redis": silent or unfit(info),
            "release": releases.trouble,
            "lists": "; ".join(releases.gone.values()),
            "eviction": evicting(info),
            "models": models,
        }
        found = {k: v for k, v in troubles.items() if v}
        status = "unhealthy" if held is None else "degraded" if found else "healthy"
        said = {
            "status": status,
            "database_connected": not troubles["database"],
            "redis_connected": not silent,
            "models_loaded": loaded and not models,
            "pinned": _pinned(settings),
            "troubles": found,
        }
        return jsonify(said | _release(held, settings)), 503 if held is None else 200

    @routes.get("/health/live")
    def alive() -> Response:
        """Report that the process answers, without other checks."""
        return jsonify({"live": True})

    @routes.get("/health/ready")
    def ready() -> tuple[Response, int]:
        """Report whether a release is loaded, so that lists can be served. Status 503 until then."""
        held = releases.current
        return jsonify({"ready": held is not None, "release": held.id if held else None}), 200 if held else 503

    return routes


def _asked(question: Callable[[], Mapping[str, Any] | None]) -> tuple[Mapping[str, Any], str]:
    """Return the answer of a server and an error text, empty on success."""
    try:
        return question() or {}, ""
    except ServiceError as error:
        return {}, str(error)


def _pinned(settings: Settings) -> dict[str, str]:
    return {name: path for name, path in registry.pins(settings).items() if path}


def _release(held: HeldRelease | None, settings: Settings) -> dict[str, Any]:
    if held is None:
        return {"release": None}
    age = age_hours(held.release.generated_at)
    return {
        "release": held.id,
        "as_of": held.release.as_of,
        "generated_at": held.release.generated_at,
        "age_hours": round(age, 2),
        "stale": age > settings.reader.stale_hours,
        "models": dict(held.release.bundles),
    }
