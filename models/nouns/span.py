"""When most events happened. A half-life is a share of that time, so one odd event cannot stretch it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

#: This share of the events is left out at either end, one event at least; of FEW events none is.
TAIL, FEW = 0.01, 20
#: Half-lives after which a weight falls no more; 32 bits hold it.
MOST = 100.0


class Span(NamedTuple):
    """newest_us: where the bulk of the events ends, microseconds since 1970 UTC. length_us: how long it lasted; 0 for
    one instant, or without events."""

    newest_us: int
    length_us: float

    @classmethod
    def of(cls, at: np.ndarray) -> Span:
        """Of (n,) int64 microseconds since 1970 UTC, in any order: between two quantiles, not between the extremes."""
        n = len(at)
        if not n:
            return cls(0, 0.0)
        cut = max(1, int(TAIL * n)) if n > FEW else 0
        ordered = np.partition(at, sorted({cut, n - 1 - cut}))
        first, last = int(ordered[cut]), int(ordered[n - 1 - cut])
        return cls(last, float(last - first))

    def fading(self, at: np.ndarray, share: float) -> np.ndarray:
        """(n,) float64 in 0..1: 1 from `newest_us` on, halved for every `share` of the span before it. share 0, or no
        span: nothing fades."""
        if not (share > 0 and self.length_us > 0):
            return np.ones(len(at))
        return faded(at, self.newest_us, share * self.length_us)


def leaving(at: np.ndarray, share: float) -> int:
    """The instant that leaves the last `share` of the events at or after it. at: (n,) ascending microseconds, n > 0;
    share: above 0."""
    return int(at[int(len(at) * (1 - share))])


def faded(at: np.ndarray, newest_us: int, half_life_us: float) -> np.ndarray:
    """(n,) float64 above 0, at most 1: 1 from an instant on, halved for every half-life before it, up to MOST of them.
    What is older still is not forgotten: a weight of 0 would mean that the pair never met."""
    return np.exp2(np.clip((at - newest_us) / half_life_us, -MOST, 0.0))
