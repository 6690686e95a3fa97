"""Choose a ranker: lenient with few validation owners, strict if the paired interval is clear."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from pipelines.report.figure_names import MEAN, RANKED, RULES, STACK, TAUGHT
from pipelines.train_ranker.choose import learned_choice, network_choice, small_choice, verdict_of


def ballot(owners: int, seed: int, **gain: float) -> dict[str, np.ndarray]:
    """Return NDCG@10 of the rules and of a ranker with this mean gain."""
    rng = np.random.default_rng(seed)
    rules = np.where(rng.random(owners) < 0.4, rng.random(owners), 0)
    return {RULES: rules, **{name: rules + mean + rng.normal(0, 0.15, owners) for name, mean in gain.items()}}


@pytest.mark.parametrize("seed", range(20))
def test_a_surely_worse_learned_ranker_never_serves(seed: int) -> None:
    """A ranker of 0.4998 against 0.5173, over thousands of owners."""
    asked = ballot(4000, seed, **{TAUGHT: -0.0175})
    serves, said = verdict_of(asked, learned_choice(asked), TAUGHT)
    assert not serves and said.endswith("it does not serve") and f"gain of {RULES}" in said


@pytest.mark.parametrize("owners", [1, 5, 60, 200])
def test_few_unsure_validation_owners_keep_the_learned_ranker(owners: int) -> None:
    served = [
        verdict_of(asked, learned_choice(asked), TAUGHT)[0]
        for asked in (ballot(owners, seed, **{TAUGHT: -0.005}) for seed in range(40))
    ]
    assert np.mean(served) > 0.85


def test_few_sure_validation_owners_decide() -> None:
    asked = ballot(12, 0, **{TAUGHT: -0.6})
    assert not verdict_of(asked, learned_choice(asked), TAUGHT)[0]


def test_a_surely_better_network_takes_the_place_of_both() -> None:
    asked = ballot(2000, 1, **{TAUGHT: 0.0, RANKED: 0.1})
    assert learned_choice(asked).taken == RANKED and verdict_of(asked, network_choice(asked), RANKED)[0]


@pytest.mark.parametrize("seed", range(5))
def test_the_network_must_be_better_than_the_rules(seed: int) -> None:
    worse, better = ballot(500, seed, **{RANKED: -0.02}), ballot(500, seed, **{RANKED: 0.05})
    assert (
        not verdict_of(worse, network_choice(worse), RANKED)[0]
        and verdict_of(better, network_choice(better), RANKED)[0]
    )


def test_nobody_asked_lets_nothing_serve() -> None:
    nobody = ballot(0, 0, **{TAUGHT: 0.1, RANKED: 0.1})
    assert verdict_of(nobody, learned_choice(nobody), TAUGHT) == (False, "no owners to evaluate it")
    assert verdict_of(nobody, network_choice(nobody), RANKED)[0] is False


def small(owners: int, gain: Mapping[str, float], seed: int = 0) -> tuple[str, str]:
    """Return the choice. Rankers without a gain were not trained."""
    missing = {name: np.full(owners, np.nan) for name in (MEAN, TAUGHT)}
    return small_choice({**missing, **ballot(owners, seed, **gain)})


@pytest.mark.parametrize("owners", [0, 5, 300])
def test_a_small_surface_keeps_the_stacked_ranker_without_a_learned_one(owners: int) -> None:
    serves, why = small(owners, {STACK: 0.02})
    assert serves == STACK and (not owners or f"over {owners} owners" in why)


@pytest.mark.parametrize("owners", [5, 300])
def test_a_small_surface_keeps_the_mean_where_neither_half_is_clearly_better(owners: int) -> None:
    assert [small(owners, {STACK: 0.02, MEAN: 0.02, TAUGHT: 0.0}, s)[0] for s in range(20)].count(MEAN) >= 19


def test_a_better_half_or_better_rules_replace_the_mean() -> None:
    assert small(300, {STACK: 0.0, MEAN: 0.03, TAUGHT: 0.06})[0] == TAUGHT
    assert small(300, {STACK: 0.1, MEAN: 0.03, TAUGHT: 0.0})[0] == STACK
    assert small(300, {STACK: -0.1, MEAN: -0.1, TAUGHT: -0.15})[0] == RULES


def test_cutoffs_without_a_learned_ranker_count_for_the_stacked_one() -> None:
    asked = ballot(300, 0, **{STACK: 0.0, MEAN: 0.03, TAUGHT: 0.06})
    asked[TAUGHT][:100] = asked[MEAN][:100] = np.nan
    serves, why = small_choice(asked)
    assert serves == TAUGHT and "over 300 owners" in why and "over 200 owners" in why


def test_only_surely_better_rules_serve_a_small_surface() -> None:
    assert small(300, {STACK: -0.08})[0] == RULES
    assert [small(300, {STACK: -0.005}, s)[0] for s in range(40)].count(STACK) > 30


def test_the_network_must_be_better_than_the_stacked_ranker() -> None:
    asked = ballot(2000, 1, **{STACK: 0.1, RANKED: 0.05})
    assert network_choice(asked).taken is None
