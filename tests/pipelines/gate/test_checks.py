"""Decide the gate: planted sure, likely and chance differences, and every limit of the lists."""

from __future__ import annotations

import numpy as np
import pytest

from models.errors import SettingsError
from models.schema import Surface
from models.settings.settings import Settings
from pipelines.gate import checks
from pipelines.gate.checks import (
    ASK,
    GO,
    STOP,
    Accuracy,
    accuracy_checks,
    baseline_checks,
    list_checks,
    overall_verdict,
)

SAME = {
    "owners": 100,
    "new_owners": 0,
    "gone_owners": 0,
    "overlap_at_10": 1.0,
    "rbo": 1.0,
    "popular_share": [0.0, 0.0],
    "route_distance": 0.0,
    "gini": [0.5, 0.5],
    "coverage": [0.8, 0.8],
}


def night(rng: np.random.Generator, better: float = 0.0, n: int = 300) -> dict[Surface, Accuracy]:
    """Make accuracies of n owners in three segments per surface.

    NDCG is 0 for half of them and about 0.4 for the others, plus `better`.
    """
    found = {}
    for surface in Surface:
        live = np.where(rng.random(n) < 0.5, 0, rng.beta(2, 3, n))
        moved = rng.permutation(live[: n // 3])  # a third of the owners change, with the same mean
        new = np.concatenate([moved, live[n // 3 :]]) * (1 + better)
        part = np.arange(n) % 3
        masks = {"overall": np.ones(n, bool), **{name: part == i for i, name in enumerate(("cold", "warm", "hot"))}}
        found[surface] = Accuracy(new, live * 0.3, live, masks)
    return found


@pytest.mark.slow
def test_ordinary_builds_pass_and_a_sure_loss_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "DRAWS", 4000)
    rng, settings = np.random.default_rng(11), Settings()
    verdicts = [
        overall_verdict([*accuracy_checks(night(rng), settings), *baseline_checks(night(rng), settings)])
        for _ in range(20)
    ]
    assert verdicts.count(GO) >= 19, verdicts
    assert overall_verdict(list(accuracy_checks(night(rng, better=-0.6), settings))) == STOP
    asked = [c for c in accuracy_checks(night(rng, better=3.0, n=600), settings) if c.verdict == ASK]
    assert {c.name for c in asked} == {"gain"} and "too good to be believed" in asked[0].says


def test_worse_but_not_by_how_much_is_asked() -> None:
    """The interval ends between no loss and the tolerated loss."""
    rng = np.random.default_rng(5)
    live = rng.random(400)
    a = Accuracy(live - 0.04 - rng.normal(0, 0.12, 400), live * 0, live, {"overall": np.ones(400, bool)})
    found = {Surface.STARTUPS_FOR_DEVELOPER: a}
    assert overall_verdict(list(accuracy_checks(found, Settings().layered({"gate_loss": 0.07}, "given")))) == ASK
    assert overall_verdict(list(accuracy_checks(found, Settings().layered({"gate_loss": 0.02}, "given")))) == STOP
    assert overall_verdict(list(accuracy_checks(found, Settings().layered({"gate_loss": 0.2}, "given")))) == GO
    few = list(accuracy_checks(found, Settings().layered({"gate_min_owners": 401}, "given")))
    assert [c.verdict for c in few] == [GO] and "400 owners are too few" in few[0].says


def test_below_popular_lists_is_below_the_floor() -> None:
    rng = np.random.default_rng(5)
    popular = rng.random(200)
    found = {s: Accuracy(popular * 0.5, popular, None, {"overall": np.ones(200, bool)}) for s in Surface}
    assert [c.verdict for c in baseline_checks(found, Settings())] == [STOP] * 4
    assert list(accuracy_checks(found, Settings())) == []


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, GO),
        ({"overlap_at_10": 0.25}, ASK),
        ({"overlap_at_10": 0.04}, STOP),
        ({"rbo": 0.2}, ASK),
        ({"rbo": 0.0}, STOP),
        ({"route_distance": 0.2}, ASK),
        ({"route_distance": 0.5}, STOP),
        ({"popular_share": [0.0, 0.2]}, ASK),
        ({"popular_share": [0.1, 0.5]}, STOP),
        ({"popular_share": [0.9, 0.1]}, GO),
        ({"gini": [0.5, 0.75]}, ASK),
        ({"gini": [0.5, 0.9]}, STOP),
        ({"gini": [0.9, 0.5]}, GO),
        ({"gini": [None, 0.5]}, GO),
        ({"coverage": [0.8, 0.4]}, ASK),
        ({"coverage": [0.8, 0.1]}, STOP),
        ({"coverage": [0.0, 0.1]}, GO),
        ({"owners": 92, "gone_owners": 8}, ASK),
        ({"owners": 70, "gone_owners": 30}, STOP),
        ({"owners": 0, "gone_owners": 100, "overlap_at_10": None, "rbo": None}, STOP),
    ],
)
def test_every_limit_of_the_lists(changed: dict[str, object], verdict: str) -> None:
    found = list(list_checks({"startups/for-developer": {**SAME, **changed}}, Settings(), days=1))
    assert len(found) == 7 and overall_verdict(found) == verdict
    small = {**SAME, **changed, "owners": 3, "gone_owners": 2}
    assert overall_verdict(list(list_checks({"startups/for-developer": small}, Settings(), days=1))) == GO


def test_lists_of_days_far_apart_may_differ_and_are_never_stopped_for_it() -> None:
    some = {**SAME, "overlap_at_10": 0.2, "rbo": 0.15, "route_distance": 0.3}
    assert overall_verdict(list(list_checks({"startups/for-developer": some}, Settings(), days=9))) == GO
    other = {**SAME, "overlap_at_10": 0.0, "rbo": 0.0, "route_distance": 0.9}
    assert overall_verdict(list(list_checks({"startups/for-developer": other}, Settings(), days=9))) == ASK
    popular = {**other, "popular_share": [0.0, 1.0]}
    assert overall_verdict(list(list_checks({"startups/for-developer": popular}, Settings(), days=9))) == STOP


@pytest.mark.parametrize("text", ["0.5", "0.5/0.2", "a/b", "-1/2", "0.1/0.2/0.3"])
def test_limits_that_make_no_sense_are_refused_at_the_start(text: str) -> None:
    assert Settings.from_env({"MATCHBOOK_GATE_RBO": "0.25/0.5"}).gate.limits("rbo") == (0.25, 0.5)
    with pytest.raises(SettingsError, match="MATCHBOOK_GATE_RBO"):
        Settings.from_env({"MATCHBOOK_GATE_RBO": text})
