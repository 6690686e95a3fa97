"""Compare popularity and trending with numbers by hand (C49, R05)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models import popularity
from models.data.interactions import DAY_US, EVENT_WEIGHTS, Interactions
from models.popularity import PopularityConfig
from models.popularity.fit import fit_popularity
from models.popularity.scorer import trending
from models.schema import EventType
from tests.marketplace.world import AS_OF_US, world
from tests.models.model_contract import SMALL, ModelContract

LIKE, VIEW, CLICK, DISLIKE, APPLY = (EventType[k].code for k in ("LIKE", "VIEW", "CLICK", "DISLIKE", "APPLY"))


class TestPopularity(ModelContract):
    spec = popularity.SPEC


def events(rows: list[tuple[int, int, int, float]]) -> Interactions:
    """Make events of (user, startup, kind, days before the cutoff) in the planted world."""
    w = world()
    user, startup, kind, age = np.array(rows, float).reshape(-1, 4).T
    return Interactions(
        w.users.ids,
        w.startups.ids,
        user.astype(np.int32),
        startup.astype(np.int32),
        kind.astype(np.int8),
        (AS_OF_US - age * DAY_US).astype(np.int64),
    )


def test_popularity_by_hand() -> None:
    views = np.zeros(len(world().startups), np.int64)
    views[:3] = (10, 4, 0)
    startups = replace(world().startups, views=views)
    some = events([(0, 0, LIKE, 5), (1, 0, APPLY, 5), (0, 0, VIEW, 4), (2, 1, CLICK, 3), (3, 3, DISLIKE, 2)])
    bundle = fit_popularity(world().users, startups, some, AS_OF_US, SMALL.of(PopularityConfig))
    assert bundle.config["max"] == {"startup": 10 + 3 * 2 + 1, "user": 3 * 1 + 1}
    of_startups, of_users = bundle.arrays["startup_popularity"], bundle.arrays["user_popularity"]
    assert of_startups[:4] == pytest.approx([1.0, np.log(8) / np.log(17), 0.0, np.log(4) / np.log(17)])
    assert not of_startups[4:].any()
    assert of_users[:4] == pytest.approx([1.0, 1.0, 1.0, 1.0]) and not of_users[4:].any()


def test_nothing_happened_divides_by_nothing() -> None:
    startups = replace(world().startups, views=np.zeros(len(world().startups), np.int64))
    bundle = fit_popularity(world().users, startups, events([]), AS_OF_US, SMALL.of(PopularityConfig))
    assert bundle.config["max"] == {"startup": 1.0, "user": 1.0}
    assert not any(a.any() for a in bundle.arrays.values())


def test_recent_by_hand() -> None:
    """Half of all events came after the first like, so with a half-life of a half it counts half."""
    settings = SMALL.layered({"popular_half_life_events": 0.5}, "given")
    some = events([(0, 0, LIKE, 9), (0, 1, DISLIKE, 8), (1, 2, LIKE, 1), (1, 3, VIEW, 0)])
    bundle = fit_popularity(world().users, world().startups, some, AS_OF_US, settings.of(PopularityConfig))
    like = EVENT_WEIGHTS[LIKE] * np.exp2(-np.array([1.0, 0.5]) / 0.5)
    heat = np.log1p([like[0], 0, like[1], EVENT_WEIGHTS[VIEW] * np.exp2(-0.25 / 0.5)])
    assert bundle.arrays["startup_recent"][:4] == pytest.approx(heat / heat.max(), abs=1e-6)
    without = SMALL.layered({"popular_half_life_events": 0.0}, "given").of(PopularityConfig)
    bundle = fit_popularity(world().users, world().startups, some, AS_OF_US, without)
    assert np.array_equal(bundle.arrays["startup_recent"], bundle.arrays["startup_popularity"])


def test_trending_by_hand() -> None:
    """A like now gives 2.0, one a half-life ago 1.0. An earlier apply and a dislike give nothing."""
    settings = SMALL.layered({"trending_days": 30.0, "trending_half_life_days": 7.0}, "given")
    some = events([(0, 0, LIKE, 0), (0, 1, LIKE, 7), (1, 2, APPLY, 31), (1, 3, DISLIKE, 1), (2, 1, CLICK, 14)])
    heat = trending(some.transposed(), AS_OF_US, settings.of(PopularityConfig))
    assert heat[:4] == pytest.approx([1.0, np.log1p(1.0 + 0.25) / np.log1p(2.0), 0.0, 0.0])
    assert heat.dtype == np.float32 and not heat[4:].any()


def test_trending_does_not_see_the_future() -> None:
    some = events([(0, 0, LIKE, 5), (0, 1, LIKE, -1)])
    assert trending(some.transposed(), AS_OF_US, SMALL.of(PopularityConfig))[:2].tolist() == [1.0, 0.0]
