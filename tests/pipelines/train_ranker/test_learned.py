"""Train a build's learned ranker: where it serves, what refuses it, no evaluation data in training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.errors import TrainingError
from models.learned_ranker.fit import FittedRanker, RankerRows, fit_learned_ranker
from models.learned_ranker.scorer import LEARNED, LearnedRanker
from models.ranker import RankerConfig
from models.recommender.surface import open_recommender
from models.rules_ranker.scorer import RuleRanker
from models.schema import Surface
from pipelines.export.snapshot import Snapshot
from pipelines.run.run import Run
from pipelines.train.holdout import Holdout, open_holdout
from pipelines.train_ranker import learned as learned_stage
from pipelines.train_ranker.learned import LearnedRankerResult, teaching, train_learned_ranker
from pipelines.train_ranker.samples import PairEvents, RankerSamples, ranker_samples, samples_until
from tests.pipelines.train.market import market

pytestmark = pytest.mark.slow

LESSONS = dict[Surface, list[RankerSamples]]
#: Enough surfaces for tests that train again.
TWO = (Surface.STARTUPS_FOR_INVESTOR, Surface.DEVELOPERS_FOR_STARTUP)


@pytest.fixture(scope="module")
def lessons(planted_run: Run, holdout: Holdout, planted: Snapshot) -> LESSONS:
    return ranker_samples(planted_run, planted, holdout.objectives)


@pytest.fixture
def run(planted_run: Run, lessons: LESSONS, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return the planted run with the samples of two surfaces."""
    monkeypatch.setattr(learned_stage, "ranker_samples", lambda *_: {s: lessons[s] for s in TWO})
    return planted_run


@pytest.fixture(scope="module")
def stage(planted_run: Run, lessons: LESSONS, holdout: Holdout, planted: Snapshot) -> LearnedRankerResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learned_stage, "ranker_samples", lambda *_: lessons)
        return train_learned_ranker(planted_run, planted, holdout, {"as_of": "then"})


def test_every_cutoff_gives_samples_of_every_surface(lessons: LESSONS) -> None:
    assert set(lessons) == set(Surface)
    for those in lessons.values():
        cuts = [x.cut_us for x in those]
        assert len(cuts) >= 4 and cuts == sorted(cuts, reverse=True)
        assert all(x.names == those[0].names and (x.met_us[x.met_us > 0] >= x.cut_us).all() for x in those)


def test_it_serves_where_it_passes_and_says_why(stage: LearnedRankerResult, holdout: Holdout) -> None:
    assert stage.served is not None and stage.judged is not None and stage.reason == ""
    assert stage.served.name == LEARNED and stage.served.config["as_of"] == "then"
    assert set(stage.served.config["surfaces"]) == {s.value for s in Surface}
    for surface, about in stage.served.config["surfaces"].items():
        judged, gain = about["judged"], about["gains"]["rules"]
        assert gain["mean"] == pytest.approx(judged["rules"] - judged["learned"], abs=2e-6)
        assert about["serves"] == (gain["low"] <= 0), surface
        assert f"NDCG@10 learned {judged['learned']:.4f}, rules {judged['rules']:.4f}" in about["reason"]
    assert sum(about["serves"] for about in stage.served.config["surfaces"].values()) >= 3


def test_a_reader_ranks_with_it_where_it_serves(stage: LearnedRankerResult, holdout: Holdout) -> None:
    assert stage.served is not None
    bundles = {**holdout.bundles, LEARNED: stage.served}
    for surface in Surface:
        serves = stage.served.config["surfaces"][surface.value]["serves"]
        ranker = open_recommender(surface, bundles, holdout.settings.layered({"ranker": "auto"}, "given")).ranker
        assert isinstance(ranker, LearnedRanker if serves else RuleRanker)


def test_the_evaluated_ranker_has_less_data_than_the_served_one(stage: LearnedRankerResult) -> None:
    assert stage.served is not None and stage.judged is not None
    serving = {s: now for s, now in stage.served.config["surfaces"].items() if now["serves"]}
    assert len(serving) >= 3
    for surface, now in serving.items():
        about = stage.judged.config["surfaces"][surface]
        assert about["positives"] < now["positives"] and about["features"] == now["features"]


def test_later_events_do_not_train_the_evaluated_ranker(
    stage: LearnedRankerResult,
    run: Run,
    lessons: LESSONS,
    holdout: Holdout,
    planted: Snapshot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without later outcomes it has the same bytes."""
    rng = np.random.default_rng(0)

    def otherwise(x: RankerSamples) -> RankerSamples:
        events = x.events
        kept = (events.at < holdout.cut_us) | (rng.random(len(events.at)) < 0.5)  # half of the later events are removed
        return replace(x, events=PairEvents(events.row[kept], events.at[kept], events.kind[kept]))

    changed = {TWO[0]: [otherwise(x) for x in lessons[TWO[0]]]}
    monkeypatch.setattr(learned_stage, "ranker_samples", lambda *_: changed)
    monkeypatch.setattr(learned_stage, "_verdict", lambda *args: {"serves": True})

    found = train_learned_ranker(run, planted, holdout, {"as_of": "then"})

    assert found.judged is not None and stage.judged is not None and found.served is not None
    assert all(array.tobytes() == stage.judged.arrays[name].tobytes() for name, array in found.judged.arrays.items())
    assert stage.served is not None
    assert any(array.tobytes() != stage.served.arrays[name].tobytes() for name, array in found.served.arrays.items())


@pytest.mark.parametrize("how", ["noise", "upside down"])
def test_a_ranker_worse_than_a_single_model_is_refused(
    how: str, run: Run, holdout: Holdout, planted: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random labels give chance order, reversed labels the worst order."""

    def spoiled(run: Run, rows: RankerRows) -> FittedRanker:
        rng = np.random.default_rng(0)
        label = rng.permutation(rows.label) if how == "noise" else rows.label.max() - rows.label
        return fit_learned_ranker(replace(rows, label=label), *teaching(run.settings))

    monkeypatch.setattr(learned_stage, "_fit_once", spoiled)
    found = train_learned_ranker(run, planted, holdout, {})

    assert found.served is not None
    refused = [a for a in found.served.config["surfaces"].values() if not a["serves"]]
    assert len(refused) >= (2 if how == "upside down" else 1)
    assert all("it does not serve" in about["reason"] and "features" not in about for about in refused)


def test_a_refused_ranker_is_trained_on_all_data_only_if_asked_for_by_name(
    run: Run, holdout: Holdout, planted: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learned_stage, "_verdict", lambda *args: {"serves": False, "reason": "worse"})

    def trained(run: Run) -> dict[str, bool]:
        found = train_learned_ranker(run, planted, holdout, {}).served
        assert found is not None
        surfaces = found.config["surfaces"]
        assert all(not about["serves"] for about in surfaces.values())
        opened = open_recommender(TWO[0], {**holdout.bundles, LEARNED: found}, run.settings).ranker
        assert isinstance(opened, LearnedRanker if run.settings.of(RankerConfig).kind == "learned" else RuleRanker)
        return {s: "features" in about for s, about in surfaces.items()}

    assert trained(run) == dict.fromkeys(map(str, TWO), False)
    by_name = replace(run, settings=run.settings.layered({"ranker": "learned"}, "given"))
    assert trained(by_name) == dict.fromkeys(map(str, TWO), True)


def test_too_few_positives_are_refused_with_the_reason(run: Run, holdout: Holdout, planted: Snapshot) -> None:
    demanding = replace(run, settings=run.settings.layered({"ranker_min_positives": 100_000}, "given"))
    found = train_learned_ranker(demanding, planted, holdout, {})
    assert found.served is None and found.judged is None
    assert found.reason.count("100000 needed (C53)") == len(TWO)


def test_one_surface_may_be_left_out(
    run: Run, lessons: LESSONS, holdout: Holdout, planted: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sometimes(mine: list[RankerSamples], *rest: Any) -> RankerRows:
        if mine is lessons[TWO[0]]:
            raise TrainingError("too little")
        return samples_until(mine, *rest)

    monkeypatch.setattr(learned_stage, "samples_until", sometimes)
    monkeypatch.setattr(learned_stage, "_verdict", lambda *args: {"serves": True})
    found = train_learned_ranker(run, planted, holdout, {})
    assert found.served is not None and list(found.served.config["surfaces"]) == [TWO[1].value]
    assert found.served.config["left_out"] == {TWO[0].value: "too little"}


def test_a_small_market_is_refused_with_the_reason(planted_run: Run, planted: Snapshot) -> None:
    little = market(people=30, startups=30, events=150)
    run = replace(planted_run, id="little")
    found = train_learned_ranker(run, little, open_holdout(run, little), {})
    assert found.served is None and found.judged is None and "100 needed (C53)" in found.reason
