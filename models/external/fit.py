"""Imports vectors or scores of another program: the newest set up to the cutoff.

A set is all rows with one `as_of`, the time up to which the program used data. A set is imported whole, because vectors
of two trainings cannot be compared. A fit at an earlier cutoff imports an earlier set or none. The bundle stores the
arrays, so a release does not depend on the files.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from models.data.bundle import Bundle
from models.data.entities import Entities, IdMap
from models.data.interactions import DAY_US
from models.data.training_data import TrainingData
from models.errors import DataError, MatchbookError, TooSparse
from models.external import ExternalConfig

_LOG = logging.getLogger(__name__)
_AS_OF = "as_of"
#: Larger numbers are rejected: their products would exceed float32.
LARGEST = 1e9
_ID_LENGTH = 36
_HINT = "write them as docs/tutorials/bring-your-own-model.md says"


def _text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _number(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind)


def _list(kind: pa.DataType) -> bool:
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_list(kind) for is_list in lists) and _number(kind.value_type)


@dataclass(frozen=True)
class Column:
    """The expected type of a column. fits: tests a type. kind: the type in words."""

    fits: Callable[[pa.DataType], bool]
    kind: str


_ID, _SCORE, _VECTOR = Column(_text, "text"), Column(_number, "a number"), Column(_list, "a list of numbers")
_INSTANT = Column(pa.types.is_timestamp, "a timestamp")


@dataclass(eq=False)
class Rows:
    """The rows of a set. used: (n,) bool. aside: number of rejected rows by reason."""

    table: pa.Table
    as_of_us: int
    used: NDArray[np.bool_]
    aside: dict[str, int] = field(default_factory=dict)

    def leave_out(self, why: str, which: NDArray[np.bool_]) -> None:
        gone = self.used & which
        if gone.any():
            self.aside[why] = int(gone.sum())
        self.used &= ~which

    def leave_out_repeated(self, key: NDArray[np.int64]) -> None:
        _, first = np.unique(key[self.used], return_index=True)
        repeated = self.used.copy()
        repeated[np.flatnonzero(self.used)[first]] = False
        self.leave_out("repeated", repeated)

    def rows_of(self, column: str, sides: Sequence[Entities]) -> list[NDArray[np.int32]]:
        """Return for each side (n,) the entity row of each id, -1 if unknown.

        Rejects rows with unknown ids and rows of opted-out users (R23).
        Raises DataError if no id is known.
        """
        ids = pc.fill_null(self.table[column].cast(pa.large_string()), "").combine_chunks()
        fits = pc.less_equal(pc.utf8_length(ids), _ID_LENGTH)
        text = np.asarray(pc.utf8_lower(pc.if_else(fits, ids, "?")).to_numpy(zero_copy_only=False), dtype="<U36")
        found = [side.ids.rows_of(text) for side in sides]
        known, silent = np.zeros(len(text), bool), np.zeros(len(text), bool)
        for side, rows in zip(sides, found, strict=True):
            known |= rows >= 0
            silent |= (rows >= 0) & np.append(side.opted_out, False)[rows]
        self.leave_out("no id", text == "")
        if self.used.any() and not (self.used & known).any():
            names = " or ".join(f"{side.entity}s" for side in sides)
            some = ids[int(np.flatnonzero(self.used)[0])].as_py()[:80]
            raise DataError(
                f"expected ids of {names} in the column {column}, got {some!r} and none that is known; write the ids "
                "of the platform's rows"
            )
        self.leave_out("unknown id", ~known)
        self.leave_out("opted out", silent)
        return found


def fit_vectors(data: TrainingData[ExternalConfig]) -> Bundle:
    """Import the newest set as user_vectors and startup_vectors, (n, d) float32.

    Raises TooSparse without a set, DataError if the files cannot be used.
    """
    rows = _newest(data, {"id": _ID, "vector": _VECTOR})
    places = rows.rows_of("id", (data.users, data.startups))
    values = _values(rows)
    arrays: dict[str, NDArray[Any]] = {}
    maps: dict[str, IdMap] = {}
    rows.leave_out_repeated(np.where(places[0] >= 0, places[0], places[1] + np.int64(len(data.users))).astype(np.int64))
    for entities, place in zip((data.users, data.startups), places, strict=True):
        mine = np.flatnonzero(rows.used & (place >= 0))
        mine = mine[np.argsort(place[mine])]
        arrays[f"{entities.entity}_vectors"] = values[mine]
        maps[str(entities.entity)] = entities.ids.taken(place[mine])
    _check_any(rows, "usable vectors of both users and startups", [len(ids) for ids in maps.values()])
    return _bundle(data, rows, {"dimensions": int(values.shape[1])}, arrays, maps)


def fit_scores(data: TrainingData[ExternalConfig]) -> Bundle:
    """Import the newest set as a float32 csr of users x startups: indptr, indices, data.

    Raises TooSparse without a set, DataError if the files cannot be used.
    """
    rows = _newest(data, {"user_id": _ID, "startup_id": _ID, "score": _SCORE})
    (user,), (startup,) = rows.rows_of("user_id", (data.users,)), rows.rows_of("startup_id", (data.startups,))
    score = _float32(rows.table["score"].combine_chunks())
    rows.leave_out("not finite", ~_finite(score))
    key = user.astype(np.int64) * len(data.startups) + startup
    rows.leave_out_repeated(key)
    used = np.flatnonzero(rows.used)
    used = used[np.argsort(key[used])]
    users, row = np.unique(user[used], return_inverse=True)
    startups, item = np.unique(startup[used], return_inverse=True)
    _check_any(rows, "usable scores", [len(used)])
    arrays: dict[str, NDArray[Any]] = {
        "indptr": np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(users)))]).astype(np.int64),
        "indices": item.astype(np.int32),
        "data": score[used] + np.float32(0),  # turns -0.0 into 0.0, so that equal scores have equal bits
    }
    maps = {"user": data.users.ids.taken(users), "startup": data.startups.ids.taken(startups)}
    return _bundle(data, rows, {"pairs": len(used)}, arrays, maps)


def _bundle(
    data: TrainingData[ExternalConfig],
    rows: Rows,
    about: Mapping[str, int],
    arrays: Mapping[str, NDArray[Any]],
    maps: Mapping[str, IdMap],
) -> Bundle:
    """Make the bundle. Its config has the time of the set and the number of rejected rows.

    known_before_us: microseconds since 1970 UTC. set_aside: rejected rows by reason.
    """
    assert data.spec is not None
    about_set = {"known_before_us": rows.as_of_us, "set_rows": len(rows.used), "set_aside": rows.aside, **about}
    what = ", ".join(f"{count} {why}" for why, count in rows.aside.items())
    log = _LOG.warning if rows.aside else _LOG.info
    log("%s takes the set of %s: %d rows, rejected: %s", data.spec.name, _iso(rows.as_of_us), len(rows.used), what or 0)
    return Bundle(data.spec.bundle, {**about_set, "rows": len(data.interactions)}, arrays, maps)


def _check_any(rows: Rows, expected: str, found: Sequence[int]) -> None:
    if not all(found):
        raise DataError(
            f"expected {expected} in the set of {_iso(rows.as_of_us)}, got {' and '.join(map(str, found))} of "
            f"{len(rows.used)} rows; rejected: {rows.aside or 'none'}; {_HINT}"
        )


def _newest(data: TrainingData[ExternalConfig], columns: Mapping[str, Column]) -> Rows:
    """Read the newest set up to the cutoff. Raises TooSparse if there is none, or it is too old."""
    assert data.spec is not None
    files, table = data.config.files, f"[{data.spec.table_name}]"
    if not files:
        raise TooSparse(f"expected Parquet files of {data.spec.name}, got none; name them in {table} files")
    with _reading(files):
        opened = _opened(files)
        _check_columns(files, opened.schema, {**columns, _AS_OF: _INSTANT})
        sets = _sets(opened)
        at = sets.cast(pa.timestamp("us", sets.type.tz), safe=False).cast(pa.int64()).to_numpy()
        known = np.flatnonzero(at <= data.as_of_us)
        newest = int(at[known[-1]]) if len(known) else None
        oldest = data.as_of_us - data.config.max_age_days * DAY_US if data.config.max_age_days else -np.inf
        if newest is None or newest < oldest:
            after = f", after {_iso(oldest)} ({table} max_age_days)" if np.isfinite(oldest) else ""
            raise TooSparse(
                f"expected a set with {_AS_OF} at or before {_iso(data.as_of_us)}{after} in {files}, got "
                f"{', '.join(map(_iso, at)) or 'no set'}; write a set of what was known by then"
            )
        rows = opened.to_table(list(columns), filter=pc.field(_AS_OF) == sets[int(known[-1])])
        aside = opened.count_rows(filter=pc.field(_AS_OF).is_null())
    return Rows(rows, newest, np.ones(len(rows), bool), {f"no {_AS_OF}": aside} if aside else {})


def _opened(files: str) -> ds.Dataset:
    from fsspec.core import url_to_fs

    filesystem, path = url_to_fs(files)
    return ds.dataset(path, filesystem=filesystem, format="parquet")


def _check_columns(files: str, schema: pa.Schema, columns: Mapping[str, Column]) -> None:
    got = dict(zip(schema.names, schema.types, strict=True))
    if not all(name in got and column.fits(got[name]) for name, column in columns.items()):
        expected = ", ".join(f"{name} ({column.kind})" for name, column in columns.items())
        came = ", ".join(f"{name} ({kind})" for name, kind in got.items())
        raise DataError(f"{files}: expected the columns {expected}, got {came or 'none'}; {_HINT}")


def _sets(opened: ds.Dataset) -> pa.Array:
    """Return the distinct `as_of` of all sets, ascending, as stored."""
    kind = opened.schema.field(_AS_OF).type
    parts = [pc.unique(batch.column(0)) for batch in opened.to_batches(columns=[_AS_OF])]
    found = pc.unique(pa.chunked_array(parts, kind)).drop_null()
    return found.take(pc.sort_indices(found))


def _values(rows: Rows) -> NDArray[np.float32]:
    """Return (n, d) vectors, d the most frequent length.

    Rejects vectors of another length or with non-finite numbers.
    """
    column = rows.table["vector"]
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    common, times = np.unique(lengths[rows.used & (lengths > 0)], return_counts=True)
    size = int(common[times.argmax()]) if len(common) else 0
    right = (lengths == size) & (lengths > 0)
    rows.leave_out("wrong length", ~right)
    values = np.full((len(lengths), size), np.nan, np.float32)
    if right.any():
        numbers = [_float32(pc.list_flatten(chunk)) for chunk in column.filter(pa.array(right)).chunks]
        values[right] = np.concatenate(numbers).reshape(-1, size)
    rows.leave_out("not finite", ~np.asarray(_finite(values).all(axis=1)))
    return values


def _float32(column: pa.Array) -> NDArray[np.float32]:
    """Convert to float32. Blanks become NaN; numbers beyond its range become infinity."""
    with np.errstate(over="ignore"):
        return column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False).astype(np.float32)


def _finite(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.asarray(np.abs(values) <= LARGEST)


def _iso(us: Any) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(us))).isoformat()


@contextmanager
def _reading(files: str) -> Iterator[None]:
    """Convert any error of the file system or of Parquet to DataError."""
    try:
        yield
    except MatchbookError:
        raise
    except Exception as error:  # each file system raises its own exceptions
        raise DataError(
            f"expected Parquet files in {files}, they cannot be read ({type(error).__name__}: {error}); see that they "
            "exist, are complete, and that this account may read them"
        ) from error
