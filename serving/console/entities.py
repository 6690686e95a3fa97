"""Gather what the pages of people and startups show. Every panel has one source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from werkzeug.datastructures import MultiDict

from models.data.entities import is_id
from models.errors import RequestError
from models.lists.audience import SEEN
from models.schema import TABLE_OF, Entity, FieldType, Role, Surface
from models.settings.settings import Settings
from serving.clients.postgres import Database
from serving.console.audiences import Audiences, Seen
from serving.console.browse import Browser, Row, Search
from serving.console.insight import Insight
from serving.console.owner_lists import OwnerLists, said_of
from serving.console.panel import Panel, asked
from serving.console.stored import StoredReleases
from serving.console.streamed import Panels
from serving.http.requests import number
from serving.releases import HeldRelease, Releases

EVENTS_SHOWN = 25
#: Candidates that a search for "why not" offers.
FOUND_MOST = 8
#: Similar items, and owners who see one, that a page of something that nobody sees looks at.
ASKED_MOST = 5
#: Addresses of the pages.
PATHS = {Entity.USER: "/people", Entity.STARTUP: "/startups"}
_LAST = ("ffffffff-ffff-ffff-ffff-ffffffffffff", "~")


@dataclass(frozen=True)
class Sources:
    """What the pages read."""

    settings: Settings
    database: Database
    releases: Releases
    stored: StoredReleases
    browser: Browser
    audiences: Audiences
    lists: OwnerLists
    insight: Insight


class EntityPages:
    """Gathers the panels of the pages. The public methods each serve one page."""

    def __init__(self, sources: Sources) -> None:
        self._from = sources

    def listing(self, entity: Entity, search: Search) -> dict[str, Any]:
        """Return the panels of a page of people or startups."""
        found = self._from
        page = asked(lambda: found.browser.page(self._held.release, self._held.settings, entity, search))
        ids = [row.id for row in page.found.rows] if page else []
        categories = (
            asked(lambda: found.browser.categories(self._held.release)) if entity is Entity.STARTUP else Panel()
        )
        return {
            "page": page,
            "names": asked(lambda: found.database.names(entity, ids)) if ids else Panel({}),
            "categories": categories,
            "surfaces": [s for s in Surface if s.item is entity],
        }

    def one(self, entity: Entity, id: str, given: MultiDict[str, str], caller: str) -> Panels | None:
        """Return the panels of one person or startup. None if neither the platform nor the release knows the id.

        This method and panels raise RequestError for a query parameter that is no value of its name.
        """
        shown, history = _cursor(given, "shown", 2), _cursor(given, "history", 3)
        profile = asked(lambda: self._from.database.profile(entity, id))
        row = asked(lambda: self._row(entity, id))
        if profile.found is None and not profile.trouble and row.found is None:
            return None
        owned, shown_on = self._surfaces(entity, profile.found, row.found)
        until = datetime.now(UTC)
        since = until - timedelta(days=self._from.settings.engagement.window_days)
        database, audiences = self._from.database, self._from.audiences
        now = {
            "id": id,
            "entity": entity,
            "name": _name(profile.found),
            "profile": Panel(_facts(entity, profile.found), profile.trouble),
            "row": row,
            "owned": owned,
            "shown_on": shown_on,
            "window_days": self._from.settings.engagement.window_days,
            "first_places": SEEN,
        }
        later: dict[str, Callable[[], Any]] = {
            "lists": lambda: self._from.lists.of(owned, id, caller),
            "why": lambda: self._why(owned, id, given, caller),
            "compared": lambda: self._compared(owned, id, given),
            "others": lambda: asked(lambda: self._from.insight.releases()["releases"][1:]),
            "seen": lambda: [(s, asked(partial(self._seen, s, id, _number(given, s)))) for s in shown_on],
            "telling": lambda: {
                s: asked(partial(self._telling, s, page["similar"].found or ())) for s, p in page["seen"] if _nobody(p)
            },
            "exposure": lambda: asked(lambda: audiences.history(self._from.stored.all(), shown_on, id)),
            "shown": lambda: asked(lambda: self._shown(entity, id, shown, bool(given.get("shown")))),
            "history": lambda: asked(lambda: self._history(id, history, bool(given.get("history")))),
            "activity": lambda: asked(lambda: database.activity(id, since, until)),
            "outcome": lambda: asked(lambda: database.earned(entity, id, since, until)),
            "similar": lambda: asked(lambda: self._from.lists.similar(entity, id, caller)),
        }
        page = Panels(now, later)
        return page

    def known(self, id: str) -> dict[str, Panel]:
        """Return who an id is: on the `platform` {entity: name}, in the live `release` the entities that have it."""
        names, row = self._from.database.names, self._row
        return {
            "platform": asked(lambda: {e: found[id] for e in Entity if id in (found := names(e, [id]))}),
            "release": asked(lambda: [e for e in Entity if row(e, id)]),
        }

    def opted_out(self, id: str) -> dict[str, Panel]:
        """Return what the `platform` says about a person, and the `row` of the live release."""
        profile = asked(lambda: self._from.database.profile(Entity.USER, id))
        return {"platform": profile, "row": asked(lambda: self._row(Entity.USER, id))}

    def _row(self, entity: Entity, id: str) -> Row | None:
        return self._from.browser.one(self._held.release, self._held.settings, entity, id)

    @property
    def _held(self) -> HeldRelease:
        return self._from.releases.held

    def _surfaces(
        self, entity: Entity, profile: Mapping[str, Any] | None, row: Row | None
    ) -> tuple[list[Surface], list[Surface]]:
        """Return the surfaces on which an entity owns a list, and those on which it is an item."""
        role = Role.of(str((profile or {}).get("role") or (row.role if row else "") or ""))
        mine = [s for s in Surface if entity is Entity.STARTUP or s.role is role]
        return [s for s in mine if s.owner is entity], [s for s in mine if s.item is entity]

    def _seen(self, surface: Surface, id: str, first: int) -> Seen | None:
        return self._from.audiences.seen(self._held.release, surface, id, first)

    def _telling(self, surface: Surface, similar: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return owners who see the first similar item that anybody sees, as `Seen.owners` with `of`: that item.

        Why an item is not in their lists tells most about one that nobody sees.
        """
        for other in similar[:ASKED_MOST]:
            seen = self._seen(surface, other["id"], 0)
            if seen is not None and seen.lists:
                return [{**owner, "of": other} for owner in seen.owners[:ASKED_MOST]]
        return []

    def _why(self, owned: list[Surface], id: str, given: Mapping[str, str], caller: str) -> dict[str, Any] | None:
        """Answer "why not X": with an id the reason on each surface, with words the items that they may mean."""
        text = " ".join(given.get("why", "").replace("\0", "").split())[:80]
        if not text or not owned:
            return None
        item = text.lower() if is_id(text) else ""
        if not item:
            found = asked(lambda: self._named(owned[0].item, text))
            if len(found.found or ()) != 1:
                return {"text": text, "found": found}
            item = found.found[0]["id"]
        told = [(s, asked(partial(self._from.insight.why, s, id, item, caller))) for s in owned]
        return {"text": text, "item": item, "given": [(s, given, said_of(given.found or {})) for s, given in told]}

    def _named(self, entity: Entity, text: str) -> list[dict[str, str]]:
        page = self._from.browser.page(self._held.release, self._held.settings, entity, Search(q=text))
        ids = [row.id for row in page.rows[:FOUND_MOST]]
        names = self._from.database.names(entity, ids) if ids else {}
        return [{"id": id, "name": names.get(id, "")} for id in ids]

    def _compared(self, owned: list[Surface], id: str, given: Mapping[str, str]) -> list[tuple[Surface, Panel]]:
        release = given.get("compare", "")
        return [(s, asked(partial(self._from.insight.compared, s, id, release))) for s in owned if release]

    def _shown(self, entity: Entity, id: str, before: tuple[Any, ...], later: bool) -> dict[str, Any]:
        at, event = before
        found = self._from.database.shown(entity, id, (at, event), EVENTS_SHOWN + 1)
        rows = found[:EVENTS_SHOWN]
        other = Entity.STARTUP if entity is Entity.USER else Entity.USER
        return {
            "rows": rows,
            "names": self._from.database.names(other, sorted({r["item"] for r in rows})) if rows else {},
            "next": f"{rows[-1]['at'].isoformat()}~{rows[-1]['event_id']}" if len(found) > EVENTS_SHOWN else "",
            "later": later,
        }

    def _history(self, id: str, before: tuple[Any, ...], later: bool) -> dict[str, Any]:
        at, item, kind = before
        found = self._from.database.history(id, (at, item, kind), EVENTS_SHOWN + 1)
        rows = found[:EVENTS_SHOWN]
        return {
            "rows": rows,
            "names": self._from.database.names(Entity.STARTUP, sorted({r["item"] for r in rows})) if rows else {},
            "next": "~".join([rows[-1]["at"].isoformat(), rows[-1]["item"], rows[-1]["kind"]])
            if len(found) > EVENTS_SHOWN
            else "",
            "later": later,
        }


def _nobody(seen: Panel) -> bool:
    """Return whether a release says that no list shows an item in its first places."""
    return seen.found is not None and not seen.found.lists


def _name(profile: Mapping[str, Any] | None) -> str:
    return str((profile or {}).get("name") or (profile or {}).get("headline") or "")


def _facts(entity: Entity, profile: Mapping[str, Any] | None) -> list[tuple[str, str, FieldType]]:
    """Return name, text and type of each field of the platform's view that is not blank, without the id."""
    told = [(f.name, (profile or {}).get(f.name), f.type) for f in TABLE_OF[entity].fields[1:] if f.name != "name"]
    return [(name.removesuffix("_id").replace("_", " "), _spaced(text), kind) for name, text, kind in told if text]


def _spaced(text: object) -> str:
    """Return a text with a blank after each semicolon, so that long lists of values can wrap."""
    return "; ".join(part.strip() for part in str(text).split(";"))


def _cursor(given: Mapping[str, str], name: str, parts: int) -> tuple[Any, ...]:
    """Read where a page begins: an instant and what follows it, separated by ~; else now. Raises RequestError."""
    text = given.get(name, "").replace("\0", "")
    if not text:
        return (datetime.now(UTC), *(_LAST if parts == 3 else _LAST[1:]))
    found = text.split("~", parts - 1)
    try:
        at = datetime.fromisoformat(found[0])
        if len(found) != parts or at.tzinfo is None or (parts == 3 and not is_id(found[1])):
            raise ValueError(text)
    except ValueError as error:
        raise RequestError(
            f"malformed_{name}", f"{name}: the address of a link “Earlier”", text[:80], "leave it out for the newest"
        ) from error
    return (at, *found[1:])


def _number(given: MultiDict[str, str], surface: Surface) -> int:
    return number(given, f"from-{surface.code}", 0, 0, 999_999)
