"""Evaluate: which models, over which owners, and whether the planted truth is found (design 5.6)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from models import metrics
from models.data.bundle import Bundle
from models.recommender.recommend import recommend
from models.rules_ranker.scorer import RuleRanker
from models.schema import Surface
from pipelines.evaluate.evaluate import evaluate, serving_ranker, table
from pipelines.evaluate.figures import evaluated, groups, item_facts, measured
from pipelines.export.snapshot import Snapshot
from pipelines.report.evaluation import report
from pipelines.run.run import Run
from pipelines.train.contenders import contenders, seed_recipe, shown
from pipelines.train.holdout import Holdout, Outcome
from pipelines.train_ranker import second_stage
from pipelines.train_ranker.second_stage import SecondStage
from tests.pipelines.train.market import market

pytestmark = pytest.mark.slow

SURFACE = Surface.STARTUPS_FOR_INVESTOR


@pytest.fixture(scope="module")
def found(planted_run: Run, holdout: Holdout, planted: Snapshot) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Snapshot, "open", classmethod(lambda cls, path: planted))
        # validation may reject the network in a small market, but this test compares it anyway
        patch.setattr(
            second_stage,
            "_passed",
            lambda holdout, bundle, network: replace(bundle, config={**bundle.config, "surfaces": [], "judged": {}}),
        )
        return evaluate(planted_run, planted.name)


def test_everyone_is_compared_on_every_surface(found: dict[str, Any], learning_run: Run) -> None:
    assert set(found["surfaces"]) == {s.value for s in Surface}
    for name, surface in found["surfaces"].items():
        als = "als" if name.startswith("startups") else "als_reverse"
        assert {
            "served",
            "random",
            "popular",
            "content_based",
            als,
            "two_tower",
            "item_neighbours",
            "route",
            "rules",
            "ranker",
            "seed_recipe",
            "learned",
        } <= set(surface["models"])
        assert surface["owners"] == surface["models"]["route"]["overall"]["owners"] > 5
    assert json.loads((learning_run.directory / "evaluation.json").read_text()) == json.loads(json.dumps(found))


def test_objectives_stand_side_by_side(found: dict[str, Any]) -> None:
    for surface in found["surfaces"].values():
        sides, decides = surface["objectives"], surface["objective"]["decides"]
        assert list(sides) == ["engage", "apply", "meet"]
        assert sides["apply"]["pairs"] <= sides["engage"]["pairs"] <= sides["meet"]["pairs"]
        assert {"served", "popular"} <= set(sides[decides]["ndcg"])
        assert sides[decides]["ndcg"]["served"]["mean"] == surface["models"]["served"]["overall"]["ndcg"]["mean"]


def test_the_planted_taste_is_found_and_chance_is_chance(found: dict[str, Any]) -> None:
    models = found["surfaces"][SURFACE.value]["models"]
    score = {name: m["overall"]["ndcg"]["mean"] for name, m in models.items()}
    assert score["item_neighbours"] > score["random"] + 0.05 and score["als"] > score["random"]
    interval = models["als"]["overall"]["ndcg"]
    assert interval["low"] <= interval["mean"] <= interval["high"]
    assert models["served"]["overall"]["against_served"] == {"mean": 0, "low": 0, "high": 0}
    loss = models["random"]["overall"]["against_served"]
    assert loss["mean"] == pytest.approx(score["random"] - score["served"], abs=1e-5)


def test_the_same_figures_every_time(found: dict[str, Any], learning_run: Run, planted: Snapshot) -> None:
    assert evaluate(learning_run, planted.name) == found


def test_the_table_names_every_model_and_segment(found: dict[str, Any], learning_run: Run) -> None:
    text = (learning_run.directory / "evaluation.md").read_text()
    assert text == table(found)
    words = ("## investors/for-startup", "| seed_recipe |", "| NDCG@10 | overall | known |", "popularity rank")
    for word in words:
        assert word in text
    assert text.count("the source documents' recipe: NDCG@10 ") == len(Surface)


def test_the_recipe_of_the_source_documents_stands_beside_what_serves(
    found: dict[str, Any], learning_run: Run, holdout: Holdout
) -> None:
    """Both use the same owners. The interval of the difference comes first in the report."""
    page = (learning_run.directory / "evaluation.html").read_text()
    assert page.index("the source documents&#x27; recipe</th>") < page.index('<section id="s0">')
    for name, surface in found["surfaces"].items():
        groups_, served = surface["models"]["seed_recipe"], surface["models"]["served"]
        assert {g: m["owners"] for g, m in groups_.items()} == {g: m["owners"] for g, m in served.items()}, name
        difference = groups_["overall"]["against_served"]
        assert difference["low"] <= difference["mean"] <= difference["high"]
        less = groups_["overall"]["ndcg"]["mean"] - served["overall"]["ndcg"]["mean"]
        assert difference["mean"] == pytest.approx(less, abs=2e-6)
    recipe = seed_recipe(holdout, SURFACE, None)
    assert isinstance(recipe.ranker, RuleRanker) and recipe.settings.lists.candidate_sources == "route"


def test_missing_evaluation_data_is_reported(learning_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = market(events=1)
    monkeypatch.setattr(Snapshot, "open", classmethod(lambda cls, path: nothing))
    found = evaluate(replace(learning_run, id="nothing"), "nothing")
    assert found["surfaces"] == {} and "both sides of a validation split" in found["reason"]
    assert "Nothing to evaluate by" in table(found)


def test_evaluated_lists_are_served_lists(holdout: Holdout) -> None:
    """The lists of the rules start like the output of `recommend`, and nothing barred is shown."""
    recipe = holdout.recipe(SURFACE)
    owners, _ = holdout.owners(recipe, teaching=False)
    lists = shown(contenders(holdout, SURFACE, None), owners, 2)
    stored = recommend(recipe, owners, recipe.settings.lists.depth)
    for i in range(len(owners)):
        assert recipe.catalogue[lists["rules"][i]].tolist() == stored.item[stored.row(i)][:10].tolist()
    barred = owners.barred.toarray()
    for name, places in lists.items():
        there = places >= 0
        assert not barred[np.nonzero(there)[0], places[there]].any(), name
        assert all(len(set(row[row >= 0])) == (row >= 0).sum() for row in places)


def test_a_perfect_list_scores_one(holdout: Holdout) -> None:
    recipe = holdout.recipe(SURFACE)
    owners, outcome = holdout.owners(recipe, teaching=False)
    gain = outcome.relevant
    order = np.lexsort((-gain.data, np.repeat(np.arange(len(owners)), np.diff(gain.indptr))))
    perfect = metrics.places(gain.indptr, gain.indices[order])
    empty = np.full_like(perfect, -1)
    masks, items = groups(recipe, owners), item_facts(recipe, holdout.before)
    lists = {"perfect": perfect, "empty": empty}
    got = evaluated(lists, measured(lists, outcome, items), masks, len(items), reference="empty")
    assert got["perfect"]["overall"]["ndcg"] == {"mean": 1, "low": 1, "high": 1}
    assert got["empty"]["overall"]["ndcg"]["mean"] == 0 and got["empty"]["overall"]["popularity_rank"] is None
    assert got["empty"]["overall"]["gini"] is None and got["empty"]["overall"]["answered"] == 0
    assert got["perfect"]["overall"]["against_served"]["mean"] == 1
    assert sum(got["perfect"][g]["owners"] for g in masks if g not in ("overall", "known")) == len(owners)


def test_segments_count_what_lies_before_the_cut(holdout: Holdout) -> None:
    recipe = holdout.recipe(SURFACE)
    owners, outcome = holdout.owners(recipe, teaching=False)
    before = np.bincount(holdout.before.owner, minlength=len(holdout.before.owners))[owners.row]
    masks = groups(recipe, owners)
    np.testing.assert_array_equal(masks["hot"], before >= 20)
    assert (np.diff(outcome.relevant.indptr) > 0).all()


def test_relevant_is_over_the_catalogue_of_the_cut() -> None:
    relevant = sparse.csr_matrix(np.array([[1, 0, 1, 1]], np.float32))
    found = Outcome(relevant, relevant, relevant, relevant).over(np.array([0]), np.array([1, 3]))
    assert found.relevant.toarray().tolist() == [[0, 1]]


def test_the_run_keeps_figures_table_and_report(found: dict[str, Any], learning_run: Run) -> None:
    assert any("same bytes when fitted without the future" in line for line in found["leaks"])
    assert set(found["training"]) == {"two_tower_v1", "ranker"}
    assert all(curve["loss"] and curve["watched"] for curve in found["training"].values())
    assert found["sizes"]["users"] == 120 and found["settings"]["seed"] == 42
    page = (learning_run.directory / "evaluation.html").read_text()
    assert page == report(json.loads((learning_run.directory / "evaluation.json").read_text()))
    assert page.count("<svg") > 8 and found["cut"] in page


def test_who_serves_and_why(holdout: Holdout) -> None:
    passed = Bundle("ranker_v1", {"surfaces": [SURFACE.value]}, {})
    other = Surface.STARTUPS_FOR_DEVELOPER
    for bundle, surface, asked, serves in (
        (passed, SURFACE, "auto", "ranker"),
        (passed, other, "auto", "rules"),
        (None, SURFACE, "auto", "rules"),
        (passed, other, "mlp", "ranker"),
        (passed, SURFACE, "rules", "rules"),
        (passed, SURFACE, "off", "route"),
    ):
        stage = SecondStage(
            replace(holdout, settings=holdout.settings.layered({"ranker": asked}, "given")),
            bundle,
            None,
            None,
            None,
            [],
        )
        assert serving_ranker(stage, surface)["serves"] == serves


@pytest.mark.parametrize(
    ("passes", "asked", "sources", "serves"),
    [
        (True, "auto", "union", "learned"),
        (False, "auto", "union", "rules"),
        (False, "learned", "union", "learned"),
        (True, "rules", "union", "rules"),
        (True, "auto", "route", "rules"),
        (True, "off", "union", "route"),
    ],
)
def test_where_the_learned_ranker_serves(passes: bool, asked: str, sources: str, serves: str, holdout: Holdout) -> None:
    """It needs all sources, acceptance or a request, and is evaluated as before the cutoff."""
    learned = Bundle("learned_ranker_v1", {"surfaces": {SURFACE.value: {"serves": passes, "reason": "because"}}}, {})
    settings = holdout.settings.layered({"ranker": asked, "candidate_sources": sources}, "given")
    stage = SecondStage(replace(holdout, settings=settings), None, None, learned, learned, [])
    found = serving_ranker(stage, SURFACE)
    assert found["serves"] == serves and (serves != "learned" or found["reason"] == "because")
    assert serving_ranker(replace(stage, judged=None), SURFACE)["serves"] != "learned"
    assert serving_ranker(stage, Surface.STARTUPS_FOR_DEVELOPER)["serves"] != "learned"


def test_a_ranker_evaluated_as_served_is_served(found: dict[str, Any]) -> None:
    for part in found["surfaces"].values():
        assert part["models"]["served"] == part["models"][part["choice"]["serves"]]
        assert part["choice"]["serves"] in part["choice"]["candidates"]
