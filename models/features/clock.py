"""Time counted in events: a marketplace of ten thousand events a day and one of ten a day age at their own pace."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Instants that a clock remembers at most, with equally many events between them.
TICKS = 2048


@dataclass(frozen=True, eq=False)
class EventClock:
    """The age of an instant is the share of all events that came at or after it: 0 now, 1 before the first event.

    instant: (q,) int64 microseconds since 1970 UTC, ascending, at least one. share: (q,) float64, the age of each.
    """

    instant: np.ndarray
    share: np.ndarray

    @classmethod
    def of(cls, at: np.ndarray) -> EventClock:
        """The clock of these event times, (n,) int64 in any order; without events everything is old."""
        ordered = np.sort(at)
        if not len(ordered):
            return cls(np.zeros(1, np.int64), np.ones(1))
        place = np.unique(np.linspace(0, len(ordered) - 1, TICKS).astype(np.int64))
        instant, first = np.unique(ordered[place], return_index=True)
        return cls(instant, 1 - place[first] / len(ordered))

    def age(self, at: np.ndarray) -> np.ndarray:
        """(…) float32 in 0..1 of (…) int64 instants; what is newer than the newest event has the age of that event."""
        return np.interp(at.astype(np.float64), self.instant.astype(np.float64), self.share).astype(np.float32)
