"""Estimate rates over owners: by hand, on simulated owners with a known rate, at the edges (C55-C57, J17)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.metrics.rates import Rate, difference, mean, rate, unevenness

ONES = np.ones(100)


def hits(n: int) -> np.ndarray:
    return (np.arange(100) < n).astype(float)


def bounds(found: Rate) -> tuple[float, float]:
    assert found.low is not None and found.high is not None
    return found.low, found.high


def test_one_trial_an_owner_is_wilsons_interval() -> None:
    """Newcombe 1998, table I: 81 of 263 gives 0.2553..0.3662 (z = 1.96; Student's quantile is hardly wider)."""
    found = rate((np.arange(263) < 81).astype(float), np.ones(263))
    assert found.value == pytest.approx(81 / 263)
    assert bounds(found) == pytest.approx((0.2553, 0.3662), abs=5e-4)
    assert (found.trials, found.owners) == (263, 263)


def test_the_difference_of_two_is_newcombes() -> None:
    """Newcombe 1998, part II, table II(a), method 10: 56/70 less 48/80 gives 0.0524..0.3339."""
    one, other = (rate((np.arange(n) < k).astype(float), np.ones(n)) for k, n in ((56, 70), (48, 80)))
    value, low, high = difference(one, other) or (0, 0, 0)
    assert value == pytest.approx(0.2)
    assert (low, high) == pytest.approx((0.0524, 0.3339), abs=5e-3)


def test_the_variance_is_that_of_the_ratio() -> None:
    """Three owners, 1/2, 0/2, 3/4: R = 1/2, residuals 0, -1, 1; var = 3/2 * 2 / 64."""
    found = rate(np.array([1, 0, 3]), np.array([2, 2, 4]))
    assert found.value == 0.5
    assert found.effective == pytest.approx(0.25 / (1.5 * 2 / 64))


def test_owners_who_always_do_the_same_count_as_one_trial_each() -> None:
    """Twenty impressions of an owner who clicks all or none have the information of one."""
    found, plain = rate(20 * hits(30), 20 * ONES), rate(hits(30), ONES)
    assert found.effective == pytest.approx(plain.effective, rel=0.02)
    assert np.diff(bounds(found)) == pytest.approx(np.diff(bounds(plain)), rel=0.02)


@pytest.mark.parametrize(("n", "low", "high"), [(0, 0.0, 0.0379), (100, 0.9621, 1.0)])
def test_the_interval_has_width_also_at_0_and_1(n: int, low: float, high: float) -> None:
    found = rate(10 * hits(n), 10 * ONES)
    assert bounds(found) == pytest.approx((low, high), abs=1e-3)


def test_nobody_and_a_single_owner() -> None:
    nobody = rate(np.zeros(3), np.zeros(3))
    assert (nobody.value, nobody.low, nobody.high, nobody.owners) == (None, None, None, 0)
    single = rate(np.array([3.0, 0.0]), np.array([10.0, 0.0]))
    assert (single.value, single.low, single.high, single.owners) == (0.3, 0.0, 1.0, 1)
    assert difference(nobody, single) is None and nobody.as_json()["value"] is None


@pytest.mark.parametrize("true", [0.02, 0.3])
def test_intervals_cover_the_truth_as_often_as_they_say(true: float) -> None:
    """Owners differ much in click rate and number of impressions.

    At 0.02 fewer than ten of 150 owners ever click, so the intervals may be slightly too short.
    """
    rng = np.random.default_rng(7)
    covered, gaps, times = 0, 0, 600
    for _ in range(times):
        both = []
        for _ in range(2):
            trials = rng.geometric(0.1, 150)
            zeal = rng.beta(2 * true, 2 * (1 - true), 150)
            both.append(rate(rng.binomial(trials, zeal), trials))
        low, high = bounds(both[0])
        covered += low <= true <= high
        _, low, high = difference(*both) or (0, 0, 0)
        gaps += low <= 0 <= high
    least = 0.90 if true < 0.1 else 0.93
    assert least <= covered / times <= 0.98 and least <= gaps / times <= 0.985


def test_a_mean_of_what_is_no_share() -> None:
    found = mean(np.array([10.0, 30.0, 0.0]), np.array([1.0, 3.0, 0.0]))
    assert (found.value, found.low, found.high, found.trials, found.owners) == (10.0, 10.0, 10.0, 4, 2)
    assert mean(np.array([5.0]), np.array([1.0])).low is None


def test_arms_of_the_right_size_are_even() -> None:
    """A textbook example of a die: 5, 8, 9, 8, 10, 20 of 60 is 13.4 with five degrees of freedom, p = 0.0199."""
    statistic, p = unevenness(np.array([5, 8, 9, 8, 10, 20]), np.ones(6))
    assert statistic == pytest.approx(13.4) and p == pytest.approx(0.0199, abs=1e-4)
    assert unevenness(np.array([0, 0]), np.ones(2)) == (0.0, 1.0)
    assert unevenness(np.array([40, 10]), np.array([4, 1]))[1] == 1.0


def test_who_stands_where_nobody_is_drawn_was_not_drawn() -> None:
    assert unevenness(np.array([10, 1]), np.array([1, 0])) == (math.inf, 0.0)


def test_what_is_written_is_rounded() -> None:
    told = {"value": 0.333333, "low": 0.1, "high": 0.5, "trials": 3, "owners": 3}
    assert Rate(1 / 3, 0.1, 0.5, 3, 3).as_json() == told
