"""Write a sample marketplace of any size with known preferences: a data folder and `truth.csv`.

Equal arguments give equal bytes. Memory grows with users and startups (about 300 bytes each), not with events. Events
are drawn for ten thousand users at a time and sorted by week.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray
from tqdm import tqdm

from models.schema import EventType, words_by_code
from pipelines.sample.market import (
    DAY,
    EVENT,
    SPAN_DAYS,
    Size,
    Startups,
    Users,
    draw_events,
    draw_startups,
    draw_users,
    markets_of,
)
from pipelines.sample.profiles import instants, startup_rows, truth_rows, user_rows, uuids

#: The last event of a sample is just before this instant.
ENDS = datetime(2025, 6, 1, tzinfo=UTC)
EVENTS_PER_USER = 30.0
_ROWS = 10_000
_WEEK = 7 * DAY
_KINDS = np.array(words_by_code(EventType))


def write_sample(
    folder: Path,
    users: int,
    startups: int,
    events_per_user: float = EVENTS_PER_USER,
    seed: int = 42,
    ends: datetime = ENDS,
) -> dict[str, int]:
    """Write users.csv, startups.csv, interactions.csv and truth.csv. Return rows by file name.

    events_per_user: mean of a long tail. Raises DataError for an impossible size.
    """
    size = Size(users, startups, events_per_user, seed, ends)
    folder.mkdir(parents=True, exist_ok=True)
    people = draw_users(size)
    companies = draw_startups(size, people)
    with TemporaryDirectory(dir=folder, prefix=".events-") as weeks:
        views = _spread(size, people, companies, Path(weeks))
        events = _write(folder / "interactions.csv", _sorted_events(people, companies, Path(weeks)), quotes="none")
    return {
        "users": _write(folder / "users.csv", (user_rows(size, people, rows) for rows in _parts(users))),
        "startups": _write(
            folder / "startups.csv", (startup_rows(size, companies, people, views, rows) for rows in _parts(startups))
        ),
        "interactions": events,
        "truth": _write(folder / "truth.csv", [truth_rows(people, companies)]),
    }


def _spread(size: Size, users: Users, startups: Startups, weeks: Path) -> NDArray[np.int64]:
    """Draw all events and write one file per week. Return (startups,) views before the last update."""
    views = np.zeros(len(startups.id), np.int64)
    first = size.end - SPAN_DAYS * DAY
    with tqdm(total=len(users.id), unit="user", desc="drawing events", disable=not sys.stderr.isatty()) as bar:
        for events in draw_events(size, users, startups, markets_of(size)):
            seen = events["startup"][
                (events["kind"] == EventType.VIEW.code) & (events["at"] < startups.updated[events["startup"]])
            ]
            views += np.bincount(seen, minlength=len(views))
            _append(events, (events["at"] - first) // _WEEK, weeks)
            bar.update(min(_ROWS, len(users.id) - bar.n))
    return views


def _append(events: NDArray[np.void], week: NDArray[np.int64], weeks: Path) -> None:
    order = np.argsort(week, kind="stable")
    events, week = events[order], week[order]
    starts = np.flatnonzero(np.diff(week, prepend=-1))
    for number, part in zip(week[starts].tolist(), np.split(events, starts[1:]), strict=True):
        with (weeks / f"{number:04d}").open("ab") as f:
            f.write(part.tobytes())


def _sorted_events(users: Users, startups: Startups, weeks: Path) -> Iterator[pa.Table]:
    """Yield interactions.csv one week at a time, sorted by time, without duplicates."""
    user_ids, startup_ids, kinds = uuids(users.id), uuids(startups.id), pa.array(_KINDS)
    yield _named(np.empty(0, EVENT), user_ids, startup_ids, kinds)
    for path in sorted(weeks.iterdir()):
        events = np.fromfile(path, EVENT)
        events = events[np.lexsort((events["kind"], events["startup"], events["user"], events["at"]))]
        again = np.concatenate([[False], events[1:] == events[:-1]])
        yield _named(events[~again], user_ids, startup_ids, kinds)


def _named(events: NDArray[np.void], user_ids: pa.Array, startup_ids: pa.Array, kinds: pa.Array) -> pa.Table:
    return pa.table(
        {
            "user_id": user_ids.take(pa.array(events["user"])),
            "startup_id": startup_ids.take(pa.array(events["startup"])),
            "interaction_type": kinds.take(pa.array(events["kind"])),
            "occurred_at": instants(events["at"]),
        }
    )


def _parts(n: int) -> list[slice]:
    return [slice(first, min(first + _ROWS, n)) for first in range(0, n, _ROWS)]


def _write(path: Path, tables: Iterable[pa.Table], quotes: str = "needed") -> int:
    """Write a temporary file, then rename it. quotes: "none" if no cell needs quotes."""
    aside, rows = path.with_suffix(".part"), 0
    with aside.open("wb") as f:
        for table in tables:
            pa.csv.write_csv(
                table,
                f,
                pa.csv.WriteOptions(
                    include_header=rows == 0 and f.tell() == 0, quoting_style=quotes, quoting_header="none"
                ),
            )
            rows += table.num_rows
    aside.replace(path)
    return rows
