"""Find people and startups of the live release: by words of the name or an id, filtered, ordered, page by page.

Words, order and facts come from the release's catalogue and audience, which are mapped into memory. So a page costs no
scan in PostgreSQL, whatever lies behind the contract views; only the names of its rows come from there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.catalogue.directory import Directory
from models.data.entities import Entities
from models.lists.release import Release
from models.routing import route
from models.schema import Entity, Role, Segment, Surface
from models.settings.settings import Settings
from models.words import folded
from serving.console.release_files import ReleaseFiles
from serving.http.requests import one_of, read_id

PAGE_ROWS = 50
#: Orders: by name, by number of lists that show an entity (few first or many first), by number of events.
ORDERS = {"name": "name", "least": "shown least", "most": "shown most", "busy": "most events"}
STATES = {"listed": "may be shown", "hidden": "in no list: withdrawn, opted out or another role"}
#: Values of the filter by category that a page offers, the most frequent.
CATEGORIES_MOST = 200
_HEX = re.compile(r"[0-9a-f-]{4,36}")


@dataclass(frozen=True)
class Search:
    """What somebody looks for. after: id of the last row of the page before. Empty fields do not restrict."""

    q: str = ""
    role: str = ""
    segment: str = ""
    category: str = ""
    state: str = ""
    order: str = "name"
    after: str = ""

    @classmethod
    def of(cls, given: Mapping[str, str], entity: Entity) -> Search:
        """Read query parameters. Raises RequestError for a value that no search of this entity has."""
        people = entity is Entity.USER
        found = {f.name: " ".join(given.get(f.name, "").replace("\0", "").split())[:80] for f in fields(cls)}
        one_of(found, "role", [*Role] if people else [])
        one_of(found, "category", [] if people else [found["category"]])
        for name, known in (("segment", [*Segment]), ("state", STATES), ("order", ORDERS)):
            one_of(found, name, known)
        after = read_id(found["after"], "after") if found["after"] else ""
        return cls(**found | {"order": found["order"] or "name", "after": after})

    def parameters(self, **changes: str) -> dict[str, str]:
        """Return the query parameters of this search with changes, without those that restrict nothing."""
        changed = replace(self, **changes)
        return {f.name: v for f in fields(self) if (v := getattr(changed, f.name)) and v != f.default}


@dataclass(frozen=True)
class Row:
    """A person or startup of a page.

    events: of a person; of a startup the number of people who met it. facets: text by name. state: why no list may show
    it, empty if one may. seen: the number of lists whose first places show it, by surface; None in an older release.
    """

    id: str
    role: str
    segment: str
    events: int
    facets: Mapping[str, str]
    state: str
    seen: Mapping[str, int | None]


@dataclass(frozen=True)
class Page:
    """One page of a search.

    total: rows of all pages. next: id after which the next page begins, empty on the last one. never: rows that may be
    shown, but no list shows them; None in an older release.
    """

    rows: Sequence[Row]
    total: int
    next: str
    never: int | None


class Browser:
    """Searches the catalogue of a release. Raises BundleError, ReleaseIncomplete and ServiceError."""

    def __init__(self, files: ReleaseFiles) -> None:
        self._files = files

    def page(self, release: Release, settings: Settings, entity: Entity, search: Search) -> Page:
        found = self._files.catalogue(release)
        known, directory = found.entities[entity], found.directories[entity]
        seen = self.seen(release, entity)
        rows = np.flatnonzero(_kept(known, directory, settings, search))
        key = _keys(known, directory, seen, search.order)
        after = int(known.ids.rows_of([search.after])[0]) if search.after else -1  # -1 also for an id erased since
        there = rows[key[rows] > key[after]] if after >= 0 else rows
        shown = _smallest(there, key)
        ids = known.ids.text(shown).tolist()
        return Page(
            [_row(known, settings, seen, int(row), id) for row, id in zip(shown.tolist(), ids, strict=True)],
            len(rows),
            ids[-1] if len(there) > PAGE_ROWS else "",
            _never(known, seen, rows),
        )

    def one(self, release: Release, settings: Settings, entity: Entity, id: str) -> Row | None:
        """Return one row; None if the release does not know the id."""
        known = self._files.catalogue(release).entities[entity]
        row = int(known.ids.rows_of([id])[0])
        return None if row < 0 else _row(known, settings, self.seen(release, entity), row, id)

    def categories(self, release: Release) -> list[tuple[str, int]]:
        """Return the categories of startups with their number of startups, by name."""
        startups = self._files.catalogue(release).entities[Entity.STARTUP]
        codes = startups.facets["category"]
        count = np.bincount(codes[codes >= 0], minlength=len(startups.labels["category"]))
        most = Counter(dict(zip(startups.labels["category"], count.tolist(), strict=True))).most_common(CATEGORIES_MOST)
        return sorted((label, n) for label, n in most if n)

    def seen(self, release: Release, entity: Entity) -> dict[Surface, NDArray[np.int64]]:
        """Return how many lists show each row, for each surface on which it is an item. Empty for an older release."""
        found = {s: self._files.exposure(release, s) for s in Surface if s.item is entity}
        return {s: exposure for s, exposure in found.items() if exposure is not None}


def segments(count: NDArray[np.integer[Any]], surface: Surface, settings: Settings) -> NDArray[np.uint8]:
    """Return the segment codes of owners with these interaction counts."""
    return route(surface, count, settings).segment


def _kept(known: Entities, directory: Directory, settings: Settings, search: Search) -> NDArray[np.bool_]:
    """Return (n,) bool: the rows that a search finds."""
    kept = ~known.ids.blank
    if search.q:
        wanted = np.zeros(len(known), bool)
        wanted[directory.find(search.q)] = True
        kept &= wanted | _with_prefix(known, search.q)
    if search.role and known.entity is Entity.USER:
        kept &= known.role == Role(search.role).code
    if search.segment:
        kept &= segments(known.count, _owned(known.entity), settings) == Segment(search.segment).code
    if search.category and known.entity is Entity.STARTUP:
        key, labels = folded(search.category), known.labels["category"]
        kept &= np.isin(known.facets["category"], [code for code, label in enumerate(labels) if folded(label) == key])
    if search.state:
        kept &= _shown(known) == (search.state == "listed")
    return kept


def _shown(known: Entities) -> NDArray[np.bool_]:
    """Return (n,) bool: some list may show the row."""
    return known.listed if known.entity is Entity.STARTUP else known.listed & (known.role >= 0)


def _with_prefix(known: Entities, text: str) -> NDArray[np.bool_]:
    """Return (n,) bool: the id starts with a text of at least four hex digits."""
    digits = folded(text).replace("-", "")
    if not _HEX.fullmatch(folded(text)) or len(digits) < 4:
        return np.zeros(len(known), bool)
    whole = np.frombuffer(bytes.fromhex(digits[: len(digits) // 2 * 2]), np.uint8)
    packed = known.ids.packed()
    found = np.asarray((packed[:, : len(whole)] == whole).all(axis=1))
    return found & (packed[:, len(whole)] >> 4 == int(digits[-1], 16)) if len(digits) % 2 else found


def _keys(
    known: Entities, directory: Directory, seen: Mapping[Surface, NDArray[np.int64]], order: str
) -> NDArray[np.int64]:
    """Return (n,) different numbers that ascend in an order: that of the last row says where the next page begins."""
    first = {"least": 1, "most": -1}.get(order, 0) * sum(seen.values(), np.zeros(len(known), np.int64))
    if order == "busy":
        first = -known.count.astype(np.int64)
    return np.asarray(first * (len(known) + 1) + directory.rank)


def _smallest(rows: NDArray[np.int64], key: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the first PAGE_ROWS of these rows in the order of their keys, in time linear in the rows."""
    if len(rows) > PAGE_ROWS:
        rows = rows[np.argpartition(key[rows], PAGE_ROWS - 1)[:PAGE_ROWS]]
    return rows[np.argsort(key[rows])]


def _owned(entity: Entity) -> Surface:
    return next(s for s in Surface if s.owner is entity)


def _never(known: Entities, seen: Mapping[Surface, NDArray[np.int64]], rows: NDArray[np.int64]) -> int | None:
    if not seen:
        return None
    shown = rows[_shown(known)[rows]]
    return int((np.sum([exposure[shown] for exposure in seen.values()], axis=0) == 0).sum())


def _row(known: Entities, settings: Settings, seen: Mapping[Surface, NDArray[np.int64]], row: int, id: str) -> Row:
    role = "" if known.role[row] < 0 else Role.of_code(int(known.role[row])).value
    shown_as = [s for s in Surface if s.item is known.entity and (known.entity is Entity.STARTUP or s.role == role)]
    return Row(
        id,
        role,
        Segment.of_code(int(segments(known.count[row : row + 1], _owned(known.entity), settings)[0])).value,
        int(known.count[row]),
        {f: known.labels[f][codes[row]] for f, codes in known.facets.items() if codes[row] >= 0},
        _state(known, row),
        {s.value: int(seen[s][row]) if s in seen else None for s in shown_as},
    )


def _state(known: Entities, row: int) -> str:
    if known.opted_out[row]:
        return "opted out"
    if known.listed[row]:
        return "" if known.entity is Entity.STARTUP or known.role[row] >= 0 else "another role"
    return "withdrawn" if known.entity is Entity.STARTUP else "not there at the cutoff"
