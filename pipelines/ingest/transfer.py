"""Copy the three files of a folder into the tables, in the caller's transaction and bounded memory."""

from __future__ import annotations

import csv
import io
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.csv
from sqlalchemy import Connection, text
from tqdm import tqdm

import sql
from models.schema import INTERACTIONS, STARTUPS, TABLES, USERS, Table
from pipelines.ingest.cells import Also, Ids, Verdict, check
from pipelines.ingest.rows import Header, Reject, file_of, filled_rows, header_of, opened, plain
from pipelines.postgres import copy_rows, copy_statement

#: Stored characters of a rejected row. Every CSV reader accepts this many.
CONTENT_MOST = 100_000
REPORT_COLUMNS = ("file", "line", "reason", "content")


def _stored(rows: pa.Table) -> pa.Table:
    return rows.drop_columns(["line"])


def _staged(rows: pa.Table) -> pa.Table:
    at = rows["created_at"].cast(pa.int64())
    return rows.drop_columns(["created_at"]).append_column("at", at)


class Transfer:
    """The import of one folder. rejected: "file: reason" -> number of rows, as written to `report`."""

    def __init__(self, connection: Connection, folder: Path, started: datetime, report: IO[bytes]) -> None:
        self._connection, self._folder, self._started, self._report = connection, folder, started, report
        self._users, self._startups = Ids(), Ids()
        self.rejected: Counter[str] = Counter()

    def run(self) -> dict[str, int]:
        self._report.write(",".join(REPORT_COLUMNS).encode() + b"\n")
        size = sum(file_of(self._folder, table).stat().st_size for table in TABLES)
        with tqdm(
            total=size, unit="B", unit_scale=True, desc=f"reading {self._folder.name}", disable=not sys.stderr.isatty()
        ) as self._bar:
            users = self._file(USERS, USERS.stored, self._take_user)
            startups = self._file(STARTUPS, STARTUPS.stored, self._take_startup)
            return {"users": users, "startups": startups, "interactions": self._events()}

    def _events(self) -> int:
        """Load events through a staging table, where the database finds duplicates."""
        self._do("begin")
        staged = self._file(INTERACTIONS, "staged_interactions", self._know_both, _staged)
        self._do("spread")
        repeated = copy_statement(self._connection, sql.load("duplicates", "staging"), {}, self._report)
        if repeated:
            self.rejected["interactions.csv: duplicate event"] += repeated
        indexes = self._without_indexes(INTERACTIONS.stored)
        self._do("keep")
        for statement in indexes:
            self._connection.execute(text(statement))
        return staged - repeated

    def _do(self, name: str) -> None:
        self._connection.execute(text(sql.load(name, "staging")))

    def _without_indexes(self, table: str) -> list[str]:
        """Drop the table's indexes and return the statements that create them. Indexing all rows at once is faster."""
        found = self._connection.execute(
            text(
                "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = :table "
                "AND schemaname = current_schema() ORDER BY 1"
            ),
            {"table": table},
        ).all()
        for name, _ in found:
            self._connection.execute(text(f"DROP INDEX {name}"))
        return [definition for _, definition in found]

    def _file(self, table: Table, into: str, also: Also, shaped: Callable[[pa.Table], pa.Table] = _stored) -> int:
        """Copy the good rows of one file into a table. Return their number."""
        path = file_of(self._folder, table)
        with opened(path) as (stream, position):
            text = plain(stream, path)
            header = header_of(text, path, table.names)
            good = map(shaped, self._good_rows(table, header, text, position, also))
            first = next(good, None)
            if first is None:
                return 0
            pieces = map(_as_csv, chain([first], good))
            return copy_rows(self._connection, into, first.column_names, _Stream(pieces))

    def _good_rows(
        self, table: Table, header: Header, stream: IO[bytes], position: Callable[[], int], also: Also
    ) -> Iterator[pa.Table]:
        read = 0
        for chunk in filled_rows(stream, header):
            checked = check(chunk, table, self._started, also)
            self._set_aside(table.file, checked.rejects)
            self._bar.update(position() - read)
            read = position()
            yield checked.rows

    def _set_aside(self, file: str, rejects: Sequence[Reject]) -> None:
        sink = io.StringIO()
        csv.writer(sink, lineterminator="\n").writerows(
            (file, r.line, r.reason, r.content[:CONTENT_MOST]) for r in rejects
        )
        self._report.write(sink.getvalue().encode())
        self.rejected.update(f"{file}: {r.reason}" for r in rejects)

    def _take_user(self, typed: dict[str, pa.Array], verdict: Verdict) -> None:
        self._users.take(typed["id"], verdict)

    def _take_startup(self, typed: dict[str, pa.Array], verdict: Verdict) -> None:
        self._startups.take(typed["id"], verdict)

    def _know_both(self, typed: dict[str, pa.Array], verdict: Verdict) -> None:
        self._users.must_hold(typed["user_id"], verdict, "user")
        self._startups.must_hold(typed["startup_id"], verdict, "startup")


def _as_csv(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pa.csv.write_csv(rows, sink, pa.csv.WriteOptions(include_header=False))
    return bytes(sink.getvalue())


class _Stream:
    """Pieces of bytes as a file that COPY reads."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._rest = memoryview(piece)
        given, self._rest = self._rest[:size], self._rest[size:]
        return bytes(given)
