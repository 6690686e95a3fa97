"""Search in rounds of tasks: the plan, no repeated trials, the ensemble's weight."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from models.data.bundle import Bundle
from models.settings.settings import Settings
from pipelines.export.snapshot import Snapshot
from pipelines.refs import TrialRef
from pipelines.run.run import TUNING
from pipelines.train import tune as tune_rounds
from pipelines.train.single_model import SingleModelSplit
from pipelines.train.tune import (
    Trial,
    Trials,
    grid_of,
    keep_best,
    plan_round,
    start_of,
    summary,
    trial_of,
    trials_table,
    try_point,
    whole,
    whole_grid,
)
from tests.pipelines.train.market import small

NAME = "memory"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return small(home=tmp_path, als_factors=Settings().value("als_factors"), als_iterations=2, blend="auto")


def test_a_round_begins_with_what_is_set_takes_turns_and_repeats_nothing(settings: Settings) -> None:
    models = ["als_v1", "als_reverse_v1", "ensemble_v1"]
    planned = plan_round(settings, 20, models, snapshot=NAME)
    assert [p.model for p in planned[:6]] == models * 2 and [p.index for p in planned] == list(range(20))
    assert [p.values for p in planned[:3]] == [start_of(m, settings) for m in models]
    points = [(p.model, json.dumps(dict(p.values), sort_keys=True)) for p in planned]
    assert len(set(points)) == 20 and sum(m == "ensemble_v1" for m, _ in points) == 5, "its grid has five weights"
    assert planned == plan_round(settings, 20, models, snapshot=NAME), "the same trials before, the same points"
    assert plan_round(settings, 5, models, near=True, snapshot=NAME) == [], "no step without a trial"


def test_the_second_round_steps_from_the_best(settings: Settings) -> None:
    store, start = Trials.for_snapshot(settings, NAME), start_of("als_v1", settings)
    best = {**start, "als_alpha": 3.0}
    store.add(Trial("als_v1", start, np.array([0.1]), 1.0))
    store.add(Trial("als_v1", best, np.array([0.4]), 1.0))
    store.add(Trial("als_v1", {**start, "als_alpha": 1.0}, np.zeros(0), 1.0))
    for point in plan_round(settings, 6, ["als_v1"], near=True, snapshot=NAME):
        differs = [n for n in best if point.values[n] != best[n]]
        assert len(differs) == 1, point
    assert plan_round(settings, 1, ["als_v1"], snapshot=NAME)[0].values not in (start, best)


def test_c30_is_in_the_grids() -> None:
    als = whole_grid("als_v1")
    assert {64, 128, 256} <= set(als["als_factors"]) and {0.01, 0.05, 0.1} <= set(als["als_regularization"])
    assert {15, 20, 30} <= set(als["als_iterations"]) and "als_reverse_iterations" in whole_grid("als_reverse_v1")


def test_the_two_weights_of_the_ensemble_are_one_choice(settings: Settings) -> None:
    assert whole({"ensemble_als_weight": 0.7}) == {"ensemble_als_weight": 0.7, "ensemble_two_tower_weight": 0.3}
    assert not grid_of("ensemble_v1", settings.layered({"ensemble_two_tower_weight": 0.5}, "given"))
    start = Trial("ensemble_v1", {"ensemble_als_weight": 0.6}, np.linspace(0, 0.5, 200), 1.0)
    better = Trial("ensemble_v1", {"ensemble_als_weight": 0.3}, np.linspace(0, 0.5, 200) + 0.1, 1.0)
    assert summary([start, better], settings, "s", "c")["settings"] == {
        "ensemble_als_weight": 0.3,
        "ensemble_two_tower_weight": 0.7,
    }


def test_an_ensembles_halves_are_fitted_once_and_its_weight_matters(
    settings: Settings, planted: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = SingleModelSplit.at_share(planted, settings, settings.holdout.share)
    store = Trials.for_snapshot(settings, planted.name)
    fitted: list[str] = []
    fit = SingleModelSplit.fitted

    def noted(self: SingleModelSplit, name: str, chosen: Settings) -> Bundle:
        fitted.append(name)
        return fit(self, name, chosen)

    monkeypatch.setattr(SingleModelSplit, "fitted", noted)
    low, high = (trial_of(split, "ensemble_v1", {"ensemble_als_weight": w}, settings, store) for w in (0.3, 0.7))
    assert fitted == ["als_v1", "two_tower_v1"]
    assert len(low.ndcg) == len(high.ndcg) > 50 and (low.ndcg != high.ndcg).any() and low.mean > 0.05


def test_a_point_that_was_tried_is_not_fitted_again(
    settings: Settings, planted: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Snapshot, "open", classmethod(lambda cls, path: planted))
    points = plan_round(settings, 2, ["item_neighbours_v1"], snapshot=NAME)
    told = [try_point(settings, p) for p in points]
    monkeypatch.setattr(tune_rounds, "trial_of", lambda *_: pytest.fail("it was tried already"))
    assert [try_point(settings, p) for p in points] == told
    found, trials = keep_best(settings, {"trials": 2, "minutes": 1.0}, snapshot=NAME)
    assert found["budget"]["tried"] == len(trials) == 2 and found["budget"]["minutes"] == 1.0
    assert json.loads((settings.artifacts / TUNING).read_text()) == found
    assert "item_neighbours_v1" in trials_table(trials)
    assert trials_table([TrialRef("m", {"a": 1}, None, 0.0)]).endswith("a=1")
