"""Measure age as a share of events, compared with counting."""

from __future__ import annotations

import numpy as np
import pytest

from models.data.interactions import TICKS, EventTime


def test_age_is_the_share_of_events_at_or_after_an_instant() -> None:
    """Events at 10, 20, 20 and 50: all of them, three of four (twice), one of four."""
    clock = EventTime.from_times(np.array([50, 20, 10, 20]))

    assert clock.age(np.array([10, 20, 50])).tolist() == [1.0, 0.75, 0.25]
    assert clock.age(np.array([-5, 15, 35, 900])).tolist() == [1.0, 0.875, 0.5, 0.25]


def test_without_events_everything_is_old() -> None:
    assert EventTime.from_times(np.zeros(0, np.int64)).age(np.array([[0, 7]])).tolist() == [[1.0, 1.0]]


def test_events_of_one_instant_are_all_as_old() -> None:
    clock = EventTime.from_times(np.full(9, 4))

    assert clock.age(np.array([3, 4, 5])).tolist() == [1.0, 1.0, 1.0]


def test_many_events_keep_few_ticks_and_the_age_within_one_of_them() -> None:
    at = np.sort(np.random.default_rng(0).integers(0, 10**15, 50_000))
    clock = EventTime.from_times(at)

    exact = 1 - np.searchsorted(at, at) / len(at)
    assert len(clock.instant) <= TICKS and np.array_equal(clock.instant, np.unique(clock.instant))
    assert np.abs(clock.age(at) - exact).max() < 1 / TICKS


def test_the_clock_keeps_the_pace_of_the_market() -> None:
    """A market with twice the events ages twice as fast by the calendar, and equally by events."""
    slow, fast = (EventTime.from_times(np.arange(100) * day) for day in (10, 5))

    assert slow.age(np.array([500])) == pytest.approx(fast.age(np.array([250])))
