"""Place cutoffs on a fixed calendar: by hand, and from day to day."""

from __future__ import annotations

import numpy as np
import pytest

from models.data.interactions import DAY_US
from models.errors import TooSparse
from pipelines.train.calendar import cuts, split_time
from tests.models.features.market_by_hand import interactions

HOUR_US = DAY_US // 24
#: One event per day over four hundred days.
DAILY = interactions(tuple((i % 4, i // 4 % 4, "like", i) for i in range(400)))


def before(day: int) -> list[tuple[int, int]]:
    """Return the cutoffs of a snapshot of this day, in hours."""
    found = cuts(DAILY.before(day * DAY_US), 0.2, day * DAY_US, 6)
    assert all(us % HOUR_US == 0 for pair in found for us in pair)
    return [(cut // HOUR_US, until // HOUR_US) for cut, until in found]


def test_cutoffs_by_hand() -> None:
    """A fifth of a hundred days spans 20 days. The step nearest to a quarter of it is 128 hours."""
    assert before(100) == [(2176, 2400), (1920, 2400), (1664, 2176), (1408, 1920), (1152, 1664), (896, 1408)]
    assert split_time(DAILY.before(100 * DAY_US), 0.2) == 1920 * HOUR_US


def test_most_nightly_snapshots_add_no_cutoff() -> None:
    """From day 200 to 400 six cutoffs move by half a day to one day per day.

    Their places are five to twenty-one days apart.
    """
    known = {cut for cut, _ in before(200)}
    added = []
    for day in range(201, 401):
        now = {cut for cut, _ in before(day)}
        added.append(len(now - known))
        known |= now
    assert sum(added) < 0.15 * len(added), sum(added)
    whole, windows = set(before(200)), []
    for day in range(201, 401):
        windows.append(len({w for w in before(day) if w[1] != 24 * day} - whole))
        whole |= set(before(day))
    assert sum(windows) < 0.25 * len(windows), sum(windows)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3])
@pytest.mark.parametrize("day", [50, 77, 100, 333])
def test_the_split_is_a_cutoff_near_the_share(share: float, day: int) -> None:
    events = DAILY.before(day * DAY_US)
    split = split_time(events, share)
    found = dict(cuts(events, share, day * DAY_US, 6))
    assert split in found
    one = 1 / len(events)  # shares are whole events
    assert 0.82 * share - one <= (events.at >= split).mean() <= 1.18 * share + one
    assert list(found) == sorted(found, reverse=True)
    for cut, until in found.items():
        inside = ((events.at >= cut) & (events.at < until)).mean()
        assert cut < until <= day * DAY_US
        assert until == day * DAY_US or 0.85 * share - one <= inside <= 1.15 * share + one


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


def test_older_cutoffs_of_a_growing_market_move_less_often() -> None:
    """With twice the events every ten days, a fifth of the events spans three days now, and more the older it is."""
    at = np.sort(np.log2(np.linspace(1, 2**9, 20_000)) * 10 * DAY_US).astype(np.int64)
    market = interactions(((0, 0, "like", 0),))
    zeros = np.zeros(len(at), np.int32)
    growing = type(market)(market.owners, market.items, zeros, zeros, zeros.astype(np.int8), at)
    found = [cut for cut, _ in cuts(growing, 0.2, int(at[-1]) + 1, 8)]
    steps = [next(n for n in range(40, -1, -1) if cut % (2**n * HOUR_US) == 0) for cut in found]
    assert steps[0] < steps[-1], (found, steps)
