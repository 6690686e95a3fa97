"""Cutoffs of the temporal validation split and of the rolling-origin backtest.

They lie on a fixed calendar: multiples of one step since 1970. So they stay the same for many builds, and what was made
at a cutoff can be kept (`pipelines/train/cutoffs.py`).
"""

from __future__ import annotations

import math

import numpy as np

from models.data.interactions import Interactions, leaving
from models.errors import TooSparse

_HOUR_US = 3_600_000_000


def split_time(interactions: Interactions, share: float) -> int:
    """Return the cutoff on the calendar next to the instant with the last `share` of the events after it.

    In microseconds since 1970 UTC. Raises TooSparse (P01).
    """
    at = np.sort(interactions.at)
    exact = leaving(at, share) if len(at) else 0
    if not len(at) or exact == at[0]:
        raise TooSparse(
            f"expected events on both sides of a validation split at {share:.0%}, got {len(at)} events "
            f"{'at one instant' if len(at) else 'at all'}; load more, or set [holdout] share"
        )
    step = _step(int(at[-1]) - exact)
    cut = round(exact / step) * step
    return cut if at[0] < cut <= at[-1] else exact


def cuts(interactions: Interactions, share: float, as_of_us: int, most: int) -> list[tuple[int, int]]:
    """Return up to `most` pairs (cutoff, end of outcomes) in microseconds, newest first.

    One is the validation split. Cutoffs are a step apart, about half of its span; each outcome window has two steps.
    """
    try:
        split = split_time(interactions, share)
    except TooSparse:
        return []
    first, last = int(interactions.at.min()), int(interactions.at.max())
    step = _step(last - leaving(np.sort(interactions.at), share))
    newest = split + max(0, (last - split - step // 2) // step) * step
    found = [newest - i * step for i in range(most) if newest - i * step > first]
    return [(cut, cut + 2 * step if cut + 2 * step <= last else as_of_us) for cut in found]


def _step(span_us: int) -> int:
    """Return the power of two of hours that is nearest to half of a span; shorter than an hour for short spans.

    Steps of a power of two share their cutoffs, also when data grow and the step doubles.
    """
    hours = span_us / 2 / _HOUR_US
    return max(1, int(_HOUR_US * 2.0 ** round(math.log2(hours)))) if span_us > 0 else 1
