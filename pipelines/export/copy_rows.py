"""Read PostgreSQL's COPY in pieces: events from binary rows of fixed width, people from CSV.

One thread reads, another one handles the pieces (`Pieces`), so the server does not wait for the arithmetic.
"""

from __future__ import annotations

import io
import secrets
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sqlalchemy import Connection, text

import sql
from models.data.entities import ID_BYTES, NIL, Erased
from models.errors import DataError
from models.schema import EventType
from pipelines.export.checks import Rejected
from pipelines.export.layout import INSTANT, RowGroups
from pipelines.postgres import copy_answer

#: Bytes of a piece. With its columns about 30 MB stay in memory.
PIECE = 8 << 20
#: Pieces that may wait for the other thread.
WAITING = 8

#: A binary row of `events/coded`: the number of cells, then each cell's width and value.
_ROW = np.dtype(
    [
        ("cells", ">i2"),
        ("w1", ">i4"),
        ("user", "V16"),
        ("w2", ">i4"),
        ("startup", "V16"),
        ("w3", ">i4"),
        ("kind_hash", ">i8"),
        ("w4", ">i4"),
        ("at", ">i8"),
    ]
)
_WIDTHS = {"cells": 4, "w1": 16, "w2": 16, "w3": 8, "w4": 8}
_HEAD, _TAIL = 19, b"\xff\xff"
#: PostgreSQL counts microseconds from 2000-01-01. The least number is -infinity.
_EPOCH_2000, _LEAST = 946_684_800_000_000, np.iinfo(np.int64).min


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


class Pieces:
    """A context manager that runs calls in one other thread, in order. It raises a call's error soon, or at the end."""

    def __enter__(self) -> Pieces:
        self._pool, self._calls = ThreadPoolExecutor(1), deque[Future[Any]]()
        return self

    def __call__(self, handle: Callable[..., Any], *given: Any) -> None:
        if len(self._calls) == WAITING:
            self._calls.popleft().result()
        self._calls.append(self._pool.submit(handle, *given))

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)
        if kind is None:
            for call in self._calls:
                call.result()


def copy_events(
    connection: Connection, params: Mapping[str, Any], take: Callable[[EventCells], None], aside: Pieces
) -> None:
    """Pass every row of `events/coded` to `take` aside, in constant memory. Raises DataError for another cell width."""
    # Nobody can guess this id and these hashes, so no row can be taken for another kind.
    blank, drawn = uuid.uuid4(), {**params, "seed": secrets.randbits(63)}
    found = connection.execute(text(sql.load("events/kinds")), drawn)
    codes = {row.kind_hash: EventType(row.kind).code for row in found}
    pieces = _EventPieces(lambda rows: aside(lambda: take(_cells(rows, np.void(blank.bytes), codes))))
    with io.BufferedWriter(pieces, PIECE) as sink:
        copy_answer(connection, "events/coded", {**drawn, "blank": blank}, cast(IO[bytes], sink), "binary")
    pieces.finish()


class _EventPieces(io.RawIOBase):
    """Receive bytes from a buffer that runs in C, so that a row costs no Python call."""

    def __init__(self, take: Callable[[NDArray[np.void]], None]) -> None:
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
            self._take(np.frombuffer(data, _ROW, whole))
        return given

    def finish(self) -> None:
        if self._rest != _TAIL:
            raise DataError(
                f"the copy of matchbook_interactions ended in {self._rest[:16]!r}, not in the end mark; export again"
            )


def _cells(rows: NDArray[np.void], blank: np.void, codes: Mapping[int, int]) -> EventCells:
    for cell, width in _WIDTHS.items():
        if not (rows[cell] == width).all():
            raise DataError(
                "matchbook_interactions gave cells of an unexpected width; its columns must be uuid, uuid, text and "
                "timestamptz (see docs/guides/your-data.md)"
            )
    user, startup = np.ascontiguousarray(rows["user"]), np.ascontiguousarray(rows["startup"])
    hashed, at = rows["kind_hash"].astype(np.int64), rows["at"].astype(np.int64)
    kind = np.full(len(rows), -1, np.int8)
    for value, code in codes.items():
        kind[hashed == value] = code
    kind[(user == blank) | (startup == blank) | (at == _LEAST)] = -1
    return EventCells(user, startup, kind, at + _EPOCH_2000)


class IdRows:
    """Find the row of an id by a hash table that is made once. packed: (n,) V16, unique."""

    def __init__(self, packed: NDArray[np.void]) -> None:
        self.packed, self._halves = packed, _halves(packed)
        self._table: pd.Index[Any] = pd.Index(np.zeros(2, np.uint64))
        while not self._table.is_unique:  # two ids share a hash once in 2**64 pairs
            self._factors = [np.uint64(secrets.randbits(64) | 1) for _ in range(2)]
            self._table = pd.Index(self._hashed(self._halves))

    def __len__(self) -> int:
        return len(self.packed)

    def of(self, packed: NDArray[np.void]) -> NDArray[np.int32]:
        """Return (n,) int32 row of each V16 id, -1 if unknown."""
        halves = _halves(packed)
        row = self._table.get_indexer(pd.Index(self._hashed(halves))).astype(np.int32)
        if len(self):
            row[(self._halves[row] != halves).any(axis=1)] = -1
        return row

    def of_text(self, ids: pa.ChunkedArray) -> NDArray[np.int32]:
        return self.of(packed_ids(ids))

    def _hashed(self, halves: NDArray[np.uint64]) -> NDArray[np.uint64]:
        first, second = self._factors
        x = halves[:, 0] * first
        x = ((x ^ (x >> np.uint64(32))) + halves[:, 1]) * second
        return x ^ (x >> np.uint64(32))


def _halves(packed: NDArray[np.void]) -> NDArray[np.uint64]:
    return packed.view(np.uint64).reshape(-1, 2)


def as_bytes(packed: NDArray[np.void]) -> NDArray[np.uint8]:
    """Return (n, 16) uint8 bytes of (n,) V16 ids."""
    return packed.view(np.uint8).reshape(-1, ID_BYTES)


#: Positions of the hexadecimal digits in a UUID's text.
_DIGITS = np.flatnonzero(np.frombuffer(NIL.encode(), np.uint8) != ord("-"))


def packed_ids(ids: pa.ChunkedArray) -> NDArray[np.void]:
    """Return (n,) V16 bytes of UUIDs as PostgreSQL writes them, zeros for a blank one."""
    text = pa.concat_arrays(ids.chunks) if ids.num_chunks else pa.array([], pa.string())
    text = pc.if_else(pc.equal(text, ""), NIL, text)
    letters = np.frombuffer(text.buffers()[2] or b"", np.uint8)[: len(NIL) * len(text)].reshape(-1, len(NIL))
    return np.frombuffer(bytes.fromhex(letters[:, _DIGITS].tobytes().decode()), f"V{ID_BYTES}")


def copy_tables(
    connection: Connection, query: str, params: Mapping[str, Any], take: Callable[[pa.Table], None], aside: Pieces
) -> None:
    """Pass a query's result to `take` aside, as tables of text columns, null as "", in constant memory."""
    pieces = _TextPieces(lambda names, rows: aside(lambda: take(_text_table(names, b"".join(rows)))))
    copy_answer(connection, query, params, cast(IO[bytes], pieces))
    pieces.finish()


class _TextPieces:
    """A sink of CSV rows. PostgreSQL sends the column names first, then one row per write."""

    def __init__(self, take: Callable[[bytes, list[bytes]], None]) -> None:
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
            self._take(self._names, self._rows)
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
    view: the contract view. born: bool, created before the cutoff or at an unknown time.
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
        self._path, self._groups, self._last = path, RowGroups(self._all, schema), np.void(bytes(ID_BYTES))
        self._ids, self._born = [np.zeros(0, f"V{ID_BYTES}")], [np.zeros(0, bool)]

    def __enter__(self) -> People:
        self._groups.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._groups.__exit__(*error)  # type: ignore[arg-type]

    def take(self, table: pa.Table) -> None:
        """Add text rows. Reject rows without an id, with the nil UUID or with a repeated id."""
        key = self._schema.names[0]
        table = self._without_erased(table)
        packed = packed_ids(table[key])
        nobody, again = packed == np.void(bytes(ID_BYTES)), np.zeros(len(packed), bool)
        again[1:] = packed[1:] == packed[:-1]
        again[:1] = packed[:1] == self._last
        for mask, reason in ((nobody, "no id"), (again & ~nobody, "repeated id")):
            self._rejected.add(self.view, int(mask.sum()), **{key: table[key].filter(pa.array(mask))}, reason=reason)
        self._last = packed[-1] if len(packed) else self._last
        kept = ~again & ~nobody
        self._keep(typed(_filtered(table, kept), self._schema), packed[kept])

    def rows(self) -> IdRows:
        return IdRows(np.concatenate(self._ids))

    @property
    def born(self) -> NDArray[np.bool_]:
        return np.concatenate(self._born)

    def write(self, there: NDArray[np.bool_]) -> int:
        """Write the rows of the mask. Return their number."""
        if there.all():
            self._all.rename(self._path)
            return len(there)
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
        return self._erased.mask(as_bytes(packed_ids(ids)))

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

    def _keep(self, table: pa.Table, packed: NDArray[np.void]) -> None:
        if len(table):
            table = self._plausible(table)
            self._groups.write(table)
            self._ids.append(packed)
            created = table["created_at"].cast(pa.int64())
            self._born.append(pc.fill_null(pc.less(created, self._as_of_us), True).to_numpy())


def _filtered(table: pa.Table, mask: NDArray[np.bool_]) -> pa.Table:
    return table if mask.all() else table.filter(pa.array(mask))
