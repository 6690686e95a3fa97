"""Apply thresholds and fallback chains."""

from __future__ import annotations

import numpy as np
import pytest

from models.routing import chain, route
from models.schema import Method, Surface
from models.settings.settings import Settings

METHODS = Method.by_code()
FORWARD, BACK = Surface.STARTUPS_FOR_INVESTOR, Surface.INVESTORS_FOR_STARTUP


@pytest.mark.parametrize(
    ("count", "method"),
    [(0, "content_based"), (4, "content_based"), (5, "als"), (19, "als"), (20, "ensemble"), (10_000, "ensemble")],
)
def test_users_are_routed_by_their_interactions(count: int, method: str) -> None:
    assert METHODS[route(FORWARD, np.array([count]), Settings()).method[0]] == method


@pytest.mark.parametrize(("count", "method"), [(4, "content_based"), (5, "als_reverse"), (20, "als_reverse")])
def test_startups_are_routed_by_the_people_who_met_them(count: int, method: str) -> None:
    assert METHODS[route(BACK, np.array([count]), Settings()).method[0]] == method


def test_thresholds_are_settings() -> None:
    routed = route(
        FORWARD,
        np.array([2, 3, 9, 10]),
        Settings().layered({"cold_start_threshold": 3, "warm_user_threshold": 10}, "given"),
    )

    assert [METHODS[m].value for m in routed.method] == ["content_based", "als", "als", "ensemble"]
    assert routed.segment.tolist() == [0, 1, 1, 2]


def test_the_whole_chain_of_a_hot_user() -> None:
    found = [m.value for m in chain(FORWARD, Method.ENSEMBLE, Settings())]

    assert found == ["ensemble", "als", "two_tower", "content_based", "popular"]


@pytest.mark.parametrize("surface", list(Surface))
@pytest.mark.parametrize("on", [True, False])
def test_every_chain_ends_in_popular(surface: Surface, on: bool) -> None:
    """An answer is never empty while any item exists, for any switches (R08)."""
    settings = Settings().layered({"enable_als": on, "enable_two_tower": on, "enable_ensemble": on}, "given")
    for method in {METHODS[m] for m in route(surface, np.arange(40), settings).method}:
        assert chain(surface, method, settings)[-1] is Method.POPULAR


def test_the_ensemble_needs_both_halves() -> None:
    """Without one part the other answers (A15, B10)."""
    assert chain(FORWARD, Method.ENSEMBLE, Settings().layered({"enable_two_tower": False}, "given"))[0] is Method.ALS
    assert chain(FORWARD, Method.ENSEMBLE, Settings().layered({"enable_als": False}, "given"))[0] is Method.TWO_TOWER


def test_a_cold_owner_without_text_gets_other_models_before_popular() -> None:
    """Below the threshold ALS is worse than content, but better than nothing (B01, B08)."""
    assert [m.value for m in chain(FORWARD, Method.CONTENT_BASED, Settings())] == [
        "content_based",
        "als",
        "two_tower",
        "popular",
    ]
    assert [m.value for m in chain(BACK, Method.CONTENT_BASED, Settings())] == [
        "content_based",
        "als_reverse",
        "two_tower",
        "popular",
    ]


def test_hot_startups_get_the_ensemble_where_it_is_asked_for() -> None:
    """The setting has a measured default (R24, docs/decisions/0011-founder-ensemble.md)."""
    asked = Settings().layered({"founder_ensemble": True}, "given")
    routed = route(BACK, np.array([4, 5, 19, 20]), asked).method

    assert [METHODS[m].value for m in routed] == ["content_based", "als_reverse", "als_reverse", "ensemble"]
    assert [m.value for m in chain(BACK, Method.ENSEMBLE, asked)] == [
        "ensemble",
        "als_reverse",
        "two_tower",
        "content_based",
        "popular",
    ]
    assert (
        chain(BACK, Method.ENSEMBLE, Settings().layered({"founder_ensemble": True, "enable_ensemble": False}, "given"))[
            0
        ]
        is Method.ALS_REVERSE
    )
    assert Method.ENSEMBLE not in chain(BACK, Method.CONTENT_BASED, asked)
