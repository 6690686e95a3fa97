"""Events put in order without holding all of them in memory: split by user into files, each sorted alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.data.columns.checks import in_order, repeated

PARTS = 64
_EVENT = np.dtype([("user", "<i4"), ("startup", "<i4"), ("kind", "i1"), ("at", "<i8")])


class EventRows(NamedTuple):
    """Events in the order of a snapshot. user, startup: (n,) int32 rows; kind: (n,) int8; at: (n,) int64."""

    user: np.ndarray
    startup: np.ndarray
    kind: np.ndarray
    at: np.ndarray

    def where(self, mask: np.ndarray) -> EventRows:
        """The events of a boolean mask."""
        return EventRows(*(column[mask] for column in self))


class Parts:
    """Events on their way from the platform's order into the snapshot's.

    folder: where to put the files, empty. users, startups: how many there are. `met_users` and `met_startups` say who
    has an event. Memory is one part's: about 1/64 of the events, more where one user has more.
    """

    def __init__(self, folder: Path, users: int, startups: int) -> None:
        folder.mkdir(mode=0o700)
        self._folder, self._width = folder, max(1, -(-users // PARTS))
        self.met_users, self.met_startups = np.zeros(users, bool), np.zeros(startups, bool)

    def add(self, user: np.ndarray, startup: np.ndarray, kind: np.ndarray, at: np.ndarray) -> None:
        """Put aside events with valid row numbers, in any order."""
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
        """(kept, repeated) events of one part after another; all kept ones together are in the snapshot's order."""
        for number in range(PARTS):
            path = self._folder / f"{number}"
            if path.exists():
                yield _settled(np.fromfile(path, _EVENT))
                path.unlink()


def _settled(rows: np.ndarray) -> tuple[EventRows, EventRows]:
    columns = (np.ascontiguousarray(rows[name]) for name in ("user", "startup", "kind", "at"))
    user, startup, kind, at = columns
    order = in_order(user, startup, at, kind)
    events = EventRows(user[order], startup[order], kind[order], at[order])
    again = repeated(events.user, events.startup, events.at, events.kind)
    return events.where(~again), events.where(again)
