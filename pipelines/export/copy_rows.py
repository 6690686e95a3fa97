"""Read PostgreSQL's COPY in pieces: events from binary rows of fixed width, people from CSV."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sqlalchemy import Connection

from models.data.entities import NIL, Erased, pack_ids
from models.errors import DataError
from pipelines.export.checks import Rejected
from pipelines.export.layout import INSTANT, RowGroups
from pipelines.postgres import copy_answer

#: Bytes of a piece. With its columns about 30 MB stay in memory.
PIECE = 8 << 20

#: A binary row of `events/coded`: the number of cells, then each cell's width and value.
_ROW = np.dtype(
    [
        ("cells", ">i2"),
        ("w1", ">i4"),
        ("user", "V16"),
        ("w2", ">i4"),
        ("startup", "V16"),
        ("w3", ">i4"),
        ("kind", ">i2"),
        ("w4", ">i4"),
        ("at", ">i8"),
    ]
)
_WIDTHS = {"cells": 4, "w1": 16, "w2": 16, "w3": 2, "w4": 8}
_HEAD, _TAIL = 19, b"\xff\xff"
#: PostgreSQL counts microseconds from 2000-01-01.
_EPOCH_2000 = 946_684_800_000_000


class EventCells(NamedTuple):
    """Events as read from COPY.

    user, startup: (n,) V16 bytes of the ids.
    kind: (n,) int8 code, -1 for a broken row.
    at: (n,) int64 microseconds since 1970 UTC, undefined for a broken row.
    """

    user: NDArray[Any]
    startup: NDArray[Any]
    kind: NDArray[Any]
    at: NDArray[Any]


def copy_events(connection: Connection, params: Mapping[str, Any], take: Callable[[EventCells], None]) -> None:
    """Pass every row of `events/coded` to `take`, in constant memory. Raises DataError if a cell has another width."""
    pieces = _EventPieces(take)
    with io.BufferedWriter(pieces, PIECE) as sink:
        copy_answer(connection, "events/coded", params, cast(IO[bytes], sink), "binary")
    pieces.finish()


class _EventPieces(io.RawIOBase):
    """Receive bytes from a buffer that runs in C, so that a row costs no Python call."""

    def __init__(self, take: Callable[[EventCells], None]) -> None:
        self._take, self._rest, self._begun = take, b"", False

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:
        given = len(piece)
        data = self._rest + bytes(piece)
        if not self._begun:
            self._begun, data = True, data[_HEAD:]
        whole = len(data) // _ROW.itemsize
        self._rest = data[whole * _ROW.itemsize :]
        if whole:
            self._take(_cells(np.frombuffer(data, _ROW, whole)))
        return given

    def finish(self) -> None:
        if self._rest != _TAIL:
            raise DataError(
                f"the copy of matchbook_interactions ended in {self._rest[:16]!r}, not in the end mark; export again"
            )


def _cells(rows: NDArray[np.void]) -> EventCells:
    for cell, width in _WIDTHS.items():
        if not (rows[cell] == width).all():
            raise DataError(
                "matchbook_interactions gave cells of an unexpected width; its columns must be uuid, uuid, text and "
                "timestamptz (see docs/guides/your-data.md)"
            )
    return EventCells(
        np.ascontiguousarray(rows["user"]),
        np.ascontiguousarray(rows["startup"]),
        rows["kind"].astype(np.int8),
        rows["at"].astype(np.int64) + _EPOCH_2000,
    )


def id_array(ids: NDArray[np.void]) -> pa.FixedSizeBinaryArray:
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(ids), [None, pa.py_buffer(ids)])


def rows_of(ids: NDArray[np.void], known: pa.FixedSizeBinaryArray) -> NDArray[np.int32]:
    """Return (n,) int32 position of each V16 id, -1 if unknown."""
    return np.asarray(pc.fill_null(pc.index_in(id_array(ids), value_set=known), -1).to_numpy())


def copy_tables(
    connection: Connection, query: str, params: Mapping[str, Any], take: Callable[[pa.Table], None]
) -> None:
    """Pass a query's result to `take` as tables of text columns, null as "", in constant memory."""
    pieces = _TextPieces(take)
    copy_answer(connection, query, params, cast(IO[bytes], pieces))
    pieces.finish()


class _TextPieces:
    """A sink of CSV rows. PostgreSQL sends the column names first, then one row per write."""

    def __init__(self, take: Callable[[pa.Table], None]) -> None:
        self._take, self._names, self._rows, self._bytes = take, b"", list[bytes](), 0

    def write(self, row: bytes) -> int:
        if not self._names:
            self._names = row
            return len(row)
        self._rows.append(row)
        self._bytes += len(row)
        if self._bytes >= PIECE:
            self.finish()
        return len(row)

    def finish(self) -> None:
        if self._rows:
            self._take(_text_table(self._names, b"".join(self._rows)))
        self._rows, self._bytes = [], 0


def _text_table(names: bytes, rows: bytes) -> pa.Table:
    columns = names.decode().strip().split(",")
    return pa_csv.read_csv(
        pa.BufferReader(rows),
        read_options=pa_csv.ReadOptions(column_names=columns, block_size=len(rows) + 1),
        parse_options=pa_csv.ParseOptions(newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.string())),
    )


def typed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Convert text columns to the types of the schema. "" becomes null unless the column is text."""
    return pa.table([_typed(table[f.name], f.type) for f in schema], schema=schema)


def _typed(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if kind == pa.string():
        return column
    known = pc.if_else(pc.equal(column, ""), None, column)
    return instants(known) if kind == INSTANT else known.cast(kind)


def instants(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return PostgreSQL's times as microseconds, clipped to the years 1 to 9999."""
    early = pc.match_substring_regex(column, r"^-infinity|BC$")
    late = pc.match_substring_regex(column, r"^infinity|^\d{5}")
    text = pc.if_else(early, "0001-01-01 00:00:00+00", pc.if_else(late, "9999-12-31 23:59:59.999999+00", column))
    return pc.cast(text, INSTANT)


class People:
    """Write rows of `users` or `startups`, ascending by id. A context manager for its first file.

    Erased people are left out, also as founders. Opt-outs and withdrawals count at any age.
    An implausibly early created_at or updated_at is reported and becomes blank.
    view: the contract view. known: the ids. born: bool, created before the cutoff or at an unknown time.
    """

    def __init__(
        self,
        view: str,
        path: Path,
        schema: pa.Schema,
        as_of_us: int,
        earliest_us: int,
        rejected: Rejected,
        erased: Erased,
    ) -> None:
        self.view, self._schema, self._as_of_us, self._rejected = view, schema, as_of_us, rejected
        self._erased, self._earliest_us = erased, earliest_us
        self._all = path.with_suffix(".all")
        self._path, self._groups, self._last = path, RowGroups(self._all, schema), ""
        self._ids: list[NDArray[Any]] = []
        self._born: list[NDArray[Any]] = []

    def __enter__(self) -> People:
        self._groups.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._groups.__exit__(*error)  # type: ignore[arg-type]

    def take(self, table: pa.Table) -> None:
        """Add text rows. Reject rows without an id, with the nil UUID or with a repeated id."""
        table = self._without_erased(table)
        ids = table[self._schema.names[0]].to_numpy()
        again = ids == np.concatenate([np.array([self._last], object), ids[:-1]])
        nobody = (ids == "") | (ids == NIL)
        for mask, reason in ((nobody, "no id"), (again & ~nobody, "repeated id")):
            self._rejected.add(
                self.view, int(mask.sum()), **{self._schema.names[0]: pa.array(ids[mask], pa.string())}, reason=reason
            )
        self._last = ids[-1] if len(ids) else self._last
        self._keep(typed(table.filter(pa.array(~again & ~nobody)), self._schema))

    @property
    def known(self) -> pa.FixedSizeBinaryArray:
        return id_array(np.concatenate([np.zeros(0, "V16"), *self._ids]))

    @property
    def born(self) -> NDArray[np.bool_]:
        return np.concatenate([np.zeros(0, bool), *self._born])

    def write(self, there: NDArray[np.bool_]) -> int:
        """Write the rows of the mask. Return their number."""
        with RowGroups(self._path, self._schema) as groups:
            start = 0
            for batch in pq.ParquetFile(self._all).iter_batches():
                groups.write(pa.table(batch).filter(pa.array(there[start : start + len(batch)])))
                start += len(batch)
        self._all.unlink()
        return groups.rows

    def _without_erased(self, table: pa.Table) -> pa.Table:
        if not self._erased.marks:
            return table
        table = table.filter(pa.array(~self._gone(table[self._schema.names[0]])))
        if "founder_id" not in table.column_names:
            return table
        founders = pc.if_else(pa.array(self._gone(table["founder_id"])), "", table["founder_id"])
        return table.set_column(table.column_names.index("founder_id"), "founder_id", founders)

    def _gone(self, ids: pa.ChunkedArray) -> NDArray[np.bool_]:
        return self._erased.mask(pack_ids(ids.to_numpy().astype("<U36")))

    def _plausible(self, table: pa.Table) -> pa.Table:
        for column in ("created_at", "updated_at"):
            early = pc.fill_null(pc.less(table[column].cast(pa.int64()), self._earliest_us), False)
            odd = table.filter(early)
            self._rejected.add(
                self.view,
                len(odd),
                lost=False,
                **{self._schema.names[0]: odd[self._schema.names[0]]},
                occurred_at=odd[column],
                reason=f"{column} is too old, taken as blank",
            )
            table = table.set_column(
                table.schema.get_field_index(column), table.schema.field(column), pc.if_else(early, None, table[column])
            )
        return table

    def _keep(self, table: pa.Table) -> None:
        if len(table):
            table = self._plausible(table)
            self._groups.write(table)
            packed = pack_ids(table[self._schema.names[0]].to_numpy().astype("<U36"))
            self._ids.append(np.ascontiguousarray(packed).view("V16").ravel())
            created = table["created_at"].cast(pa.int64())
            self._born.append(pc.fill_null(pc.less(created, self._as_of_us), True).to_numpy())
