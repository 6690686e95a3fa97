"""Make the blueprint of the console: its templates, static files, sign-in and pages."""

from __future__ import annotations

from typing import Any, NamedTuple

from flask import Blueprint, Flask, render_template, request

from models.schema import LIST_KINDS
from models.settings.settings import Settings
from serving.console.actions import Actions, action_routes
from serving.console.comparison import Comparison
from serving.console.entities import EntityPages
from serving.console.explore import explore_routes
from serving.console.files import Files
from serving.console.formats import FILTERS
from serving.console.forms import FIELD, ONCE, Forms
from serving.console.overview import Overview
from serving.console.releases import release_routes
from serving.console.sign_in import sign_in_routes, signed_in
from serving.console.streamed import REST_FOLLOWS
from serving.console.words import KNOWN, WORDS, anchor, plain
from serving.http.callers import PAGES, Callers


class Place(NamedTuple):
    """An entry of the navigation: address and label."""

    address: str
    label: str


NAVIGATION = (
    Place("/", "Overview"),
    Place("/people", "People"),
    Place("/startups", "Startups"),
    Place("/releases", "Releases"),
    Place("/actions", "Actions"),
)


def console(
    app: Flask,
    settings: Settings,
    callers: Callers,
    overview: Overview,
    actions: Actions,
    entities: EntityPages,
    comparison: Comparison,
) -> Blueprint:
    """Make the pages. Every page needs the scope admin where the reader asks for keys, except sign-in."""
    pages = Blueprint(PAGES, __name__, template_folder="templates")
    files, forms = Files(), Forms(settings)
    pages.before_request(forms.check)
    pages.add_url_rule("/static/<path:name>", "file", files.file)
    sign_in_routes(pages, callers)
    release_routes(pages, actions.stored, actions.airflow)
    action_routes(pages, actions)
    explore_routes(pages, entities, actions.stored, comparison)

    @pages.get("/")
    def home() -> str:
        return render_template("overview.html", o=overview.now())

    @pages.get("/building")
    def building() -> str:
        return render_template("building.html", o=overview.building())

    @pages.get("/building/failed")
    def failed() -> str:
        return render_template("failed.html", o=overview.failed())

    @pages.get("/building/failing")
    def failing() -> str:
        return render_template("failing.html", o=overview.failing())

    @pages.get("/words")
    def explained() -> str:
        return render_template("words.html", kinds=LIST_KINDS)

    @pages.app_context_processor
    def known_to_every_page() -> dict[str, Any]:
        return {
            "static": files.url,
            "form_field": FIELD,
            "form_token": forms.token,
            "once_field": ONCE,
            "form_once": forms.once,
            "navigation": NAVIGATION,
            "here": _here(request.path),
            "signed_in": signed_in(),
        }

    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(FILTERS)
    app.jinja_env.filters["plain"] = plain
    app.jinja_env.globals |= {"formats": FILTERS, "words": WORDS, "known_words": KNOWN, "anchor": anchor}
    app.jinja_env.globals["rest_follows"] = REST_FOLLOWS
    return pages


def _here(path: str) -> str:
    """Return the address of the navigation to which a page belongs."""
    return next((p.address for p in NAVIGATION if p.address != "/" and path.startswith(p.address)), "/" * (path == "/"))
