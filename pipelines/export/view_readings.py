"""Readings of the platform's running counters, and counts of interactions at a cutoff: what an export keeps for later.

A counter is overwritten: what it said at an earlier instant is known only where somebody read it then.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray
from sqlalchemy import Engine, text

import sql
from models.data.entities import Entities, pack_ids
from models.schema import INTERACTION_TYPES, Entity
from models.settings.settings import Settings
from pipelines.export.copy_rows import instants, rows_of
from pipelines.export.layout import READINGS
from pipelines.postgres import copy_rows, rows, transaction
from pipelines.run.run import EPOCH, microseconds, parse_instant

#: Where the views of a startup come from.
FROM_READINGS, FROM_EVENTS = "readings", "events"


def copied_readings(known: pa.FixedSizeBinaryArray, table: pa.Table) -> pa.Table:
    """Rows of `view_readings` as READINGS, startups by their place among the known ids; others are left out."""
    ids = np.ascontiguousarray(pack_ids(table["startup_id"].to_numpy().astype("<U36"))).view("V16").ravel()
    at, views = instants(table["read_at"]).cast(pa.int64()), table["views"].cast(pa.int64())
    return ordered(rows_of(ids, known), at.to_numpy(), views.to_numpy())


def of_rows(readings: pa.Table, row: NDArray[np.int64]) -> pa.Table:
    """The readings with other row numbers, in order. row: (n,) the new number of each, -1 for one that is gone."""
    return ordered(row[readings["startup"].to_numpy()], readings["at"].to_numpy(), readings["views"].to_numpy())


def source_of_views(readings: pa.Table, per_week: Mapping[str, int], holdout_share: float) -> dict[str, Any]:
    """For the manifest: "from", whether readings or view events say how often a startup was viewed; "since", the first
    reading; "readings", their number.

    Readings count where the first one lies before the week of the inner cut. Otherwise models would be judged, and
    rankers taught, with one kind of number, and lists made with another. per_week: events by the Monday of their week.
    """
    since = int(readings["at"].to_numpy().min()) if len(readings) else None
    counts = np.cumsum(list(per_week.values()))
    early = False
    if since is not None and len(counts):
        week = int(np.searchsorted(counts, int(counts[-1] * (1 - holdout_share)), side="right"))
        early = since < microseconds(parse_instant(list(per_week)[min(week, len(counts) - 1)]))
    first = None if since is None else (EPOCH + timedelta(microseconds=since)).isoformat()
    return {"from": FROM_READINGS if early else FROM_EVENTS, "since": first, "readings": len(readings)}


def newest(readings: pa.Table, before_us: int, n: int) -> NDArray[np.int64]:
    """(n,) int64 the newest reading of each startup before an instant, -1 without one."""
    early = readings["at"].to_numpy() < before_us
    found = np.full(n, -1, np.int64)
    # they ascend by time, and of equal places the last value stays
    found[readings["startup"].to_numpy()[early]] = readings["views"].to_numpy()[early]
    return found


def ordered(startup: NDArray[np.integer[Any]], at: NDArray[np.int64], views: NDArray[np.int64]) -> pa.Table:
    """As READINGS, in order, without those of startup -1."""
    kept = np.flatnonzero(startup >= 0)
    order = kept[np.lexsort((at[kept], startup[kept]))]
    columns = (startup[order], at[order], views[order])
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, READINGS, strict=True)], schema=READINGS)


#: Readings of one startup at most: a counter that grows needs 25 for each tenfold.
MOST = 300
#: For so long the readings of a startup stay that the platform has no more.
GONE_DAYS = 400
_FOLDER = "readings"


def keep_readings(engine: Engine) -> int:
    """Read every startup's counter now and keep what moved; returns how many readings were kept."""
    with transaction(engine) as connection:
        connection.execute(text(sql.load("forget_gone", _FOLDER)), {"days": GONE_DAYS})
        return connection.execute(text(sql.load("keep", _FOLDER)), {"most": MOST}).rowcount


#: Before this nothing is plausible where no setting says otherwise.
EARLIEST = Settings().export.earliest.at
KINDS = [t.value for t in INTERACTION_TYPES]


def store_counts(engine: Engine, as_of: datetime, *entities: Entities) -> bool:
    """Store everybody's count at a cutoff, in one transaction; False, and no change, where a later one is stored that
    has passed.

    The counts are those of the build, so the lists' routes and a later count agree.
    """
    with transaction(engine) as connection:
        connection.execute(text("LOCK TABLE matchbook_counted IN SHARE ROW EXCLUSIVE MODE"))
        stored = connection.scalar(text("SELECT as_of FROM matchbook_counted"))
        if stored is not None and as_of < stored <= connection.scalar(text("SELECT CURRENT_TIMESTAMP")):
            return False
        connection.execute(text("DELETE FROM matchbook_interaction_counts"))
        for everybody in entities:
            copy_rows(
                connection,
                "matchbook_interaction_counts",
                ("entity", "id", "interactions"),
                BytesIO(_as_csv(everybody)),
            )
        connection.execute(
            text(
                "INSERT INTO matchbook_counted (as_of) VALUES (:as_of) "
                "ON CONFLICT (one) DO UPDATE SET as_of = EXCLUDED.as_of"
            ),
            {"as_of": as_of},
        )
    return True


def interaction_count(engine: Engine, entity: Entity, id: UUID, as_of: datetime, earliest: datetime = EARLIEST) -> int:
    """Events of a user (duplicates once) or different users of a startup before an instant; 0 for a stranger."""
    found = rows(engine, f"counts/{entity}", **{f"{entity}_id": id}, as_of=as_of, kinds=KINDS, earliest=earliest)
    return int(found[0].interactions)


def _as_csv(everybody: Entities) -> bytes:
    """COPY's CSV of those with any event; who has no row has none."""
    some = np.flatnonzero(everybody.count)
    table = pa.table(
        {
            "entity": np.full(len(some), everybody.entity.value),
            "id": everybody.ids.ids[some],
            "interactions": everybody.count[some],
        }
    )
    sink = pa.BufferOutputStream()
    pa.csv.write_csv(table, sink, pa.csv.WriteOptions(include_header=False))
    return bytes(sink.getvalue())
