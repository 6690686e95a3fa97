"""How a snapshot lies on disk: the columns of its Parquet files, written so that equal rows give equal bytes."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from models.schema import TABLE_OF, Entity, FieldType, Table

#: The first format that has all the files below. The format before had neither dismissals nor readings, and held the
#: platform's counter `views` as of the export, which nothing reads now.
_FILES_SINCE = 2
#: Version of the layout below and of the manifest: the newest of the files and the fields. An unknown one is refused
#: when a snapshot is opened; what a later format has more is blank in an earlier one.
FORMAT = max(_FILES_SINCE, *(f.snapshot or 1 for table in TABLE_OF.values() for f in table.fields))
READABLE = tuple(range(1, FORMAT + 1))
MANIFEST = "manifest.json"
#: Rows of a Parquet row group; fixed, so that the bytes do not depend on how rows arrived.
GROUP_ROWS = 1 << 16

INSTANT = pa.timestamp("us", tz="UTC")


_TYPES = {FieldType.PAST: INSTANT, FieldType.INSTANT: INSTANT, FieldType.COUNT: pa.int64()}


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind) for name, kind in columns.items()])


def _people(table: Table) -> pa.Schema:
    """Every field that a snapshot has; text where nothing else is said."""
    return _schema(**{f.name: _TYPES.get(f.type, pa.string()) for f in table.fields if f.snapshot is not None})


#: One row a user, ascending by user_id. Text is blank where unknown, never null; a time is null where unknown.
USERS = _people(TABLE_OF[Entity.USER])
#: One row a startup, ascending by startup_id.
STARTUPS = _people(TABLE_OF[Entity.STARTUP])
#: One row an event, ascending by user, startup, time, kind: row numbers of the two files above, `EventType.code`,
#: microseconds since 1970 UTC.
INTERACTIONS = _schema(user=pa.int32(), startup=pa.int32(), kind=pa.int8(), at=pa.int64())
#: One row a pair of which one was waved away, since when, ascending; row numbers of the files above.
DISMISSALS = _schema(user=pa.int32(), startup=pa.int32(), at=pa.int64())
#: One row for each time before the cutoff that an export read a startup's running counter, ascending by startup and
#: time: the row number of the startup, microseconds since 1970 UTC, and what the counter said.
READINGS = _schema(startup=pa.int32(), at=pa.int64(), views=pa.int64())
#: One row for each row of the platform that broke a promise, as it was; what it lacked is null.
REJECTED = _schema(
    user_id=pa.string(), startup_id=pa.string(), interaction_type=pa.string(), occurred_at=INSTANT, reason=pa.string()
)

FILES = {
    "users.parquet": USERS,
    "startups.parquet": STARTUPS,
    "interactions.parquet": INTERACTIONS,
    "rejected.parquet": REJECTED,
    "dismissals.parquet": DISMISSALS,
    "readings.parquet": READINGS,
}

#: Differences of ascending numbers are small: less room than zstd at a third of its time, measured on 1.5 M events.
_EVENTS = {
    "compression": "none",
    "use_dictionary": ["kind"],
    "column_encoding": dict.fromkeys(("user", "startup", "at"), "DELTA_BINARY_PACKED"),
}


def filled(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A table of an earlier format with the columns that it lacks, blank."""
    for place, column in enumerate(schema):
        if column.name not in table.column_names:
            blank = pa.scalar("" if column.type == pa.string() else None, column.type)
            table = table.add_column(min(place, table.num_columns), column, pa.repeat(blank, len(table)))
    return table


class RowGroups:
    """A Parquet file written in row groups of GROUP_ROWS whatever the size of the pieces; a context manager."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        path.touch(mode=0o600)
        self.schema, self.rows = schema, 0
        options = _EVENTS if schema is INTERACTIONS else {"compression": "zstd", "compression_level": 1}
        self._writer = pq.ParquetWriter(path, schema, **options)
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0

    def __enter__(self) -> RowGroups:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush(whole=False)
        self._writer.close()

    def write(self, table: pa.Table) -> None:
        """Append rows of the schema."""
        self._waiting.append(table)
        self._waiting_rows += len(table)
        self.rows += len(table)
        if self._waiting_rows >= GROUP_ROWS:
            self._flush(whole=True)

    def _flush(self, whole: bool) -> None:
        """Write what waits, in whole groups only or to the last row."""
        if not self._waiting:
            return
        table = pa.concat_tables(self._waiting)
        ready = len(table) - len(table) % GROUP_ROWS if whole else len(table)
        if ready:
            self._writer.write_table(table.slice(0, ready), row_group_size=GROUP_ROWS)
        self._waiting, self._waiting_rows = [table.slice(ready)], len(table) - ready
