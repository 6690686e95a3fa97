"""What earlier exports read of the platform's running counters, on its way into a snapshot; whether it counts there.

A counter is overwritten: what it said at an earlier instant is known only where somebody read it then.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy import Engine, text

import sql
from models.data.entities import pack_ids
from pipelines.export.copy_rows import instants, rows_of
from pipelines.export.layout import READINGS
from pipelines.postgres import transaction
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
