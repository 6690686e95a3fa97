"""Train the second stage: stored, reproducible, refused, compared (C17, C53, D11, R03)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models import metrics
from models.data.bundle import Bundle
from models.mlp_ranker.fit import PairwiseRows, fit_mlp_ranker
from models.mlp_ranker.scorer import MlpRanker
from models.ranker import RankerConfig
from models.recommender.surface import open_recommender
from models.rules_ranker.scorer import RuleRanker
from models.schema import Surface
from pipelines.export.snapshot import Snapshot
from pipelines.report.figure_names import RANKED
from pipelines.run.run import Run
from pipelines.train.contenders import contenders, shown
from pipelines.train.holdout import Holdout
from pipelines.train_ranker.mlp_samples import ranking_set
from pipelines.train_ranker.second_stage import open_second_stage, train_ranker

pytestmark = pytest.mark.slow

#: Rules that rank only by age: any network is clearly better.
POOR: dict[str, Any] = {"rule_model_weight": 0.0, "rule_popularity_weight": 0.0, "rule_diversity_weight": 0.0}


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat all surfaces as large: the stacked ranker has its own tests."""
    monkeypatch.setattr("pipelines.train_ranker.second_stage.small_surfaces", lambda _: ())


@pytest.fixture
def poor(learning_run: Run) -> Run:
    return replace(learning_run, settings=learning_run.settings.layered(POOR, "given"))


def ndcg(holdout: Holdout, bundle: Bundle, surface: Surface) -> float:
    owners, outcome = holdout.owners(holdout.recipe(surface), teaching=False)
    those = {RANKED: contenders(holdout, surface, bundle)[RANKED]}
    return float(metrics.ndcg_of(shown(those, owners, 1)[RANKED], outcome.relevant).mean())


def test_the_step_stores_a_ranker_and_writes_the_set(poor: Run, planted: Snapshot) -> None:
    refs = train_ranker(poor, poor.reference(snapshot=planted.name))
    assert [r.name for r in refs] == ["ranker_v1", "learned_ranker_v1"]
    assert all(r.version.startswith("20240301T000000Z-") for r in refs)
    folder = poor.settings.artifacts / "snapshots" / planted.name / "datasets"
    assert {p.name for p in folder.iterdir()} == {"ranker_train.csv", "ranker_train_reverse.csv"}
    bundle = poor.artifacts.open_bundle("ranker_v1", refs[0].version)
    assert bundle.config["recipe"] == "honest" and set(bundle.config["judged"]) == {s.value for s in Surface}
    assert bundle.config["surfaces"] and set(bundle.config["surfaces"]) <= set(bundle.config["judged"])
    assert train_ranker(poor, poor.reference(snapshot=planted.name)) == refs  # a second run gives the same


def test_evaluate_finds_what_training_left(poor: Run, planted: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = {n: set(poor.artifacts.stored(f"bundles/{n}")) for n in ("ranker_v1", "learned_ranker_v1")}
    refs = train_ranker(poor, poor.reference(snapshot=planted.name))
    monkeypatch.setattr("pipelines.train_ranker.second_stage.train_ranker", None)
    stage = open_second_stage(poor, planted)
    assert stage.refs == refs and stage.ranker is not None and stage.ranker.version == refs[0].version
    assert stage.seed_network is not None and stage.seed_network.config["recipe"] == "honest"
    assert stage.learned is not None and stage.learned.version == refs[1].version and stage.judged is not None
    for name, before in stored.items():  # except the required network and that of before the cutoff
        added = {p.name for p in set(poor.artifacts.stored(f"bundles/{name}")) - before}
        assert added <= {r.version for r in refs if r.name == name}


def test_refused_below_a_hundred_positives(learning_run: Run, planted: Snapshot) -> None:
    demanding = replace(learning_run, settings=learning_run.settings.layered({"ranker_min_positives": 10_000}, "given"))
    for ref in train_ranker(demanding, demanding.reference(snapshot=planted.name)):
        assert ref.version == "" and "10000 needed (C53)" in ref.reason
    stage = open_second_stage(demanding, planted)
    assert stage.ranker is stage.learned is stage.judged is None
    assert stage.seed_network is not None, "the mode decides how many positives are enough"


def test_a_trained_ranker_beats_one_of_shuffled_labels(holdout: Holdout) -> None:
    rows = ranking_set(holdout).rows()
    config = replace(holdout.settings.of(RankerConfig), learning_rate=0.01)
    orders = [
        np.random.default_rng(seed).permutation(rows.label) for seed in (1, 2, 3)
    ]  # a single one may be better by chance
    shuffled = [PairwiseRows(rows.features, label, rows.group) for label in orders]
    honest, *blind = (
        np.mean([ndcg(holdout, fit_mlp_ranker(r, config), s) for s in Surface]) for r in (rows, *shuffled)
    )
    assert honest > np.mean(blind) + 0.05


def test_a_ranker_worse_than_the_rules_is_refused(
    learning_run: Run, planted: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network learned reversed labels."""

    def upside_down(rows: PairwiseRows, *args: Any, **kwargs: Any) -> Bundle:
        return fit_mlp_ranker(PairwiseRows(rows.features, 1 - rows.label, rows.group), *args, **kwargs)

    monkeypatch.setattr("pipelines.train_ranker.second_stage.fit_mlp_ranker", upside_down)
    other = replace(learning_run, settings=learning_run.settings.layered({"ranker_learning_rate": 0.02}, "given"))
    ref, _ = train_ranker(other, other.reference(snapshot=planted.name))
    assert ref.version == "" and "worse than the rules on every surface" in ref.reason


def test_a_ranker_serves_where_it_passed(holdout: Holdout) -> None:
    bundle = fit_mlp_ranker(
        ranking_set(holdout).rows(),
        holdout.settings.of(RankerConfig),
        about={"surfaces": ["startups/for-investor"]},
    )
    bundles = {**holdout.bundles, "ranker_v1": bundle}
    auto, forced = (holdout.settings.layered({"ranker": r}, "given") for r in ("auto", "mlp"))
    assert isinstance(open_recommender(Surface.STARTUPS_FOR_INVESTOR, bundles, auto).ranker, MlpRanker)
    assert isinstance(open_recommender(Surface.STARTUPS_FOR_DEVELOPER, bundles, auto).ranker, RuleRanker)
    assert isinstance(open_recommender(Surface.STARTUPS_FOR_DEVELOPER, bundles, forced).ranker, MlpRanker)


def test_the_learned_blend_is_trained_where_it_is_asked_for(learning_run: Run, planted: Snapshot) -> None:
    learned = replace(learning_run, settings=learning_run.settings.layered({"blend": "learned"}, "given"))
    refs = train_ranker(learned, learned.reference(snapshot=planted.name))
    assert [r.name for r in refs] == ["ensemble_v1", "ranker_v1", "learned_ranker_v1"]
    assert all(r.version for r in refs)
    blend = learned.artifacts.open_bundle("ensemble_v1", refs[0].version)
    assert blend.arrays["coefficients"].shape == (4,) and blend.config["inner_cut"]
    assert "ensemble_v1" in open_second_stage(learned, planted).holdout.bundles


def test_nothing_to_hold_out(learning_run: Run, monkeypatch: pytest.MonkeyPatch, planted: Snapshot) -> None:
    none = replace(planted, events=planted.events.slice(0, 0))
    monkeypatch.setattr(Snapshot, "open", classmethod(lambda cls, path: none))
    for ref in train_ranker(learning_run, learning_run.reference(snapshot="empty")):
        assert ref.version == "" and "both sides of a validation split" in ref.reason


@pytest.mark.parametrize("ranker", ["rules", "off", "mlp"])
def test_a_ranker_that_cannot_serve_is_not_trained(
    ranker: str, learning_run: Run, planted: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are no samples and no trees.

    If the network cannot serve either, only the required network is fitted, for the report.
    """

    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("trained all the same")

    monkeypatch.setattr("pipelines.train_ranker.learned.ranker_samples", never)
    if ranker != "mlp":
        monkeypatch.setattr("pipelines.train_ranker.second_stage.cross_fitted", never)
    run = replace(learning_run, settings=learning_run.settings.layered({"ranker": ranker, **POOR}, "given"))
    refs = {r.name: r for r in train_ranker(run, run.reference(snapshot=planted.name))}
    assert f"[ranker] kind is {ranker}" in refs["learned_ranker_v1"].reason
    assert bool(refs["ranker_v1"].version) == (ranker == "mlp")
    stage = open_second_stage(run, planted)
    assert stage.learned is stage.judged is None and "activity_v1" not in stage.holdout.bundles
