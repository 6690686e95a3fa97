"""Pages of people, startups, and the comparison of two releases."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, abort, make_response, redirect, render_template, request

from models.data.entities import is_id
from models.schema import Entity, Role, Segment
from serving.console.browse import ORDERS, STATES, Search
from serving.console.comparison import Comparison
from serving.console.entities import PATHS, EntityPages
from serving.console.panel import Panel, asked
from serving.console.stored import Known, StoredReleases
from serving.console.streamed import Panels, streamed
from serving.http.requests import one_of, read_id
from serving.http.routes import caller

_TITLES = {Entity.USER: "People", Entity.STARTUP: "Startups"}


def explore_routes(pages: Blueprint, found: EntityPages, stored: StoredReleases, comparison: Comparison) -> None:
    """Add /people, /startups and /releases/compare to the pages."""

    def listing(entity: Entity) -> str | Response:
        search = Search.of(request.args, entity)
        if is_id(search.q):
            return make_response(redirect(f"{PATHS[entity]}/{search.q.lower()}", 303))
        return render_template(
            "listing.html",
            entity=entity,
            title=_TITLES[entity],
            search=search,
            choices={"role": [*Role], "segment": [*Segment], "state": STATES, "order": ORDERS},
            address=lambda **changes: _address(PATHS[entity], search.parameters(**changes)),
            **found.listing(entity, search),
        )

    def one(entity: Entity, id: str) -> str | Response:
        told = found.one(entity, read_id(id), request.args, caller())
        if told is None:
            abort(
                404, f"Neither the platform nor the live release knows this id. {_TITLES[entity]} above finds others."
            )
        if request.args:
            told.gather()  # a parameter may be refused
        render = render_template if request.args else streamed
        return render(
            "entity.html",
            e=told,
            address=lambda **changes: _address(request.path, {**request.args, **changes}),
            titles=_TITLES,
            paths=PATHS,
        )

    for entity, path in PATHS.items():
        name = path.removeprefix("/")
        pages.add_url_rule(path, name, listing, defaults={"entity": entity})
        pages.add_url_rule(f"{path}/<id>", f"{name}_one", one, defaults={"entity": entity})

    @pages.get("/releases/compare")
    def compare() -> Response:
        known = asked(stored.all)
        there = [k.id for k in known.found or [] if k.manifest is not None]
        wanted = ["" if known.trouble else one_of(request.args, side, there) for side in ("before", "after")]
        pair = chosen(known.found or [], *wanted)
        later = Panels({}, {"surfaces": lambda: asked(lambda: comparison.between(*pair)) if pair else Panel()})
        return streamed("compare.html", known=known, pair=pair, later=later, paths=PATHS)


def chosen(known: list[Known], before: str, after: str) -> tuple[Known, Known] | None:
    """Return the two releases to compare: those asked for, else the live one and the build before it.

    known: the newest first. None if there are no two.
    """
    there = {k.id: k for k in known if k.manifest is not None}
    live = next((k for k in there.values() if k.state == "live"), next(iter(there.values()), None))
    new = there.get(after) or live
    if new is None:
        return None
    older = [k for k in there.values() if k.id != new.id]
    builds = [k for k in older if k.built < new.built and k.manifest and k.manifest.build == k.id]
    old = there.get(before) or next(iter([*builds, *older]), None)
    return None if old is None else (old, new)


def _address(path: str, parameters: dict[str, Any]) -> str:
    given = {name: value for name, value in parameters.items() if value not in ("", None)}
    return f"{path}?{urlencode(given)}" if given else path
