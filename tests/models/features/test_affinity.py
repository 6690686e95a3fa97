"""How a history leans to what a startup is, on paper and from both sides."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.activity.fit import fit_activity
from models.features.affinity import FacetAffinity, affinities
from tests.models.features.market_by_hand import interactions, owners, people, standing, startups

EVERYBODY = np.arange(4)


def facets(forward: bool) -> dict[str, FacetAffinity]:
    activity, sides = fit_activity(standing(), []), (people(), startups())
    mine, theirs = sides if forward else sides[::-1]
    return {facet.name: facet for facet in affinities(activity, mine, theirs, EVERYBODY)}


def lift(met: float, total: float, share: float) -> float:
    return math.log(0.05 + (met + 5 * share) / (total + 5) / (share + 0.001))


def test_lift_by_hand() -> None:
    """Met by interest: person 0 startups 0 and 1 (games), person 1 startup 0, person 2 startup 2 (bio): 3 of 4 are
    games. Startup 3 states nothing, person 3 did nothing: both say 0."""
    batch = owners([0, 1, 2, 3], interactions())

    found, met = facets(True)["category"].columns(batch, np.repeat(EVERYBODY, 4), np.tile(EVERYBODY, 4))

    def games(met: int, total: int) -> float:
        return lift(met, total, 0.75)

    def bio(met: int, total: int) -> float:
        return lift(met, total, 0.25)

    assert found.reshape(4, 4) == pytest.approx(
        np.array(
            [
                [games(2, 2), games(2, 2), bio(0, 2), 0],
                [games(1, 1), games(1, 1), bio(0, 1), 0],
                [games(0, 1), games(0, 1), bio(1, 1), 0],
                [0, 0, 0, 0],
            ]
        ),
        abs=1e-6,
    )
    assert met.reshape(4, 4) == pytest.approx(
        np.log1p(np.array([[2, 2, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]])), abs=1e-6
    )


def test_one_value_says_nothing_new_and_a_rare_one_much() -> None:
    """Everybody meets games: the lift of the only value is about ln 1.05, of one that nobody met ln 0.05."""
    assert lift(3, 3, 1.0) == pytest.approx(math.log(1.05), abs=1e-3)
    assert lift(0, 3, 0.0) == pytest.approx(math.log(0.05))


def test_either_side_says_the_same_of_a_pair() -> None:
    forward, reverse = facets(True), facets(False)
    person, company = np.repeat(EVERYBODY, 4), np.tile(EVERYBODY, 4)
    users, companies = owners([0, 1, 2, 3], interactions()), owners([0, 1, 2, 3], interactions().transposed())

    assert list(forward) == list(reverse) == ["category", "location", "region", "country"]
    for name, facet in forward.items():
        mine, theirs = facet.columns(users, person, company), reverse[name].columns(companies, company, person)
        for one, other in zip(mine, theirs, strict=True):
            assert np.array_equal(one, other) and np.isfinite(one).all(), name


def test_a_stranger_leans_to_nothing() -> None:
    for forward, mine in ((True, interactions()), (False, interactions().transposed())):
        for facet in facets(forward).values():
            found, met = facet.columns(owners([-1], mine), np.zeros(4, int), EVERYBODY)
            assert found.tolist() == met.tolist() == [0.0] * 4


def test_a_value_that_came_since_the_bundle_is_blank() -> None:
    """The bundle's values count; entities that state others are numbered into them."""
    activity = fit_activity(standing(), [])
    other = startups(category=("games", "zeppelins", "bio", ""))

    facet = next(affinities(activity, people(), other, EVERYBODY))

    assert facet.name == "category" and facet.values == 3 and facet.code.tolist() == [1, 2, 0, 2]
