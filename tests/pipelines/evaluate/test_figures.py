"""Compute figures: groups, item facts, differences, requirements, and chance level for noise."""

from __future__ import annotations

import numpy as np
import pytest

from models import metrics
from models.data.interactions import DAY_US
from models.metrics.list_metrics import ItemFacts
from models.schema import Entity, Surface
from pipelines.evaluate.evaluate import claims
from pipelines.evaluate.figures import changed, ensemble_gain, evaluated, groups, item_facts, measured
from pipelines.report.figure_names import RANDOM, SERVED
from pipelines.report.html import claims_of
from pipelines.train.contenders import contenders, shown
from pipelines.train.holdout import Holdout


@pytest.mark.parametrize("surface", [Surface.STARTUPS_FOR_INVESTOR, Surface.DEVELOPERS_FOR_STARTUP])
def test_a_noise_model_comes_out_as_chance(holdout: Holdout, surface: Surface) -> None:
    """A planted noise model does not differ from random and is far below trained models."""
    recipe = holdout.recipe(surface)
    owners, outcome = holdout.owners(recipe, teaching=False)
    rng = np.random.default_rng(17)
    score = rng.random((len(owners), len(recipe.catalogue)))
    score[owners.barred.toarray()] = -1
    lists = shown(contenders(holdout, surface, None), owners, 1)
    lists = {SERVED: lists["rules"], **lists, "noise": np.argsort(-score, axis=1)[:, :10]}
    items = item_facts(recipe, holdout.before)
    each = measured(lists, outcome, items)
    apart = evaluated(lists, each, groups(recipe, owners), len(items), RANDOM)["noise"]["overall"]["against_served"]
    assert apart["low"] < 0 < apart["high"]
    to_served = evaluated(lists, each, groups(recipe, owners), len(items))["noise"]["overall"]["against_served"]
    assert to_served["high"] < 0


def test_facts_of_items_are_those_of_the_cut(holdout: Holdout) -> None:
    for surface, mine in (
        (Surface.STARTUPS_FOR_INVESTOR, holdout.before),
        (Surface.INVESTORS_FOR_STARTUP, holdout.before.transposed()),
    ):
        recipe = holdout.recipe(surface)
        facts = item_facts(recipe, holdout.before)
        row = int(recipe.catalogue[3])
        assert facts.met[3] == len(set(mine.owner[mine.item == row].tolist()))
        assert facts.owners == len(set(mine.owner.tolist())) and len(facts) == len(recipe.catalogue)
        created = recipe.items.created_at[row]
        assert facts.age_days[3] == pytest.approx(max(holdout.cut_us - created, 0) / DAY_US)
        assert (facts.age_days >= 0).all()
    assert recipe.items.entity is Entity.USER and (facts.category == -1).all()


def each_of(**ndcg: list[float]) -> dict[str, dict[str, np.ndarray]]:
    return {
        name: {"ndcg": np.array(values), "diversity": np.array(values), "age_days": np.array(values) * 100}
        for name, values in ndcg.items()
    }


def test_the_ensemble_is_held_against_its_best_member() -> None:
    each = each_of(route=[0.5, 0.6, 0.9], als=[0.4, 0.5, 0.0], two_tower=[0.1, 0.1, 1.0])
    mask = np.array([True, True, False])
    found = ensemble_gain(each, mask, "route", ("als", "two_tower"))
    assert found is not None and found["best_member"] == "als" and found["owners"] == 2
    assert found["difference"] == {"mean": 0.1, "low": 0.1, "high": 0.1}
    assert found["gain"] == pytest.approx(0.1 / 0.45, abs=1e-6) and found["ndcg"]["ensemble"] == 0.55
    assert ensemble_gain(each, ~mask & mask, "route", ("als",)) is None
    assert ensemble_gain(each, mask, "route", ("absent",)) is None
    nothing = ensemble_gain(each_of(route=[0.5, 0.5], als=[0.0, 0.0]), mask[:2], "route", ("als",))
    assert nothing is not None and nothing["gain"] is None


def test_what_changed_is_over_owners_where_both_are_defined() -> None:
    each = each_of(served=[0.5, float("nan"), 0.9], route=[0.4, 0.5, 0.7])
    found = changed(each, "diversity", "served", "route")
    assert found is not None and found["owners"] == 2 and found["served"] == 0.7 and found["route"] == 0.55
    assert found["difference"]["mean"] == pytest.approx(0.15)
    assert changed(each_of(served=[float("nan")], route=[0.1]), "diversity", "served", "route") is None


def test_claims_that_cannot_be_asked_are_left_out() -> None:
    each = each_of(served=[0.5, 0.6], route=[0.4, 0.5], als=[0.3, 0.3])
    masks = {"overall": np.ones(2, bool), "hot": np.ones(2, bool)}
    assert set(claims(each, masks, Surface.STARTUPS_FOR_INVESTOR)) == {"ensemble", "diversity", "age_days"}
    assert set(claims(each, masks, Surface.INVESTORS_FOR_STARTUP)) == {"diversity", "age_days"}
    assert set(claims(each, {"overall": masks["hot"]}, Surface.STARTUPS_FOR_INVESTOR)) == {"diversity", "age_days"}


def test_the_served_lists_are_held_against_the_best_single_source_by_group() -> None:
    each = each_of(served=[0.5, 0.6], route=[0.4, 0.5], als=[0.3, 0.3], content_based=[0.1, 0.4])
    masks = {"overall": np.ones(2, bool), "hot": np.array([False, True])}
    sources = ("als", "content_based", "absent")
    chain = claims(each, masks, Surface.INVESTORS_FOR_STARTUP, sources=sources)["chain"]
    assert chain["overall"]["best_member"] == "als" and chain["overall"]["difference"]["mean"] == pytest.approx(0.25)
    assert chain["hot"]["best_member"] == "content_based" and chain["hot"]["gain"] == pytest.approx(0.5)
    told = claims_of({"chain": chain})
    assert len(told) == 2 and "best single source, als, overall, 2 owners" in told[0]


def test_an_item_that_all_have_met_has_no_novelty() -> None:
    facts = ItemFacts(np.array([4, 1]), 4, np.array([np.nan, np.nan]), np.array([-1, -1]))
    truth = metrics.places(np.array([0, 1]), np.array([0]))
    assert metrics.self_information(facts.met, facts.owners)[truth[0, 0]] == 0
