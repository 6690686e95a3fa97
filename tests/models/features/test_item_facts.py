"""Compute facts of four startups, each number by hand (see market_by_hand.py)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.data.interactions import EventTime
from models.features.item_facts import NEVER, NEVER_DAYS, item_facts, last_age
from tests.models.features.market_by_hand import EVEN, EVENTS, NOW, interactions, startups

LN = math.log1p


def facts(last: str = "") -> dict[str, np.ndarray]:
    return item_facts(startups(last=last), interactions().transposed(), EVEN, NOW)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("met", [1, 1, 1, 0]),
        ("first_age", [0.9, 0.8, 0.02, NEVER]),
        ("last_age", [0.6, 0.8, 0.02, NEVER]),  # the dislike of startup 1 on day 60 does not count
        ("first_days", [LN(90), LN(80), LN(2), NEVER_DAYS]),
        ("last_days", [LN(60), LN(80), LN(2), NEVER_DAYS]),
        ("born", [1, 0, 1, 1]),
        ("born_days", [LN(10), 0, LN(31), 0]),  # unknown and future startups are 0
        ("events", [LN(3), LN(1), LN(1), 0]),
        ("partners", [LN(2), LN(1), LN(1), 0]),
        ("rounds", [LN(2), LN(1), LN(1), 0]),  # days 10 and 40; 10.5 counts as day 10
        ("events_a_round", [1.5, 1, 1, 0]),
        ("days_a_round", [LN(30), 0, 0, 0]),
        ("views", [LN(1), 0, 0, 0]),
        ("dislikes", [0, LN(1), 0, 0]),
        ("events_in_0.01", [0, 0, 0, 0]),
        ("events_in_0.03", [0, 0, LN(1), 0]),
        ("heat_0.01", [LN(100 * 2**-60), LN(100 * 2**-80), LN(25), 0]),  # 2 half-lives old: 100 / 4
        # person 0 has three events, the last at 0.6; person 1 has one at 0.895; person 2 has one at 0.02 and a dislike
        ("partners_busy", [(LN(3) + LN(1)) / 2, LN(3), LN(1), 0]),
        ("partners_busiest", [LN(3), LN(3), LN(1), 0]),
        ("partners_age", [(0.6 + 0.895) / 2, 0.6, 0.02, 0]),
        # 4 of 5 events are of games, 1 of bio; add one to each of games, bio and blank
        ("category_share", [math.log(x / 8) for x in (5, 5, 2, 1)]),
        # the only recent event is of bio: (1 + 1) / (1 + 3) for bio, a quarter for each other
        ("category_momentum", [math.log(x) for x in (0.25 / (5 / 8), 0.25 / (5 / 8), 0.5 / (2 / 8), 0.25 / (1 / 8))]),
        ("category_density", [math.log(x) for x in (0.5 / 7, 0.5 / 7, 1.5 / 6, 0.5 / 5)]),
        ("country_density", [math.log(x) for x in (0.5 / 7, 0.5 / 7, 1.5 / 6, 0.5 / 5)]),
        ("location_density", [math.log(x) for x in (0.5 / 6, 0.5 / 6, 1.5 / 6, 0.5 / 5)]),
    ],
)
def test_a_fact_by_hand(name: str, expected: list[float]) -> None:
    assert facts()[name] == pytest.approx(expected, abs=1e-6)


def test_future_startups_are_in_no_fact() -> None:
    """The words of a future startup do not count and get no number."""
    plain = facts()
    for later in ("aviation", "games", "zeppelins"):
        told = facts(last=later)
        assert list(told) == list(plain)
        assert {n for n in plain if not np.array_equal(plain[n], told[n])} == set()


def test_facts_are_finite_with_and_without_events() -> None:
    nothing = interactions(())
    for events in (interactions(), nothing):
        found = item_facts(startups(events), events.transposed(), EventTime.from_times(events.at), NOW)
        assert all(v.dtype == np.float32 and v.shape == (4,) and np.isfinite(v).all() for v in found.values())


def test_order_of_events_has_no_effect() -> None:
    mixed = interactions(tuple(EVENTS[i] for i in (3, 5, 0, 4, 2, 1)))
    again = item_facts(startups(mixed), mixed.transposed(), EVEN, NOW)

    assert all(np.array_equal(again[name], value) for name, value in facts().items())


def test_last_age_of_people() -> None:
    """Any event counts, also a dislike. The fourth person has no event."""
    assert last_age(interactions(), EVEN) == pytest.approx([0.6, 0.895, 0.02, NEVER])
