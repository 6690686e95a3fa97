"""Check the platform's rows against the contract of its views.

A broken row is counted, stored and reported. Too large a share of them stops the run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sqlalchemy import Engine, text

from models.errors import ContractError, DataError
from models.schema import INTERACTION_TYPES, TABLES, EventType, Table
from pipelines.export.layout import REJECTED, RowGroups
from pipelines.postgres import transaction
from pipelines.run.run import EPOCH

DAY_US = 86_400_000_000
#: Reasons of rejected rows with a user or startup missing from the views.
ORPHANS = ("unknown user", "unknown startup")
#: The first Monday, 1970-01-05, in days since 1970.
_MONDAY = 4


def in_order(
    user: NDArray[np.integer[Any]], startup: NDArray[np.integer[Any]], at: NDArray[np.int64], kind: NDArray[np.int8]
) -> NDArray[np.int64]:
    """Return (n,) indices that sort events by user, startup, time and kind."""
    moment = at * EventType.codes() + kind  # two keys sort faster than four, and 64 bits hold 2,000 years
    return np.lexsort((moment, (user.astype(np.int64) << 32) | startup))


def repeated(
    user: NDArray[np.integer[Any]], startup: NDArray[np.integer[Any]], at: NDArray[np.int64], kind: NDArray[np.int8]
) -> NDArray[np.bool_]:
    """Return (n,) bool: equals the previous row. The rows are sorted."""
    mask = np.zeros(len(user), bool)
    mask[1:] = (user[1:] == user[:-1]) & (startup[1:] == startup[:-1]) & (at[1:] == at[:-1]) & (kind[1:] == kind[:-1])
    return mask


class Rejected:
    """A context manager that writes rejected rows to one file as they arrive.

    by_reason, by_view: number of rows. orphans: rows by view with an unknown user or startup. They have their own
    limit.
    """

    def __init__(self, path: Path) -> None:
        self.by_reason: Counter[str] = Counter()
        self.by_view: Counter[str] = Counter()
        self.orphans: Counter[str] = Counter()
        self._groups, self._examples = RowGroups(path, REJECTED), list[str]()

    def __enter__(self) -> Rejected:
        self._groups.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._groups.__exit__(*error)

    def add(self, view: str, rows: int, lost: bool = True, **columns: Any) -> None:
        """Reject rows of a view. columns: those of `REJECTED`, each an array or one value for all rows.

        lost: False for rows that only lose one value. They never stop a run.
        """
        if rows:
            table = pa.table([_column(columns.get(f.name), rows, f.type) for f in REJECTED], schema=REJECTED)
            self._groups.write(table)
            self.by_view[view] += rows * lost
            for reason in pc.value_counts(table["reason"]).to_pylist():
                self.by_reason[reason["values"]] += reason["counts"]
                self.orphans[view] += reason["counts"] * (reason["values"] in ORPHANS)
            broken = table.filter(pc.invert(pc.is_in(table["reason"], pa.array(ORPHANS))))
            self._examples += [_shown(row) for row in broken.slice(0, 3 - len(self._examples)).to_pylist()]

    def check(self, kept: Mapping[str, int], share: float, path: Path) -> None:
        """Raise DataError if more than `share` of a view's rows are broken."""
        for view, total in self.by_view.items():
            count = total - self.orphans[view]
            if count > share * (count + kept[view]):
                counted = sorted((r, n) for r, n in self.by_reason.items() if r not in ORPHANS)
                reasons = ", ".join(f"{n} {reason}" for reason, n in counted)
                raise DataError(
                    f"expected at most {share:.1%} of the rows of {view} to be broken, got {count} of "
                    f"{count + kept[view]} ({reasons}; the first: {'; '.join(self._examples)}). All are in {path}. "
                    "Fix the platform's rows or its view, or, if they may be left out, raise [export] rejected_share"
                )

    def check_orphans(self, view: str, kept: int, strangers: int, share: float) -> dict[str, int]:
        """Return the number of orphan rows by source: "platform" or "posted" to the reader.

        `strangers`: number of posted rows.
        Raises DataError above `share` of the platform's rows, because the view probably joins the wrong table.
        """
        theirs = max(self.orphans[view] - strangers, 0)
        if theirs and theirs > share * (theirs + kept):
            raise DataError(
                f"{theirs} of {theirs + kept} rows of {view} are about people or startups that matchbook_users and "
                f"matchbook_startups do not have; expected at most {share:.0%}. Check that the three views use the "
                "same ids for people and startups; if the rows were deleted on purpose, raise [export] orphan_share"
            )
        return {"platform": theirs, "posted": self.orphans[view] - theirs}


def _column(given: Any, rows: int, kind: pa.DataType) -> pa.Array:
    if given is None or isinstance(given, str):
        return pa.repeat(pa.scalar(given, kind), rows)
    return given if isinstance(given, pa.Array | pa.ChunkedArray) else pa.array(given, kind)


def _shown(row: Mapping[str, Any]) -> str:
    return " ".join(str(v) for v in row.values() if v is not None)


class Census:
    """Statistics of the kept events for the manifest."""

    def __init__(self) -> None:
        self.kinds = np.zeros(EventType.codes(), np.int64)
        self._weeks: Counter[int] = Counter()
        self._oldest, self._newest = np.iinfo(np.int64).max, np.iinfo(np.int64).min

    def add(self, kind: NDArray[np.int8], at: NDArray[np.int64]) -> None:
        if len(at):
            self.kinds += np.bincount(kind, minlength=len(self.kinds))
            self._oldest, self._newest = min(self._oldest, int(at.min())), max(self._newest, int(at.max()))
            weeks, counts = np.unique((at // DAY_US - _MONDAY) // 7, return_counts=True)
            self._weeks.update(dict(zip(weeks.tolist(), counts.tolist(), strict=True)))

    def facts(self) -> dict[str, Any]:
        """Return events by kind, share of dislikes, oldest and newest event, and events by Monday."""
        total = int(self.kinds.sum())
        return {
            "events_by_kind": {t.value: int(self.kinds[t.code]) for t in INTERACTION_TYPES},
            "dislike_share": round(float(self.kinds[EventType.DISLIKE.code]) / max(total, 1), 6),
            "oldest_event": _iso(self._oldest) if total else None,
            "newest_event": _iso(self._newest) if total else None,
            "events_per_week": {_iso((w * 7 + _MONDAY) * DAY_US)[:10]: n for w, n in sorted(self._weeks.items())},
        }


def _iso(at_us: int) -> str:
    return (EPOCH + timedelta(microseconds=at_us)).isoformat()


PARTS = 64
_EVENT = np.dtype([("user", "<i4"), ("startup", "<i4"), ("kind", "i1"), ("at", "<i8")])


class EventRows(NamedTuple):
    """Events sorted as in a snapshot. user, startup: (n,) int32 rows. kind: (n,) int8. at: (n,) int64 microseconds."""

    user: NDArray[Any]
    startup: NDArray[Any]
    kind: NDArray[Any]
    at: NDArray[Any]

    def where(self, mask: NDArray[np.bool_]) -> EventRows:
        return self if mask.all() else EventRows(*(column[mask] for column in self))


class Parts:
    """Sort events externally, with one file for each of 64 ranges of users.

    folder: created here. met_users, met_startups: bool, has an event.
    Memory holds about 1/64 of the events, or more if one user has more.
    """

    def __init__(self, folder: Path, users: int, startups: int) -> None:
        folder.mkdir(mode=0o700)
        self._folder, self._width = folder, max(1, -(-users // PARTS))
        self.met_users, self.met_startups = np.zeros(users, bool), np.zeros(startups, bool)

    def add(
        self, user: NDArray[np.int32], startup: NDArray[np.int32], kind: NDArray[np.int8], at: NDArray[np.int64]
    ) -> None:
        self.met_users[user] = self.met_startups[startup] = True
        part = (user // self._width).astype(np.uint8)
        order = np.argsort(part, kind="stable")
        rows = np.empty(len(user), _EVENT)
        for name, column in (("user", user), ("startup", startup), ("kind", kind), ("at", at)):
            rows[name] = column[order]
        bounds = np.searchsorted(part[order], np.arange(PARTS + 1))
        for number in np.flatnonzero(np.diff(bounds)):
            with (self._folder / f"{number}").open("ab") as file:
                rows[bounds[number] : bounds[number + 1]].tofile(file)

    def in_order(self) -> Iterator[tuple[EventRows, EventRows]]:
        """Yield (kept, repeated) events per range of users, sorted as in a snapshot.

        Another thread sorts the next range.
        """
        paths = (self._folder / f"{number}" for number in range(PARTS))
        with ThreadPoolExecutor(1) as pool:
            waiting: Future[tuple[EventRows, EventRows]] | None = None
            for path in (p for p in paths if p.exists()):
                following = pool.submit(_settled, path)
                if waiting is not None:
                    yield waiting.result()
                waiting = following
            if waiting is not None:
                yield waiting.result()


def _settled(path: Path) -> tuple[EventRows, EventRows]:
    """Read, sort and delete one file."""
    rows = np.fromfile(path, _EVENT)
    path.unlink()
    columns = (np.ascontiguousarray(rows[name]) for name in ("user", "startup", "kind", "at"))
    user, startup, kind, at = columns
    order = in_order(user, startup, at, kind)
    events = EventRows(user[order], startup[order], kind[order], at[order])
    again = repeated(events.user, events.startup, events.at, events.kind)
    return events.where(~again), events.where(again)


_COLUMNS_OF_VIEWS = """
SELECT v.name AS view, a.attname AS column, format_type(a.atttypid, NULL) AS type
FROM unnest(CAST(:views AS text[])) AS v(name)
JOIN pg_attribute a ON a.attrelid = to_regclass(v.name) AND a.attnum > 0 AND NOT a.attisdropped
"""


def check_contract(engine: Engine) -> None:
    """Raise ContractError that lists every missing view, missing column and wrong type."""
    with transaction(engine) as connection:
        found: dict[str, dict[str, str]] = {}
        for row in connection.execute(text(_COLUMNS_OF_VIEWS), {"views": [t.view for t in TABLES]}):
            found.setdefault(row.view, {})[row.column] = row.type
    broken = [said for table in TABLES for said in _complaints(table, found.get(table.view))]
    if broken:
        raise ContractError(
            "the platform's views break their contract:\n  "
            + "\n  ".join(broken)
            + "\nWrite them over your own tables as docs/guides/your-data.md shows, then try again"
        )


def _complaints(table: Table, found: dict[str, str] | None) -> list[str]:
    if found is None:
        wanted = ", ".join(table.names)
        return [f"{table.view}: expected a view with {wanted}; there is no such view (is it in the search_path?)"]
    return [
        f"{table.view}.{f.name}: expected {f.type.accepted[0]}, found {found.get(f.name, 'no such column')}"
        for f in table.fields
        if found.get(f.name) not in f.type.accepted
    ]
