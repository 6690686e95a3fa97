"""Reduce a snapshot to what was known at an earlier instant."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.schema import STARTUPS, USERS
from pipelines.export.layout import INSTANT
from pipelines.export.snapshot import Snapshot
from pipelines.run.run import EPOCH, slug_of


def truncated(snapshot: Snapshot, cut_us: int) -> Snapshot:
    """Return the snapshot without data from an instant on. Row numbers stay.

    Later events and readings are dropped. These become blank: later withdrawals, role and text of later arrivals, and
    stages before the first event (`stage_known`). People who opt out by the cutoff count as opted out at every cut
    (R23).
    """
    events, readings = (t.filter(pc.less(t["at"], cut_us)) for t in (snapshot.events, snapshot.readings))
    met = _met(snapshot, events)
    users = _told(snapshot.users, ("role", *USERS.text), _arrived(snapshot.users, met[0], cut_us))
    startups = _told(snapshot.startups, STARTUPS.text, _arrived(snapshot.startups, met[1], cut_us))
    return _then(snapshot, f"{snapshot.name}-truncated", cut_us, (users, startups, events, readings), met[1])


def known_at(snapshot: Snapshot, cut_us: int) -> Snapshot:
    """Return only the rows that existed before an instant, with new row numbers, named by `name_at`.

    As `truncated`, without later arrivals, erased rows and people who opted out.
    """
    there = _existing(snapshot, cut_us)
    users, startups = snapshot.users.filter(pa.array(there.users)), snapshot.startups.filter(pa.array(there.startups))
    tables = users, startups, there.events, there.readings
    past = _then(snapshot, name_at(snapshot, cut_us, there), cut_us, tables, there.met[there.startups])
    return replace(past, dismissals=snapshot.dismissals.slice(0, 0))  # they are never trained on


def name_at(snapshot: Snapshot, cut_us: int, there: _Existing | None = None) -> str:
    """Return the name `<slug>-<digest8>` of `known_at`, without making it. A snapshot remembers its names.

    there: what existed then, if it is known. The digest covers ids, events and readings. It omits profile texts,
    because the platform keeps only their newest state.
    """
    if cut_us not in snapshot.past_names:
        users, startups, events, readings, _ = there or _existing(snapshot, cut_us)
        rules = [snapshot.manifest.get("withheld", {}), snapshot.stage_known, snapshot.views_from]
        digest = hashlib.sha256(json.dumps(rules, sort_keys=True).encode())
        for ids, kept in ((snapshot.user_ids.ids, users), (snapshot.startup_ids.ids, startups)):
            digest.update(ids[kept].astype("S36").tobytes())
        for column in (*events.columns, *readings.columns):
            digest.update(column.to_numpy().tobytes())
        slug = slug_of(EPOCH + timedelta(microseconds=cut_us))
        snapshot.past_names[cut_us] = f"{slug}-{digest.hexdigest()[:8]}"
    return snapshot.past_names[cut_us]


class _Existing(NamedTuple):
    """What existed before an instant.

    users, startups: (n,) bool over the snapshot's rows. events, readings: with the row numbers of what existed.
    met: (startups,) bool, has an earlier event.
    """

    users: NDArray[np.bool_]
    startups: NDArray[np.bool_]
    events: pa.Table
    readings: pa.Table
    met: NDArray[np.bool_]


def _existing(snapshot: Snapshot, cut_us: int) -> _Existing:
    events, readings = (t.filter(pc.less(t["at"], cut_us)) for t in (snapshot.events, snapshot.readings))
    met = _met(snapshot, events)
    users = _arrived(snapshot.users, met[0], cut_us) & ~snapshot.silent & ~snapshot.user_ids.blank
    startups = _arrived(snapshot.startups, met[1], cut_us) & ~snapshot.startup_ids.blank
    return _Existing(users, startups, _moved(events, users, startups), _moved(readings, None, startups), met[1])


def _then(snapshot: Snapshot, name: str, cut_us: int, tables: tuple[pa.Table, ...], met: NDArray[np.bool_]) -> Snapshot:
    """Return a snapshot of these users, startups, events and readings, without opt-outs and withdrawals to come.

    met: (startups,) bool, has an earlier event.
    """
    users, startups, events, readings = tables
    out = pc.min_element_wise(users["opted_out_at"].cast(pa.int64()), cut_us - 1, skip_nulls=False)
    startups = _before(startups, "withdrawn_at", cut_us)
    if snapshot.stage_known != "always":
        startups = _told(startups, ("stage",), met)
    settings = {**snapshot.manifest["settings"], "stage_known": snapshot.stage_known}
    return replace(
        snapshot,
        name=name,
        manifest={**snapshot.manifest, "as_of": _iso(cut_us), "settings": settings},
        users=_put(users, "opted_out_at", out.cast(INSTANT)),
        startups=startups,
        events=events,
        readings=readings,
    )


def _met(snapshot: Snapshot, events: pa.Table) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return (users,) and (startups,) bool: has one of these events."""
    found = np.zeros(len(snapshot.users), bool), np.zeros(len(snapshot.startups), bool)
    for mask, side in zip(found, ("user", "startup"), strict=True):
        mask[events[side].to_numpy()] = True
    return found


def _moved(table: pa.Table, users: NDArray[np.bool_] | None, startups: NDArray[np.bool_]) -> pa.Table:
    sides = {"startup": startups} if users is None else {"user": users, "startup": startups}
    for name, kept in sides.items():
        table = table.filter(pa.array(kept[table[name].to_numpy()]))
        place = (np.cumsum(kept) - 1)[table[name].to_numpy()]
        table = _put(table, name, pa.chunked_array([pa.array(place, table.schema.field(name).type)]))
    return table


def _before(table: pa.Table, column: str, cut_us: int) -> pa.Table:
    """Replace instants at or after the cut by blanks."""
    early = pc.less(table[column].cast(pa.int64()), cut_us)
    return _put(table, column, pc.if_else(early, table[column], None))


def _arrived(table: pa.Table, met: NDArray[np.bool_], cut_us: int) -> NDArray[np.bool_]:
    """Return (n,) bool: created before the cut or at an unknown time, or `met`: has an earlier event."""
    early = pc.fill_null(pc.less(table["created_at"].cast(pa.int64()), cut_us), True)
    return np.asarray(early.to_numpy() | met)


def _told(table: pa.Table, columns: Sequence[str], keep: NDArray[np.bool_]) -> pa.Table:
    for column in columns:
        table = _put(table, column, pc.if_else(pa.array(keep), table[column], ""))
    return table


def _put(table: pa.Table, column: str, values: pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.schema.get_field_index(column), table.schema.field(column), values)


def _iso(us: int) -> str:
    return (EPOCH + timedelta(microseconds=us)).isoformat()
