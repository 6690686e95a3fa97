"""Predict demand: find a planted rhythm if there is enough data, else use recent events."""

from __future__ import annotations

import numpy as np
import pytest

from models.activity.fit import ENOUGH, MOST, NAME, fit_activity
from models.data.interactions import DAY_US, Interactions
from models.data.training_data import MarketState
from models.schema import Entity
from tests.models.features.market_by_hand import entities, interactions, people, standing

PEOPLE, STARTUPS, NOW = 200, 400, 90
#: The day of each startup's founding, evenly over a hundred days.
BORN = np.arange(STARTUPS) / 4
CUTS = (70, 60, 50, 40, 30)


def rhythm() -> Interactions:
    """One owner meets a startup on its founding day, eight others ten days later.

    The first forty startups had many events in their first week and none afterwards.
    """
    rng = np.random.default_rng(0)
    events = [(int(rng.integers(PEOPLE)), s, "like", b + 0.01) for s, b in enumerate(BORN)]
    events += [
        (int(u), s, "apply", b + 10 + rng.random())
        for s, b in enumerate(BORN)
        for u in rng.choice(PEOPLE, 8, replace=False)
    ]
    events += [
        (int(u), s, "view", b + 7 * rng.random())
        for s, b in enumerate(BORN[:40])
        for u in rng.choice(PEOPLE, 60, replace=False)
    ]
    return interactions(tuple(sorted(events, key=lambda e: e[3])), PEOPLE, STARTUPS)


def at(day: float, of: Interactions) -> MarketState:
    before = of.before(int(day * DAY_US))
    users = entities(Entity.USER, before, [0.0] * PEOPLE, [True] * PEOPLE)
    startups = entities(Entity.STARTUP, before.transposed(), list(BORN), (day > BORN).tolist())
    return MarketState(users, startups, before, int(day * DAY_US))


def fitted(of: Interactions, cuts: tuple[int, ...] = CUTS) -> dict[str, np.ndarray]:
    bundle = fit_activity(at(NOW, of), [(at(day, of), (day + 20) * DAY_US) for day in cuts])
    assert bundle.config["startup_demand"]["by"] == "trees over facts"
    return dict(bundle.arrays)


def test_a_rhythm_is_found_that_popularity_does_not_see() -> None:
    """On day 90, startups founded between days 80 and 90 will still meet their eight partners."""
    of = rhythm()
    now, demand = at(NOW, of), fitted(of)["startup_demand"]

    wanted = (BORN > NOW - 9) & (BORN < NOW - 1)
    there = now.startups.listed
    best, popular = (np.argsort(-np.where(there, x, -1))[: int(wanted.sum())] for x in (demand, now.startups.count))
    assert wanted[best].mean() > 0.8
    assert wanted[popular].mean() < 0.1
    assert demand[wanted].mean() > 4 > 10 * demand[BORN < NOW - 15].mean()


def test_demand_counts_partners() -> None:
    """The prediction for a startup with eight future partners is near eight, and at most the maximum."""
    demand = fitted(rhythm())["startup_demand"]
    assert demand.dtype == np.float32 and demand.min() > 0 and demand[BORN < NOW].max() < 1.5 * MOST


def test_with_little_data_recent_events_decide() -> None:
    """Startup 2 has one of six events, the newest, of age 1/6: 2 ** (-10/6). Without events there is no demand."""
    bundle = fit_activity(standing(), [])

    assert bundle.name == NAME and bundle.config["startup_demand"] == {"by": "recent events", "pairs": 0}
    expected = [2**-10 + 2 ** (-50 / 6) + 2**-5, 2 ** (-40 / 6), 2 ** (-10 / 6), 0]
    assert bundle.arrays["startup_demand"] == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_a_few_new_pairs_are_not_enough() -> None:
    of = rhythm()
    bundle = fit_activity(at(5, of), [(at(4.75, of), 5 * DAY_US)])
    told = bundle.config["startup_demand"]
    assert told["by"] == "recent events" and 0 < told["pairs"] < ENOUGH


def test_the_same_bytes_again() -> None:
    of = rhythm()
    one, other = fitted(of), fitted(of)
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_what_is_stored_of_facets_by_hand() -> None:
    """Interest in games by persons 0 and 1, in bio by person 2. The dislike does not count."""
    arrays = fit_activity(standing(), []).arrays

    assert arrays["category_values"].tolist() == ["bio", "games"]
    assert arrays["category_share"].tolist() == [0.25, 0.75, 0.0]
    assert arrays["category_indptr"].tolist() == [0, 1, 2, 3, 3]
    assert arrays["category_indices"].tolist() == [1, 1, 0] and arrays["category_data"].tolist() == [2, 1, 1]
    assert arrays["field_values"].tolist() == [] and arrays["field_share"].tolist() == [1.0]


def test_facts_are_in_the_order_of_the_config() -> None:
    bundle = fit_activity(standing(), [])
    names, facts = bundle.config["facts"], bundle.arrays["startup_facts"]

    assert facts.shape == (4, len(names)) and bundle.arrays["user_facts"].shape == (4, len(names))
    assert facts[:, names.index("met")].tolist() == [1, 1, 1, 0]
    assert facts[:, names.index("partners")] == pytest.approx(np.log1p([2, 1, 1, 0]))


def test_an_empty_market_is_no_failure() -> None:
    nothing = interactions(())
    empty = MarketState(
        people(nothing), entities(Entity.STARTUP, nothing.transposed(), [0] * 4, [True] * 4), nothing, NOW * DAY_US
    )
    arrays = fit_activity(empty, []).arrays

    assert arrays["startup_demand"].tolist() == [0.0] * 4
    assert all(np.isfinite(a).all() for a in arrays.values() if a.dtype.kind == "f")
