"""Gather what the pages of people and startups show. Every panel has one source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

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
from serving.releases import HeldRelease, Releases

EVENTS_SHOWN = 25
#: Candidates that a search for "why not" offers.
FOUND_MOST = 8
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
    """Gathers the panels of the pages. Only `listing` and `one` are public."""

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

    def one(self, entity: Entity, id: str, given: Mapping[str, str], caller: str) -> dict[str, Any] | None:
        """Return the panels of one person or startup. None if neither the platform nor the release knows the id."""
        profile = asked(lambda: self._from.database.profile(entity, id))
        row = asked(lambda: self._from.browser.one(self._held.release, self._held.settings, entity, id))
        if profile.found is None and not profile.trouble and row.found is None:
            return None
        owned, shown_on = self._surfaces(entity, profile.found, row.found)
        until = datetime.now(UTC)
        since = until - timedelta(days=self._from.settings.engagement.window_days)
        database, audiences = self._from.database, self._from.audiences
        return {
            "id": id,
            "entity": entity,
            "name": _name(profile.found),
            "profile": Panel(_facts(entity, profile.found), profile.trouble),
            "row": row,
            "lists": self._from.lists.of(owned, id, caller),
            "why": self._why(owned, id, given, caller),
            "compared": self._compared(owned, id, given),
            "others": asked(lambda: self._from.insight.releases()["releases"][1:]),
            "seen": [(s, asked(partial(self._seen, s, id, _number(given, s)))) for s in shown_on],
            "exposure": asked(lambda: audiences.history(self._from.stored.all(), shown_on, id)),
            "shown": asked(lambda: self._shown(entity, id, given)),
            "history": asked(lambda: self._history(id, given)) if entity is Entity.USER else None,
            "activity": asked(lambda: database.activity(id, since, until)) if entity is Entity.STARTUP else None,
            "outcome": asked(lambda: database.earned(entity, id, since, until)),
            "similar": asked(lambda: self._from.lists.similar(entity, id, caller)),
            "window_days": self._from.settings.engagement.window_days,
            "first_places": SEEN,
        }

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
        return [(s, _answered(partial(self._from.insight.compared, s, id, release))) for s in owned if release]

    def _shown(self, entity: Entity, id: str, given: Mapping[str, str]) -> dict[str, Any]:
        at, event = _cursor(given.get("shown", ""), 2)
        found = self._from.database.shown(entity, id, (at, event), EVENTS_SHOWN + 1)
        rows = found[:EVENTS_SHOWN]
        other = Entity.STARTUP if entity is Entity.USER else Entity.USER
        return {
            "rows": rows,
            "names": self._from.database.names(other, sorted({r["item"] for r in rows})) if rows else {},
            "next": f"{rows[-1]['at'].isoformat()}~{rows[-1]['event_id']}" if len(found) > EVENTS_SHOWN else "",
            "later": bool(given.get("shown")),
        }

    def _history(self, id: str, given: Mapping[str, str]) -> dict[str, Any]:
        at, item, kind = _cursor(given.get("history", ""), 3)
        found = self._from.database.history(id, (at, item, kind), EVENTS_SHOWN + 1)
        rows = found[:EVENTS_SHOWN]
        return {
            "rows": rows,
            "names": self._from.database.names(Entity.STARTUP, sorted({r["item"] for r in rows})) if rows else {},
            "next": "~".join([rows[-1]["at"].isoformat(), rows[-1]["item"], rows[-1]["kind"]])
            if len(found) > EVENTS_SHOWN
            else "",
            "later": bool(given.get("history")),
        }


def _answered(question: Callable[[], Any]) -> Panel:
    """Return the answer, also if the question itself is wrong."""
    try:
        return asked(question)
    except RequestError as error:
        return Panel(trouble=f"expected {error.expected}, got {error.got}: {error.hint}")


def _name(profile: Mapping[str, Any] | None) -> str:
    return str((profile or {}).get("name") or (profile or {}).get("headline") or "")


def _facts(entity: Entity, profile: Mapping[str, Any] | None) -> list[tuple[str, str, FieldType]]:
    """Return name, text and type of each field of the platform's view that is not blank, without the id."""
    told = [(f.name, (profile or {}).get(f.name), f.type) for f in TABLE_OF[entity].fields[1:] if f.name != "name"]
    return [(name.removesuffix("_id").replace("_", " "), _spaced(text), kind) for name, text, kind in told if text]


def _spaced(text: object) -> str:
    """Return a text with a blank after each semicolon, so that long lists of values can wrap."""
    return "; ".join(part.strip() for part in str(text).split(";"))


def _cursor(text: str, parts: int) -> tuple[Any, ...]:
    """Read where a page begins: an instant and what follows it, separated by ~. Without one, now."""
    found = text.replace("\0", "").split("~", parts - 1)
    try:
        at = datetime.fromisoformat(found[0])
        if len(found) != parts or at.tzinfo is None or (parts == 3 and not is_id(found[1])):
            raise ValueError(text)
        return (at, *found[1:])
    except ValueError:
        return (datetime.now(UTC), *(_LAST if parts == 3 else _LAST[1:]))


def _number(given: Mapping[str, str], surface: Surface) -> int:
    text = given.get(f"from-{surface.code}", "0")
    return min(int(text), 10_000_000) if text.isascii() and text.isdigit() and len(text) < 9 else 0
