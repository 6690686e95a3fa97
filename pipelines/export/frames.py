"""Rows in memory as the tables of a snapshot; the same sorting and the same rule of existence as the export's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.errors import DataError
from models.schema import INTERACTION_TYPES
from pipelines.export.checks import in_order, repeated
from pipelines.export.layout import INSTANT, INTERACTIONS
from pipelines.export.view_readings import ordered


def people_table(frame: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    """Users or startups with every column of the schema, ascending by id. Raises DataError for a repeated id."""
    ids = frame[schema.names[0]].str.lower()
    if ids.duplicated().any():
        raise DataError(f"expected every {schema.names[0]} once, got {ids[ids.duplicated()].iloc[0]} again")
    frame = frame.assign(**{schema.names[0]: ids}).sort_values(schema.names[0])
    return pa.table([_column(frame, field) for field in schema], schema=schema)


def events_table(
    users: pa.Table, startups: pa.Table, frame: pd.DataFrame, as_of_us: int
) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Who existed just before the cutoff, and the events before it. Raises DataError for a broken row."""
    at = _instants(frame["occurred_at"]) if len(frame) else np.zeros(0, np.int64)
    frame, at = frame[at < as_of_us], at[at < as_of_us]
    columns: dict[str, NDArray[Any]] = {
        "user": _places(frame["user_id"], users["user_id"]),
        "startup": _places(frame["startup_id"], startups["startup_id"]),
        "kind": codes_of(frame["interaction_type"].str.lower()),
    }
    for name, places in columns.items():
        if (places < 0).any():
            strays = frame[places < 0].head(3).to_string(index=False)
            raise DataError(f"expected every {name} of the events to be known, got\n{strays}")
    user, startup, kind = columns.values()
    order = in_order(user, startup, at, kind)
    kept = order[~repeated(user[order], startup[order], at[order], kind[order])]
    there_u, there_s = existed(users, user, as_of_us), existed(startups, startup, as_of_us)
    arrays = [(np.cumsum(there_u) - 1)[user[kept]], (np.cumsum(there_s) - 1)[startup[kept]], kind[kept], at[kept]]
    events = pa.table([pa.array(a, f.type) for a, f in zip(arrays, INTERACTIONS, strict=True)], schema=INTERACTIONS)
    return users.filter(pa.array(there_u)), startups.filter(pa.array(there_s)), events


def codes_of(types: pd.Series) -> NDArray[np.int8]:
    """(n,) the code of each event's type, -1 of what is no interaction."""
    codes = {t.value: t.code for t in INTERACTION_TYPES}
    return np.asarray(types.map(codes).fillna(-1), np.int8)


def readings_table(startups: pa.Table, frame: pd.DataFrame, as_of_us: int) -> pa.Table:
    """Readings of these startups before the cutoff. frame: startup_id, read_at, views; other startups are left out."""
    at = _instants(frame["read_at"]) if len(frame) else np.zeros(0, np.int64)
    place = np.where(at < as_of_us, _places(frame["startup_id"], startups["startup_id"]), -1)
    return ordered(place, at, frame["views"].to_numpy(np.int64))


def existed(people: pa.Table, met: NDArray[np.int64], as_of_us: int) -> NDArray[np.bool_]:
    """(n,) bool: born before the cutoff, of unknown birth, or with an event before it."""
    created = people["created_at"].cast(pa.int64())
    born = pc.fill_null(pc.less(created, as_of_us), True).to_numpy()
    return np.asarray(born | (np.bincount(met, minlength=len(people)) > 0))


def _places(words: pd.Series, known: pa.ChunkedArray) -> NDArray[np.int64]:
    """(n,) int64 place of each word among the known ones, -1 elsewhere."""
    place = pc.index_in(pa.array(words.str.lower(), pa.string()), value_set=known.combine_chunks())
    return np.asarray(pc.fill_null(place, -1).to_numpy(zero_copy_only=False), np.int64)


def _column(frame: pd.DataFrame, field: pa.Field) -> pa.Array:
    """One column of the schema; blank where the frame lacks it."""
    if field.name not in frame:
        return pa.array([""] * len(frame) if field.type == pa.string() else [None] * len(frame), field.type)
    if field.type == pa.string():
        return pa.array(frame[field.name].fillna("").astype(str), pa.string())
    if field.type == INSTANT:
        return pa.array(
            pd.to_datetime(frame[field.name].replace("", None), utc=True, format="ISO8601").astype(
                "datetime64[us, UTC]"
            ),
            INSTANT,
        )
    return pa.array(pd.to_numeric(frame[field.name].replace("", None)).astype("Int64"), field.type)


def _instants(column: pd.Series) -> NDArray[np.int64]:
    """(n,) int64 microseconds since 1970 UTC."""
    times = pd.to_datetime(column, utc=True, format="ISO8601").astype("datetime64[us, UTC]")
    return np.asarray(times.astype("int64"), np.int64)
