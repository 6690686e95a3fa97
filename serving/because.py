"""Find "because you engaged with X" for one owner: the lists similar to what they engaged with last.

The events come from PostgreSQL, and those since the build also from Redis. So a row follows an event within seconds,
and goes with its retraction. Without PostgreSQL only events since the build count, and the answer is degraded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

import numpy as np

from models.data.entities import ID_BYTES
from models.errors import ServiceError
from models.lists.redis_format import since_meaning
from models.schema import Entity, EventType, Similar, Surface
from serving.clients.postgres import OWNERS, Database, OwnerRecord
from serving.clients.redis import Cache, Found
from serving.filters import without
from serving.lists import OPEN, UNCOUNTED, Answer, ListReader
from serving.releases import HeldRelease

#: Engaged items whose lists are read, for each row that is wanted: a list may have nothing left.
SPARE = 3
Read = Callable[[], OwnerRecord | None]
#: The kind of similar lists of an entity.
SIMILAR_OF = {kind.owner: kind for kind in Similar}
_NOTHING_MET = "nothing is known that this owner engaged with"
_NOTHING_SIMILAR = "nothing is known that is similar to what this owner engaged with"


@dataclass(frozen=True, eq=False)
class Row:
    """An item that the owner engaged with, the strongest event type, its time, and what is similar to it.

    at_us: microseconds since 1970 UTC.
    """

    item: str
    kind: EventType
    at_us: int
    answer: Answer


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of one owner, the latest engagement first. trouble: the error on the way, or empty."""

    owner: str
    held: HeldRelease
    rows: tuple[Row, ...]
    trouble: str = ""
    reason: str = ""


@dataclass(frozen=True)
class _Met:
    """What the owner did with an item. kinds: event types; at_us: the last time of a positive one."""

    kinds: frozenset[EventType] = frozenset()
    at_us: int = 0


class Because:
    """Finds the rows of an owner."""

    def __init__(self, cache: Cache, database: Database, lists: ListReader) -> None:
        self._cache, self._database, self._lists = cache, database, lists

    def rows(self, surface: Surface, owner: str, most: int, caller: str = OPEN, read: Read | None = None) -> Rows:
        """Return up to `most` rows, for the latest engagements that have something similar.

        Nothing is in two rows, and nothing that the owner met, dismissed or owns. Those who opted out get no rows
        (R23). read: gives the owner's record if it is known already. Raises ReleaseNotFound, TooManyRequests.
        """
        read = read or (lambda: self._database.owner(surface.owner, owner, datetime.now(UTC), OWNERS))
        held, hidden = self._lists.releases.held, self._lists.hidden
        if hidden.erased((owner,)) or (surface.owner is Entity.USER and hidden.holds(Entity.USER, owner)):
            self._cache.admit(caller)
            return Rows(owner, held, (), reason=_NOTHING_MET)
        found, trouble = self._since(surface, owner, caller, held)
        try:
            record = read()
        except ServiceError as error:
            record, trouble = None, trouble or str(error)
        if record is not None and record.opted_out:
            return Rows(owner, held, (), trouble, _NOTHING_MET)
        met = _met(found, record)
        latest = self._latest(held, surface, met)[: most * SPARE]
        if not latest:
            return Rows(owner, held, (), trouble, _NOTHING_MET)
        answers = self._lists.many(SIMILAR_OF[surface.item], [item for item, _ in latest], UNCOUNTED)
        rows, shown = list[Row](), _barred(met, held.settings.lists.views_are_seen)
        for (item, done), answer in zip(latest, answers, strict=True):
            left = _without(answer, shown)
            if len(left.listing.item) and len(rows) < most:
                rows.append(Row(item, max(done.kinds, key=lambda k: k.weight or 0), done.at_us, left))
                shown |= set(left.held.items[surface.item].ids.text(left.listing.item.astype(np.int64)).tolist())
        return Rows(owner, answers[0].held, tuple(rows), trouble, "" if rows else _NOTHING_SIMILAR)

    def _since(self, surface: Surface, owner: str, caller: str, held: HeldRelease) -> tuple[Found | None, str]:
        """Return what Redis holds for the owner, and an error text, empty on success."""
        try:
            return self._cache.hits(caller, held.id, surface, [owner])[0], ""
        except ServiceError as error:
            return None, str(error)

    def _latest(self, held: HeldRelease, surface: Surface, met: Mapping[str, _Met]) -> list[tuple[str, _Met]]:
        """Return the items that the owner engaged with: opinions before views and clicks, each the latest first."""
        hidden, table = self._lists.hidden, held.items[surface.item]
        items = [item for item, done in met.items() if done.kinds and not hidden.holds(surface.item, item)]
        if surface.item is Entity.USER:
            role = dict(zip(items, table.ids.rows_of(items).tolist(), strict=True))
            items = [item for item in items if role[item] < 0 or table.role[role[item]] == surface.role.code]
        gone = hidden.erased(items)
        told = [(item, met[item]) for item in items if item not in gone]
        return sorted(told, key=lambda one: (not any(k.positive for k in one[1].kinds), -one[1].at_us, one[0]))


def _met(found: Found | None, record: OwnerRecord | None) -> dict[str, _Met]:
    """Return by item what the owner did, the later of both sources. Items to hide only have no kinds."""
    met: dict[str, _Met] = {}
    refused: set[str] = set()
    last: dict[str, tuple[int, EventType]] = {}

    def take(item: str, kind: EventType, at_us: int) -> None:
        before = met.get(item, _Met())
        if kind.explicit:
            last[item] = max(last.get(item, (at_us, kind)), (at_us, kind), key=lambda told: told[0])
        if kind.trained and (kind.weight or 0) > 0:
            met[item] = _Met(before.kinds | {kind}, max(before.at_us, at_us))
        else:
            met.setdefault(item, before)

    if record is not None:
        for item, code, at in zip(record.item.tolist(), record.kind.tolist(), record.at.tolist(), strict=True):
            take(item, EventType.of_code(code), at)
        refused |= {*record.own, *record.dismissed}
    if found is not None and found.since is not None:
        for packed, value in zip(found.since, found.values, strict=True):
            code, at = since_meaning(value)
            item = str(UUID(bytes=packed)) if len(packed) == ID_BYTES else ""
            if item and code in EventType.by_code():
                take(item, EventType.of_code(code), at)
            elif item:
                refused.add(item)
    refused |= {item for item, (_, kind) in last.items() if not kind.positive}
    return met | dict.fromkeys(refused, _Met())


def _barred(met: Mapping[str, _Met], views_are_seen: bool) -> set[str]:
    """Return the items that no row may show."""
    return {i for i, done in met.items() if not done.kinds or any(k.hides(views_are_seen) for k in done.kinds)}


def _without(answer: Answer, shown: set[str]) -> Answer:
    """Return the answer without these items."""
    rows = answer.held.items[answer.surface.item].ids.rows_of(sorted(shown))
    out = np.isin(answer.listing.item, rows[rows >= 0])
    return replace(answer, listing=without(answer.listing, out), met=int(out.sum())) if out.any() else answer
