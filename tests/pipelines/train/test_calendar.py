"""Cutoffs on a fixed calendar: by hand, and from day to day."""

from __future__ import annotations

import numpy as np
import pytest

from models.data.interactions import DAY_US
from models.errors import TooSparse
from pipelines.train.calendar import cuts, split_time
from tests.models.features.market_by_hand import interactions

HOUR_US = DAY_US // 24
#: An event a day, four hundred days.
DAILY = interactions(tuple((i % 4, i // 4 % 4, "like", i) for i in range(400)))


def before(day: int) -> list[tuple[int, int]]:
    """The cutoffs of a snapshot taken at a day, in hours."""
    found = cuts(DAILY.before(day * DAY_US), 0.2, day * DAY_US, 6)
    assert all(us % HOUR_US == 0 for pair in found for us in pair)
    return [(cut // HOUR_US, until // HOUR_US) for cut, until in found]


def test_cutoffs_by_hand() -> None:
    """Of a hundred days a fifth is twenty. Half of it, ten days, is next to 256 hours."""
    assert before(100) == [(2048, 2400), (1792, 2304), (1536, 2048), (1280, 1792), (1024, 1536), (768, 1280)]
    assert split_time(DAILY.before(100 * DAY_US), 0.2) == 2048 * HOUR_US


def test_a_nightly_snapshot_adds_one_cutoff_at_most() -> None:
    """From day 200 to 400 the span of a fifth grows from 40 to 80 days, so the step doubles once."""
    known = {cut for cut, _ in before(200)}
    added = []
    for day in range(201, 401):
        now = {cut for cut, _ in before(day)}
        added.append(len(now - known))
        known |= now
    assert max(added) <= 3 and sum(n > 1 for n in added) <= 1  # the step doubles: half of the cutoffs are old ones
    assert sum(added) < 15


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3])
@pytest.mark.parametrize("day", [50, 77, 100, 333])
def test_the_split_is_a_cutoff_near_the_share(share: float, day: int) -> None:
    events = DAILY.before(day * DAY_US)
    split = split_time(events, share)
    found = dict(cuts(events, share, day * DAY_US, 6))
    assert split in found
    assert 0.6 * share <= (events.at >= split).mean() <= 1.4 * share
    assert list(found) == sorted(found, reverse=True) and all(
        cut < until <= day * DAY_US for cut, until in found.items()
    )


def test_there_is_something_before_every_cutoff() -> None:
    assert min(cut for cut, _ in cuts(DAILY, 0.5, 400 * DAY_US, 24)) > 0
    assert cuts(DAILY.where(DAILY.at < 0), 0.2, 400 * DAY_US, 6) == []
    assert cuts(DAILY.where(DAILY.at == 0), 0.2, 400 * DAY_US, 6) == []
    with pytest.raises(TooSparse, match="events at one instant"):
        split_time(DAILY.where(DAILY.at == 0), 0.2)


def test_events_within_an_hour_are_split_too() -> None:
    short = interactions(tuple((i % 4, i // 4 % 4, "like", 0) for i in range(10)))
    at = np.arange(10, dtype=np.int64) * 1_000_000
    short = type(short)(short.owners, short.items, short.owner, short.item, short.kind, at)
    split = split_time(short, 0.2)
    assert at[0] < split <= at[-1] and cuts(short, 0.2, int(at[-1]) + 1, 6)
