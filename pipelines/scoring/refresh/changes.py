"""What happened on the platform since a release was made, and whose lists are to be made again for it."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from models.nouns.catalogue import CATALOGUE, entities_of
from models.nouns.entities import Entities
from models.nouns.interactions import Interactions
from models.nouns.release import Release
from models.nouns.vocabulary import Entity, InteractionKind
from models.settings import Settings
from pipelines.artifacts import Artifacts
from pipelines.data.snapshot import Snapshot
from pipelines.postgres import copy_out, engine, rows
from pipelines.runs.run import microseconds, parse_instant
from pipelines.scoring.refresh.arrivals import Arrival, arrivals, extended, texts_of_later

log = logging.getLogger(__name__)
#: Rows that came so late to the platform's tables are seen by the next refresh.
LATE = timedelta(minutes=15)
_HIDDEN = {Entity.USER: "since/opted_out", Entity.STARTUP: "since/withdrawn"}


@dataclass(frozen=True, eq=False)
class Changes:
    """The marketplace at an instant after a release.

    entities: everybody then, the release's own rows first. events: all before the instant, by these rows, users as
    owners. again: by kind (n,) int32 rows whose lists are made again, ascending. new: by kind, who came since that
    release, in the order of their rows. text: by kind (n,) str objects, the tokens of whoever came since the build,
    blank for all others. unknown: events that name nobody whom the platform knows, or no known type.
    """

    entities: Mapping[Entity, Entities]
    events: Interactions
    again: Mapping[Entity, np.ndarray]
    new: Mapping[Entity, Sequence[Arrival]]
    text: Mapping[Entity, np.ndarray]
    unknown: int

    @property
    def nothing(self) -> bool:
        """Whether every list is as it should be."""
        return not any(len(r) for r in self.again.values())


def find_changes(settings: Settings, release: Release, as_of: datetime) -> Changes:
    """What came before `as_of` that the release does not know.

    Events are read from the cutoff of the build on: its models were not taught them, an earlier refresh or not.
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
    events, unknown = _events(before_events, frame, entities)
    sides = {Entity.USER: events, Entity.STARTUP: events.transposed()}
    entities = {e: _counted(entities[e], side, len(before[e])) for e, side in sides.items()}
    fresh_us = microseconds(max(built, parse_instant(release.as_of) - LATE))
    again = {e: _again(before[e], entities[e], side, fresh_us) for e, side in sides.items()}
    if unknown:
        log.warning("%d events since %s are passed over: unknown people or types; the next build reports them",
                    unknown, built)
    text = {e: texts_of_later(settings, known, as_of) for e, known in entities.items()}
    return Changes(entities, events, again, {Entity.USER: new_users, Entity.STARTUP: new_startups}, text, unknown)


def known_events(settings: Settings, release: Release, entities: Mapping[Entity, Entities]) -> Interactions:
    """All events that a stored release knows, by its own rows, users as owners: of its snapshot, and of the platform's
    rows since where it is a refresh."""
    built = parse_instant(release.built)
    before = Snapshot.open(settings.artifacts / "snapshots" / release.snapshot).interactions()
    return _events(before, _rows_since(settings, built, parse_instant(release.as_of)), entities)[0]


def _rows_since(settings: Settings, since: datetime, as_of: datetime) -> pd.DataFrame:
    """Events of a window as text."""
    sink = io.BytesIO()
    copy_out(engine(settings), "since/interactions", {"since": since, "as_of": as_of}, sink)
    sink.seek(0)
    return pd.read_csv(sink, dtype=str, keep_default_na=False)


def _events(before: Interactions, frame: pd.DataFrame,
            entities: Mapping[Entity, Entities]) -> tuple[Interactions, int]:
    """Those of the snapshot and those since, a duplicate once, and how many name nobody or no type that is known."""
    users, startups = entities[Entity.USER].ids, entities[Entity.STARTUP].ids
    owner, item = users.rows_of(frame["user_id"].to_numpy(str)), startups.rows_of(frame["startup_id"].to_numpy(str))
    kind = pd.Categorical(frame["interaction_type"], categories=[k.value for k in InteractionKind]).codes
    at = pd.to_datetime(frame["occurred_at"], utc=True, format="ISO8601").astype("datetime64[us, UTC]").astype("int64")
    known = (owner >= 0) & (item >= 0) & (kind >= 0)
    since = np.unique(np.stack([owner, item, kind.astype(np.int64), at.to_numpy()], axis=1)[known], axis=0)
    columns = [np.concatenate([old, new.astype(old.dtype)]) for old, new in
               zip((before.owner, before.item, before.kind, before.at), since.T, strict=True)]
    return Interactions(users, startups, *columns), int((~known).sum())


def _with_the_gone(settings: Settings, known: Entities, since: datetime, as_of: datetime) -> Entities:
    """Who opted out or was withdrawn since is not listed any more, who came back is."""
    held = known.ids.ids[(~known.listed | known.opted_out) & ~known.ids.blank].tolist()
    found = rows(engine(settings), _HIDDEN[known.entity], since=since, as_of=as_of, held=held)
    place = known.ids.rows_of([str(row.id) for row in found])
    gone = np.array([bool(row.hidden) for row in found], bool)[place >= 0]
    listed, opted_out = known.listed.copy(), known.opted_out.copy()
    listed[place[place >= 0]] = ~gone
    if known.entity is Entity.USER:
        opted_out[place[place >= 0]] = gone
    return replace(known, listed=listed, opted_out=opted_out)


def _counted(entities: Entities, events: Interactions, known: int) -> Entities:
    """With everybody's interaction count (R09), and the totals of those who came since. known: rows that have them."""
    count = events.counts() if entities.entity is Entity.USER else events.distinct_counts()
    viewed = events.kind == InteractionKind.VIEW.code
    views, interactions = entities.views.copy(), entities.interactions.copy()
    for total, mine in ((views, viewed), (interactions, ~viewed)):
        total[known:] = np.bincount(events.owner[mine], minlength=len(entities))[known:]
    return replace(entities, count=count, views=views, interactions=interactions)


def _again(before: Entities, now: Entities, events: Interactions, fresh_us: int) -> np.ndarray:
    """Rows of one kind of whom something is known that the release did not know: another count, or an event from
    `fresh_us` on, as a startup that somebody meets again counts them once."""
    changed = np.ones(len(now), bool)
    n = len(before)
    changed[:n] = (now.count[:n] != before.count) | (now.opted_out[:n] != before.opted_out)
    changed[events.owner[events.at >= fresh_us]] = True
    return np.flatnonzero(changed & ~now.ids.blank).astype(np.int32)
