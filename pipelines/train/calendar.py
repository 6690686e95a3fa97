"""Choose the cutoffs of the temporal validation split and of the rolling-origin backtest.

They are at shares of the events, moved to a fixed calendar: multiples of one step since 1970. So consecutive builds
share cutoffs and their results (`cutoffs.py`).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from models.data.interactions import Interactions, leaving
from models.errors import TooSparse

_HOUR_US = 3_600_000_000


def split_time(interactions: Interactions, share: float) -> int:
    """Return the calendar cutoff nearest to the instant before the last `share` of the events.

    In microseconds since 1970 UTC. Raises TooSparse (P01).
    """
    at = np.sort(interactions.at)
    exact = leaving(at, share) if len(at) else 0
    if not len(at) or exact == at[0]:
        raise TooSparse(
            f"expected events on both sides of a validation split at {share:.0%}, got {len(at)} events "
            f"{'at one instant' if len(at) else 'at all'}; load more, or set [holdout] share"
        )
    return _moved(exact, at, share)


def cuts(interactions: Interactions, share: float, as_of_us: int, most: int) -> list[tuple[int, int]]:
    """Return up to `most` pairs (cutoff, end of outcomes) in microseconds, newest first.

    Cutoffs are half a `share` of the events apart. The second is the validation split. Each outcome window has a whole
    `share`, or ends at the snapshot's cutoff.
    """
    at, found = np.sort(interactions.at), []
    window = int(share * len(at))
    for i in range(1, most + 1):
        back = share * i / 2
        if back >= 1 or not len(at) or (exact := leaving(at, back)) == at[0]:
            break
        cut = _moved(exact, at, share)
        end = int(np.searchsorted(at, cut)) + window
        ended = end < len(at) - window // 4
        found.append((cut, _moved(int(at[end]), at, share) if ended else as_of_us))
    return sorted({(cut, until) for cut, until in found if cut < until}, reverse=True)


def _moved(instant: int, at: NDArray[np.int64], share: float) -> int:
    """Return the calendar place nearest to an instant, or the instant if that place is outside the events.

    A step is the power of two of hours nearest to a quarter of the span of the `share` of the events around the
    instant. Spans of less than an hour have shorter steps. Places of a longer step are places of a shorter one too.
    """
    middle, half = int(np.searchsorted(at, instant)), math.ceil(share * len(at) / 2)
    around = at[max(middle - half, 0) : middle + half + 1]
    hours = int(around[-1] - around[0]) * (2 * half / max(len(around) - 1, 1)) / 4 / _HOUR_US
    step = max(1, int(_HOUR_US * 2.0 ** round(math.log2(hours)))) if hours > 0 else 1
    place = round(instant / step) * step
    return place if at[0] < place <= at[-1] else instant
