"""Store view counter readings and interaction counts for later builds.

The platform overwrites a counter, so only readings keep its earlier values.
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
from models.schema import INTERACTION_TYPES, Entity
from models.settings.settings import Settings
from pipelines.export.copy_rows import IdRows, instants
from pipelines.export.layout import READINGS
from pipelines.postgres import copy_rows, rows, run_script, transaction
from pipelines.run.run import EPOCH, microseconds, parse_instant

FROM_READINGS, FROM_EVENTS = "readings", "events"


def copied_readings(startups: IdRows, table: pa.Table) -> pa.Table:
    """Convert rows of `view_readings` of known startups to READINGS."""
    at, views = instants(table["read_at"]).cast(pa.int64()), table["views"].cast(pa.int64())
    return ordered(startups.of_text(table["startup_id"]), at.to_numpy(), views.to_numpy())


def of_rows(readings: pa.Table, row: NDArray[np.int64]) -> pa.Table:
    """Sort the readings with new row numbers. row: (n,) new number of each startup, -1 if it is gone."""
    return ordered(row[readings["startup"].to_numpy()], readings["at"].to_numpy(), readings["views"].to_numpy())


def source_of_views(readings: pa.Table, per_week: Mapping[str, int], holdout_share: float) -> dict[str, Any]:
    """Return "from": the source of view counts, "since": the first reading, and the number of "readings".

    Uses readings only if the first one precedes the week of the validation split. Otherwise evaluation and lists would
    differ. per_week: events by Monday of the week.
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
    """Return (n,) int64 newest reading of each startup before an instant, -1 without one."""
    early = readings["at"].to_numpy() < before_us
    found = np.full(n, -1, np.int64)
    # Readings ascend by time, and the last value of a repeated index wins.
    found[readings["startup"].to_numpy()[early]] = readings["views"].to_numpy()[early]
    return found


def ordered(startup: NDArray[np.integer[Any]], at: NDArray[np.int64], views: NDArray[np.int64]) -> pa.Table:
    """Return a sorted READINGS table, without the rows of startup -1."""
    kept = np.flatnonzero(startup >= 0)
    order = kept[np.lexsort((at[kept], startup[kept]))]
    columns = (startup[order], at[order], views[order])
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, READINGS, strict=True)], schema=READINGS)


#: Maximum readings per startup. A growing counter needs 25 for each factor of ten.
MOST = 300
#: Days for which readings of a deleted startup stay.
GONE_DAYS = 400
_FOLDER = "readings"


def keep_readings(engine: Engine) -> int:
    """Store changed counters of all startups. Return the number of stored readings."""
    with transaction(engine) as connection:
        connection.execute(text(sql.load("forget_gone", _FOLDER)), {"days": GONE_DAYS})
        return connection.execute(text(sql.load("keep", _FOLDER)), {"most": MOST}).rowcount


#: Default for the first plausible instant.
EARLIEST = Settings().export.earliest.at
KINDS = [t.value for t in INTERACTION_TYPES]


def store_counts(engine: Engine, as_of: datetime, counts: Mapping[Entity, tuple[Any, NDArray[np.int64]]]) -> bool:
    """Store each person's count at a cutoff in one transaction, so that later counts agree with list routing.

    counts: ids, (n,) text, and counts, (n,). Returns False, without a change, if a later past cutoff is stored.
    """
    with transaction(engine) as connection:
        connection.execute(text("LOCK TABLE matchbook_counted IN SHARE ROW EXCLUSIVE MODE"))
        stored = connection.scalar(text("SELECT as_of FROM matchbook_counted"))
        if stored is not None and as_of < stored <= connection.scalar(text("SELECT CURRENT_TIMESTAMP")):
            return False
        connection.execute(
            text("CREATE TEMPORARY TABLE counted_now (LIKE matchbook_interaction_counts) ON COMMIT DROP")
        )
        for entity, (ids, count) in counts.items():
            copy_rows(connection, "counted_now", ("entity", "id", "interactions"), BytesIO(_as_csv(entity, ids, count)))
        run_script(connection, sql.load("keep_counts", _FOLDER))
        connection.execute(
            text(
                "INSERT INTO matchbook_counted (as_of) VALUES (:as_of) "
                "ON CONFLICT (one) DO UPDATE SET as_of = EXCLUDED.as_of"
            ),
            {"as_of": as_of},
        )
    return True


def interaction_count(engine: Engine, entity: Entity, id: UUID, as_of: datetime, earliest: datetime = EARLIEST) -> int:
    """Count a user's events (without duplicates) or a startup's distinct users before an instant."""
    found = rows(engine, f"counts/{entity}", **{f"{entity}_id": id}, as_of=as_of, kinds=KINDS, earliest=earliest)
    return int(found[0].interactions)


def _as_csv(entity: Entity, ids: Any, count: NDArray[np.int64]) -> bytes:
    """Return CSV for COPY. A missing row means 0."""
    table = pa.table({"entity": pa.repeat(entity.value, len(ids)), "id": ids, "interactions": count})
    table = table.filter(pa.array(count > 0))
    sink = pa.BufferOutputStream()
    pa.csv.write_csv(table, sink, pa.csv.WriteOptions(include_header=False))
    return bytes(sink.getvalue())
