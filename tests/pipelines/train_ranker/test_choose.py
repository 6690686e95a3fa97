"""Choose a ranker: lenient with few validation owners, strict if the paired interval is clear."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.report.figure_names import RANKED, RULES, STACK, TAUGHT
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


@pytest.mark.parametrize("owners", [0, 5, 300])
def test_a_small_surface_keeps_the_stacked_ranker(owners: int) -> None:
    asked = ballot(owners, 0, **{STACK: 0.02})
    missing = {**asked, TAUGHT: np.full(owners, np.nan)}
    serves, why = small_choice(missing)
    assert serves == STACK and (not owners or f"over {owners} owners" in why)


def test_a_better_learned_ranker_serves_a_small_surface() -> None:
    asked = ballot(300, 0, **{STACK: 0.0, TAUGHT: 0.05})
    asked[TAUGHT][:100] = np.nan  # not trained at an earlier cutoff
    assert small_choice(asked)[0] == TAUGHT
    assert small_choice(ballot(300, 0, **{STACK: 0.05, TAUGHT: 0.0}))[0] == STACK


def test_only_surely_better_rules_serve_a_small_surface() -> None:
    unknown = np.full(300, np.nan)
    assert small_choice({**ballot(300, 0, **{STACK: -0.08}), TAUGHT: unknown})[0] == RULES
    unsure = [small_choice({**ballot(300, s, **{STACK: -0.005}), TAUGHT: unknown})[0] for s in range(40)]
    assert unsure.count(STACK) > 30


def test_the_network_must_be_better_than_the_stacked_ranker() -> None:
    asked = ballot(2000, 1, **{STACK: 0.1, RANKED: 0.05})
    assert network_choice(asked).taken is None
