"""Reduce a snapshot to what was known at an earlier instant."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

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
    events = snapshot.events.filter(pc.less(snapshot.events["at"], cut_us))
    out = pc.min_element_wise(snapshot.users["opted_out_at"].cast(pa.int64()), cut_us - 1, skip_nulls=False)
    users = _put(snapshot.users, "opted_out_at", out.cast(INSTANT))
    users = _told(users, ("role", *USERS.text), _arrived(users, events["user"].to_numpy(), cut_us))
    startups = _before(snapshot.startups, "withdrawn_at", cut_us)
    startups = _told(startups, STARTUPS.text, _arrived(startups, events["startup"].to_numpy(), cut_us))
    if snapshot.stage_known != "always":
        met = np.isin(np.arange(len(startups)), events["startup"].to_numpy())
        startups = _told(startups, ("stage",), met)
    settings = {**snapshot.manifest["settings"], "stage_known": snapshot.stage_known}
    manifest = {**snapshot.manifest, "as_of": _iso(cut_us), "settings": settings}
    return replace(
        snapshot,
        name=f"{snapshot.name}-truncated",
        manifest=manifest,
        users=users,
        startups=startups,
        events=events,
        readings=snapshot.readings.filter(pc.less(snapshot.readings["at"], cut_us)),
    )


def known_at(snapshot: Snapshot, cut_us: int) -> Snapshot:
    """Return only the rows that existed before an instant, with new row numbers.

    As `truncated`, without later arrivals, erased rows and people who opted out. The digest of the name
    `<slug>-<digest8>` covers ids, events and readings. It omits profile texts, because the platform keeps only their
    newest state.
    """
    past = truncated(snapshot, cut_us)
    met = [past.events[side].to_numpy() for side in ("user", "startup")]
    users = _arrived(past.users, met[0], cut_us) & ~snapshot.silent & ~snapshot.user_ids.blank
    startups = _arrived(past.startups, met[1], cut_us) & ~snapshot.startup_ids.blank
    kept = (
        past.users.filter(pa.array(users)),
        past.startups.filter(pa.array(startups)),
        _moved(past.events, users, startups),
        snapshot.dismissals.slice(0, 0),  # they are never trained on
        _moved(past.readings, None, startups),
    )
    rules = [past.manifest.get("withheld", {}), snapshot.stage_known, snapshot.views_from]
    digest = hashlib.sha256(json.dumps(rules, sort_keys=True).encode())
    for table in (kept[0].select(["user_id"]), kept[1].select(["startup_id"]), kept[2], kept[4]):
        for column in table.columns:
            values = column.to_numpy()
            digest.update(values.astype("U36").tobytes() if values.dtype == object else values.tobytes())
    name = f"{slug_of(EPOCH + timedelta(microseconds=cut_us))}-{digest.hexdigest()[:8]}"
    return Snapshot(name, past.manifest, *kept)


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


def _arrived(table: pa.Table, met: NDArray[np.int32], cut_us: int) -> NDArray[np.bool_]:
    """Return (n,) bool: created before the cut or at an unknown time, or in `met`, the rows of earlier events."""
    early = pc.fill_null(pc.less(table["created_at"].cast(pa.int64()), cut_us), True)
    return np.asarray(early.to_numpy() | np.isin(np.arange(len(table)), met))


def _told(table: pa.Table, columns: Sequence[str], keep: NDArray[np.bool_]) -> pa.Table:
    for column in columns:
        table = _put(table, column, pc.if_else(pa.array(keep), table[column], ""))
    return table


def _put(table: pa.Table, column: str, values: pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.schema.get_field_index(column), table.schema.field(column), values)


def _iso(us: int) -> str:
    return (EPOCH + timedelta(microseconds=us)).isoformat()
