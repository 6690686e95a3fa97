"""Find what changed on the platform since a release, and the owners to rescore."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.catalogue.catalogue import CATALOGUE, entities_of
from models.data.entities import NIL, UNKNOWN_TIME, Entities, IdMap
from models.data.interactions import Interactions, Pairs
from models.data.profile_text import text_of
from models.lists.release import Release
from models.schema import FACETS, TABLE_OF, Entity, EventType, Role
from models.settings.settings import Settings
from models.words import folded, most_frequent_spellings
from pipelines.export.snapshot import Snapshot, codes_of
from pipelines.postgres import copy_out, engine, rows
from pipelines.run.run import microseconds, parse_instant
from pipelines.store.artifacts import Artifacts


@dataclass(frozen=True)
class Arrival:
    """A new person or startup.

    role: code of `Role`, -1 for startups and other roles. gone: opted out or withdrawn. text: tokens of the profile.
    founder: an id, blank if unknown. facets: text by FACETS.
    """

    id: str
    role: int
    created_us: int
    gone: bool
    text: str
    founder: str
    facets: Mapping[str, str]


def arrivals(
    settings: Settings, known: Entities, met: Iterable[str], since: datetime, as_of: datetime
) -> list[Arrival]:
    """Return new entities of a kind, ascending by id: created since, without a creation time, or in an event.

    met: ids in events. Ids in no table of the platform are left out.
    """
    name, database, earliest = f"{known.entity}s", engine(settings), settings.earliest_at
    born = [str(r.id) for r in rows(database, f"since/born_{name}", since=since, as_of=as_of, earliest=earliest)]
    asked = np.unique(np.array([*born, *met], "<U36"))
    unknown = asked[(known.ids.rows_of(asked) < 0) & (asked != "") & (asked != NIL)].tolist()
    found = rows(database, f"since/{name}", ids=unknown, as_of=as_of, earliest=earliest) if unknown else []
    return [_arrival(known, dict(row._mapping)) for row in found]


def extended(before: Entities, new: Sequence[Arrival], users: Entities | None = None) -> Entities:
    """Return all entities, new ones last with counts of 0. users: rows for founders."""
    ids = before.ids.extended([a.id for a in new]) if new else before.ids
    facets, labels = {}, {}
    for facet in FACETS:
        words = [a.facets.get(facet, "") for a in new]
        known = {folded(label) for label in before.labels[facet]}
        shown = most_frequent_spellings((word, 1) for word in words)
        labels[facet] = (*before.labels[facet], *(shown[word] for word in sorted(shown) if word not in known))
        place = {folded(label): code for code, label in enumerate(labels[facet])} | {"": -1}
        facets[facet] = _behind(before.facets[facet], [place[folded(word)] for word in words])
    founder = users.ids.rows_of([a.founder for a in new]) if users is not None and new else np.full(len(new), -1)
    zeros, people = [0] * len(new), before.entity is Entity.USER
    return replace(
        before,
        ids=ids,
        facets=facets,
        labels=labels,
        role=_behind(before.role, [a.role for a in new]),
        listed=_behind(before.listed, [not a.gone for a in new]),
        opted_out=_behind(before.opted_out, [people and a.gone for a in new]),
        founder=_behind(before.founder, founder.tolist()),
        created_at=_behind(before.created_at, [a.created_us for a in new]),
        views=_behind(before.views, zeros),
        interactions=_behind(before.interactions, zeros),
        count=_behind(before.count, zeros),
    )


def texts_of_later(settings: Settings, known: Entities, as_of: datetime) -> NDArray[np.object_]:
    """Return (n,) str objects: profile tokens of entities that are newer than the build, else blank."""
    text = np.full(len(known), "", object)
    later = known.ids.text(slice(len(known) - known.ids.later, None))
    later = later[later != ""].tolist()
    found = (
        rows(engine(settings), f"since/{known.entity}s", ids=later, as_of=as_of, earliest=settings.earliest_at)
        if later
        else []
    )
    for row in found:
        arrival = _arrival(known, dict(row._mapping))
        text[known.ids.rows_of([arrival.id])] = arrival.text
    return text


def _arrival(known: Entities, row: Mapping[str, Any]) -> Arrival:
    words = known.known_fields({name: value for name, value in row.items() if isinstance(value, str)})
    role = Role.of(words.pop("role", ""))
    created = UNKNOWN_TIME if row["created_at"] is None else microseconds(row["created_at"])
    facets = {name: words.get(name, "") for name in TABLE_OF[known.entity].facets}
    return Arrival(
        str(row["id"]),
        -1 if role is None else role.code,
        created,
        bool(row["gone"]),
        text_of(words),
        str(row.get("founder_id") or ""),
        facets,
    )


def _behind(column: NDArray[Any], more: Sequence[Any]) -> NDArray[Any]:
    return np.concatenate([column, np.array(more, column.dtype)])


log = logging.getLogger(__name__)
#: Rows that reach the platform's tables at most this late are seen by the next refresh.
LATE = timedelta(minutes=15)
_HIDDEN = {Entity.USER: "since/opted_out", Entity.STARTUP: "since/withdrawn"}


@dataclass(frozen=True, eq=False)
class Changes:
    """The marketplace at an instant after a release.

    entities: all, the release's own rows first.
    events: all before the instant, users as owners.
    again: by kind, (n,) int32 rows to rescore, ascending.
    new: by kind, entities new since that release.
    text: by kind, (n,) str objects: profile tokens of entities newer than the build, else blank.
    unknown: number of events with unknown ids or types.
    """

    entities: Mapping[Entity, Entities]
    events: Interactions
    again: Mapping[Entity, NDArray[np.int32]]
    new: Mapping[Entity, Sequence[Arrival]]
    text: Mapping[Entity, NDArray[np.object_]]
    unknown: int

    @property
    def nothing(self) -> bool:
        """Return whether no list has to change."""
        return not any(len(r) for r in self.again.values())


def find_changes(settings: Settings, release: Release, as_of: datetime) -> Changes:
    """Return the changes before `as_of` that the release does not include.

    Reads events from the build's cutoff on, also after earlier refreshes, because its models were trained up to there.
    Raises DataError, BundleError, ServiceError.
    """
    built = parse_instant(release.built)
    before = entities_of(Artifacts(settings).open_bundle(CATALOGUE, release.bundles[CATALOGUE]))
    frame = _rows_since(settings, built, as_of)
    users, startups = before[Entity.USER], before[Entity.STARTUP]
    new_users = arrivals(settings, users, frame["user_id"].unique(), built, as_of)
    new_startups = arrivals(settings, startups, frame["startup_id"].unique(), built, as_of)
    everybody = extended(users, new_users)
    entities = {Entity.USER: everybody, Entity.STARTUP: extended(startups, new_startups, everybody)}
    entities = {e: _with_the_gone(settings, known, built, as_of) for e, known in entities.items()}
    before_events = Snapshot.open(settings.artifacts / "snapshots" / release.snapshot).interactions()
    barring = _barring(settings, built, as_of)
    events, unknown = _events(before_events, frame, entities, barring)
    sides = {Entity.USER: events, Entity.STARTUP: events.transposed()}
    entities = {e: _counted(entities[e], side, len(before[e])) for e, side in sides.items()}
    fresh_us = microseconds(max(built, parse_instant(release.as_of) - LATE))
    fresh = {e: barring.fresh(x, fresh_us) for e, x in entities.items()}
    again = {e: _again(before[e], entities[e], side, fresh_us, fresh[e]) for e, side in sides.items()}
    if unknown:
        log.warning("%d events since %s are skipped: unknown ids or types; the next build reports them", unknown, built)
    text = {e: texts_of_later(settings, known, as_of) for e, known in entities.items()}
    return Changes(entities, events, again, {Entity.USER: new_users, Entity.STARTUP: new_startups}, text, unknown)


def known_events(settings: Settings, release: Release, entities: Mapping[Entity, Entities]) -> Interactions:
    """Return all events that a stored release includes, by its own rows, users as owners.

    They come from its snapshot and, for a refresh, from the platform's later rows.
    """
    built = parse_instant(release.built)
    before = Snapshot.open(settings.artifacts / "snapshots" / release.snapshot).interactions()
    as_of = parse_instant(release.as_of)
    return _events(before, _rows_since(settings, built, as_of), entities, _barring(settings, built, as_of))[0]


@dataclass(frozen=True, eq=False)
class _Barring:
    """Pairs that a dismissal excludes now, and pairs with a retraction since the build; text frames.

    dismissed: user_id, startup_id, at, told_at. retracted: user_id, startup_id, told_at.
    stays: all interactions of the retracted pairs that the platform still has.
    """

    dismissed: pd.DataFrame
    retracted: pd.DataFrame
    stays: pd.DataFrame

    def fresh(self, known: Entities, fresh_us: int) -> NDArray[np.int32]:
        """Return the rows of one kind with a dismissal or retraction from an instant on."""
        told = pd.concat(
            [f.loc[_us(f["told_at"]) >= fresh_us, f"{known.entity}_id"] for f in (self.dismissed, self.retracted)]
        )
        rows = known.ids.rows_of(told.to_numpy(str))
        return np.unique(rows[rows >= 0])


def _barring(settings: Settings, built: datetime, as_of: datetime) -> _Barring:
    retracted = _frame(settings, "since/retracted", {"since": built - LATE, "as_of": as_of})
    pairs = {"users": retracted["user_id"].tolist(), "startups": retracted["startup_id"].tolist()}
    stays = _frame(settings, "since/pairs", {**pairs, "since": "-infinity", "as_of": as_of})
    return _Barring(
        _frame(settings, "events/dismissals", {"as_of": as_of}),
        retracted,
        stays[stays["interaction_type"] != EventType.DISMISS.value],
    )


def _us(column: pd.Series) -> NDArray[np.int64]:
    """Return (n,) int64 microseconds of instants given as text."""
    at = pd.to_datetime(column, utc=True, format="ISO8601")
    return np.asarray(at.astype("datetime64[us, UTC]").astype("int64").to_numpy())


def _rows_since(settings: Settings, since: datetime, as_of: datetime) -> pd.DataFrame:
    return _frame(settings, "since/interactions", {"since": since, "as_of": as_of})


def _frame(settings: Settings, query: str, given: Mapping[str, Any]) -> pd.DataFrame:
    """Return the result of a query with all columns as text."""
    sink = io.BytesIO()
    copy_out(engine(settings), query, given, sink)
    sink.seek(0)
    return pd.read_csv(sink, dtype=str, keep_default_na=False)


def _events(
    before: Interactions, frame: pd.DataFrame, entities: Mapping[Entity, Entities], barring: _Barring
) -> tuple[Interactions, int]:
    """Return the snapshot's and later events without duplicates, and the number with unknown ids or types.

    For pairs with a later retraction, only events that the platform still has are kept.
    """
    users, startups = entities[Entity.USER].ids, entities[Entity.STARTUP].ids
    gone = _pairs(barring.retracted, users, startups)
    kept = before.where(~np.isin(_one(before.owner, before.item), _one(*gone)))
    frame = pd.concat([frame, barring.stays])
    owner, item = _pairs(frame, users, startups)
    kind = codes_of(frame["interaction_type"])
    at = _us(frame["occurred_at"])
    known = (owner >= 0) & (item >= 0) & (kind >= 0)
    since = np.unique(np.stack([owner, item, kind.astype(np.int64), at], axis=1)[known], axis=0)
    old: tuple[NDArray[Any], ...] = (kept.owner, kept.item, kept.kind, kept.at)
    owner, item, kind, at = (
        np.concatenate([then, new.astype(then.dtype)]) for then, new in zip(old, since.T, strict=True)
    )
    dismissed = Pairs(*_pairs(barring.dismissed, users, startups), _us(barring.dismissed["at"]))
    dismissed = dismissed.where((dismissed.owner >= 0) & (dismissed.item >= 0))
    return Interactions(users, startups, owner, item, kind, at, dismissed), int((~known).sum())


def _pairs(frame: pd.DataFrame, users: IdMap, startups: IdMap) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return (n,) int32 rows of both sides, -1 if unknown."""
    return users.rows_of(frame["user_id"].to_numpy(str)), startups.rows_of(frame["startup_id"].to_numpy(str))


def _one(owner: NDArray[np.int32], item: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return (n,) int64, one number per pair."""
    return (owner.astype(np.int64) << 32) | item.astype(np.int64)


def _with_the_gone(settings: Settings, known: Entities, since: datetime, as_of: datetime) -> Entities:
    """Update listings: people who opted out and withdrawn startups are unlisted, returned ones listed again."""
    held = known.ids.text((~known.listed | known.opted_out) & ~known.ids.blank).tolist()
    found = rows(engine(settings), _HIDDEN[known.entity], since=since, as_of=as_of, held=held)
    place = known.ids.rows_of([str(row.id) for row in found])
    gone = np.array([bool(row.hidden) for row in found], bool)[place >= 0]
    listed, opted_out = known.listed.copy(), known.opted_out.copy()
    listed[place[place >= 0]] = ~gone
    if known.entity is Entity.USER:
        opted_out[place[place >= 0]] = gone
    return replace(known, listed=listed, opted_out=opted_out)


def _counted(entities: Entities, events: Interactions, known: int) -> Entities:
    """Update interaction counts (R09), and totals of new entities. known: number of rows that have totals."""
    count = events.counts() if entities.entity is Entity.USER else events.distinct_counts()
    viewed = events.kind == EventType.VIEW.code
    views, interactions = entities.views.copy(), entities.interactions.copy()
    for total, mine in ((views, viewed), (interactions, ~viewed)):
        total[known:] = np.bincount(events.owner[mine], minlength=len(entities))[known:]
    return replace(entities, count=count, views=views, interactions=interactions)


def _again(
    before: Entities, now: Entities, events: Interactions, fresh_us: int, fresh: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Return the rows of one kind to rescore: a changed count or opt-out, an event from `fresh_us` on, or `fresh`.

    Repeated events of one person do not change a startup's count. fresh: rows with a dismissal or retraction.
    """
    changed = np.ones(len(now), bool)
    n = len(before)
    changed[:n] = (now.count[:n] != before.count) | (now.opted_out[:n] != before.opted_out)
    changed[events.owner[events.at >= fresh_us]] = True
    changed[fresh] = True
    return np.flatnonzero(changed & ~now.ids.blank).astype(np.int32)
