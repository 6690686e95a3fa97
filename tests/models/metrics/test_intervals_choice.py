"""Choose only clearly better candidates, for any number of them (Student 1908, Bonferroni 1936)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from models.metrics.intervals import LEAST, ONE_ERROR, SURE, choose


def drawn(n: int, mean: float, seed: int, spread: float = 0.3) -> np.ndarray:
    """Draw paired differences like those of NDCG: many are 0, the others are within -1..1."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(n) < 0.5, 0.0, np.clip(rng.normal(2 * mean, spread, n), -1, 1))


def test_the_interval_is_students() -> None:
    values = drawn(50, 0.05, 0)
    gain = choose({"learned": values}).gains["learned"]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (gain["low"], gain["high"]) == pytest.approx((expected.low, expected.high))
    assert gain["mean"] == pytest.approx(values.mean())


@pytest.mark.parametrize("seed", range(20))
def test_many_validation_owners_never_take_a_worse_ranker(seed: int) -> None:
    """A ranker of 0.4998 against 0.5173, over thousands of owners."""
    found = choose({"learned": drawn(4000, -0.0175, seed)})
    assert found.taken is None and found.best == "learned" and found.gains["learned"]["high"] < 0


@pytest.mark.parametrize("seed", range(20))
def test_many_validation_owners_take_a_better_ranker(seed: int) -> None:
    assert choose({"learned": drawn(4000, 0.03, seed)}).taken == "learned"


@pytest.mark.parametrize("level", [SURE, ONE_ERROR])
@pytest.mark.parametrize("owners", [0, 1, 2, 5, LEAST - 1, LEAST, 60, 1000])
def test_an_equal_ranker_is_seldom_taken_for_any_number_of_owners(owners: int, level: float) -> None:
    """An equal ranker wins by chance one time in 40, at one standard error one in six, for any number of owners."""
    taken = sum(choose({"learned": drawn(owners, 0.0, seed)}, level).taken is not None for seed in range(400))
    assert taken <= 400 * (1 - level) / 2 + 20


def test_one_standard_error_by_hand() -> None:
    values = drawn(5000, 0.05, 0)
    gain = choose({"learned": values}, ONE_ERROR).gains["learned"]
    assert gain["mean"] - gain["low"] == pytest.approx(values.std(ddof=1) / np.sqrt(5000), rel=0.01)


@pytest.mark.parametrize("owners", [0, 1, LEAST - 1])
def test_too_few_owners_choose_nothing_however_sure_they_look(owners: int) -> None:
    assert choose({"learned": np.full(owners, 0.9)}).taken is None


@pytest.mark.parametrize("challengers", [2, 7, 30])
def test_the_best_of_many_that_are_no_better_is_seldom_taken(challengers: int) -> None:
    """Without the correction, a third of such choices would be wrong with seven blends (winner's curse)."""
    alone = together = 0
    for seed in range(200):
        gains = {f"c{i}": drawn(300, 0.0, 1000 * seed + i) for i in range(challengers)}
        together += choose(gains).taken is not None
        alone += any(choose({n: v}).taken is not None for n, v in gains.items())
    assert together <= 0.05 * 200 + 4 and (challengers == 2 or alone > 3 * together)


def test_the_better_of_two_that_are_surely_better_is_taken() -> None:
    found = choose({"a": drawn(2000, 0.05, 1), "b": drawn(2000, 0.1, 2), "c": drawn(2000, -0.1, 3)})
    assert found.taken == found.best == "b" and "over 2000 owners" in found.said("b")


def test_a_lucky_leader_does_not_block_a_sure_one() -> None:
    at = np.arange(500)
    lucky = np.where(at < 2, 1.0, np.where(at < 120, 0.5, np.where(at < 220, -0.5, 0)))
    sure = np.full(500, 0.01) + np.linspace(-0.001, 0.001, 500)
    found = choose({"lucky": lucky, "sure": sure})
    assert (found.taken, found.best) == ("sure", "lucky")


def test_equals_leave_the_default_and_the_simpler_one_first() -> None:
    assert choose({"learned": np.zeros(500)}).taken is None
    assert choose({}).taken is None and choose({}).best is None
    same = drawn(500, 0.2, 4)
    assert choose({"mlp": same, "learned": same}).taken == "mlp"
