"""Run ablations: cost and gain of caps, calibration, gains of columns, columns of each ingredient."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models import metrics
from models.data.bundle import Bundle
from models.ensemble import EnsembleConfig
from models.errors import LeakFound
from models.learned_ranker.fit import RankerRows
from models.lists.ranked_lists import RankedLists
from models.recommender.surface import SurfaceRecommender
from models.schema import Surface
from models.settings.settings import Settings
from pipelines.evaluate import evaluate
from pipelines.evaluate.evaluate import ablations, ingredients
from pipelines.evaluate.figures import CAPS, ENOUGH, calibrated, cap_curve, choose_cap, top_tens
from pipelines.export.snapshot import Snapshot
from pipelines.report.evaluation import report
from pipelines.report.figure_names import ACCURACY
from pipelines.score.shards import score_owners
from pipelines.train.holdout import Holdout, Outcome
from pipelines.train.leakage import check_labels, check_leaks
from pipelines.train_ranker.samples import RankerSamples, samples_until
from tests.marketplace.samples import MEETINGS, events_at

SURFACE = Surface.STARTUPS_FOR_INVESTOR
Judged = tuple[RankedLists, SurfaceRecommender, Outcome]


@pytest.fixture(scope="module")
def judged(holdout: Holdout) -> Judged:
    recipe = holdout.recipe(SURFACE)
    owners, outcome = holdout.owners(recipe, teaching=False)
    return score_owners(recipe, owners), recipe, outcome


def test_costs_and_gains_of_caps_match_the_metrics(judged: Judged) -> None:
    lists, recipe, outcome = judged
    rows, catalogue = cap_curve(lists, recipe, outcome.relevant), recipe.catalogue
    known = np.flatnonzero(lists.count > 0)
    ndcg = metrics.ndcg_of(top_tens(lists.take(known), catalogue), outcome.relevant[known])
    assert [r["multiple"] for r in rows] == [0.0, *CAPS]
    plain, tightest = rows[0], rows[-1]
    assert plain["ndcg"] == pytest.approx(ndcg.mean(), abs=1e-6) and plain["against_uncapped"]["mean"] == 0
    assert plain["moved"] == plain["above"] == 0 < len(known) == plain["owners"]
    assert tightest["most"] <= plain["most"] and tightest["coverage"] >= plain["coverage"]
    assert tightest["gini"] <= plain["gini"]
    for row in rows[1:]:
        told = row["against_uncapped"]
        assert told["low"] <= told["mean"] <= told["high"]
        assert row["ndcg"] - plain["ndcg"] == pytest.approx(told["mean"], abs=2e-6)


def test_cold_start_owners_alone_get_no_cap(judged: Judged) -> None:
    lists, recipe, outcome = judged
    rows = cap_curve(replace(lists, count=np.zeros_like(lists.count)), recipe, outcome.relevant)
    assert choose_cap(rows) == 0 and {r["owners"] for r in rows} == {0} == {r["moved"] for r in rows}
    assert all(r["ndcg"] is None and r["against_uncapped"]["mean"] is None for r in rows)


def test_the_strictest_cap_before_the_first_that_costs_is_chosen() -> None:
    def row(multiple: float, mean: float, owners: int = ENOUGH) -> dict[str, Any]:
        cost = {"mean": mean, "low": mean - 0.04, "high": mean + 0.04}
        return {"multiple": multiple, "owners": owners, "against_uncapped": cost}

    assert choose_cap([row(0, 0), row(9, 0.01), row(8, -0.009), row(7, -0.011), row(6, 0.01)]) == 8
    assert choose_cap([row(0, 0), row(9, -0.011), row(8, 0.01)]) == 0
    assert choose_cap([row(0, 0), row(9, 0.01, ENOUGH - 1)]) == 0
    assert choose_cap([row(0, 0), row(9, 0.0), row(8, 0.0)]) == 8


def test_calibration_counts_every_place_once(judged: Judged) -> None:
    lists, catalogue, outcome = judged[0], judged[1].catalogue, judged[2]
    bins = calibrated(lists, catalogue, outcome)
    hits = metrics.hits_of(top_tens(lists, catalogue), outcome.relevant)
    assert sum(b["count"] for b in bins) == np.minimum(np.diff(lists.indptr), 10).sum()
    assert sum(b["count"] * b["rate"] for b in bins) == pytest.approx(hits.sum(), abs=0.01)


def test_columns_make_ingredients() -> None:
    names = (
        "score_als",
        "rank_als",
        "proposed_by",
        "demand",
        "rank_demand",
        "score_content_based_demand",
        "item_events",
        "item_category_momentum",
        "lift_category",
        "met_category",
        "same_location",
        "owner_events",
        "owner_age",
        "new",
    )
    assert ingredients(names) == {
        "models' scores": ("score_als", "rank_als", "proposed_by"),
        "demand": ("demand", "rank_demand", "score_content_based_demand"),
        "item facts": ("item_events",),
        "facet momentum": ("item_category_momentum",),
        "affinities": ("lift_category", "met_category"),
        "places": ("same_location",),
        "owner": ("owner_age",),
        "others": ("new",),
    }


def test_each_ingredient_is_left_out_once(holdout: Holdout, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rankers differ only in their columns, so no training is needed."""
    names = ("score_als", "demand", "item_met", "owner_events")
    rows = RankerRows(names, np.ones((3, 4), np.float32), np.array([1, 0, 0]), np.zeros(3, np.int64))
    met = np.array([holdout.cut_us - 5, 0, 0])
    lessons = [RankerSamples(names, rows.features, met, np.zeros(3, np.int32), holdout.cut_us - 9)]
    worth = {
        names: 0.5,
        names[1:]: 0.3,
        ("score_als", "item_met", "owner_events"): 0.5,
        ("score_als", "demand", "owner_events"): 0.6,
    }
    monkeypatch.setattr(evaluate, "fit_learned_ranker", lambda rows, *_: type("Taught", (), {"ranker": rows.names}))
    monkeypatch.setattr(evaluate, "samples_until", lambda *_: rows)
    monkeypatch.setattr(evaluate, "_ndcg", lambda recipe, ranker, owners, outcome: np.full(4, worth[ranker]))
    owners, outcome = holdout.owners(holdout.recipe(SURFACE), teaching=False)
    found: dict[str, Any] = ablations(holdout, SURFACE, lessons, owners, outcome)
    assert {name: d["mean"] for name, d in found.items()} == {"models' scores": -0.2, "demand": 0.0, "item facts": 0.1}


def test_training_data_after_the_cutoff_is_a_leak(holdout: Holdout) -> None:
    cut = holdout.cut_us
    met = np.array([0, cut - 5, cut + 5])
    lessons = [
        RankerSamples(("a",), np.ones((3, 1), np.float32), met, np.zeros(3, np.int32), cut - 9, None, events_at(met))
    ]
    assert samples_until(lessons, cut, MEETINGS).newest_us == cut - 5
    with pytest.raises(LeakFound, match="was trained on an event"):
        check_labels("ranker", samples_until(lessons, cut + 9, MEETINGS).newest_us, cut)


def test_the_page_shows_caps_blend_and_gains(judged: Judged) -> None:
    told = {"mean": 0.1, "low": None, "high": None}
    group = {"owners": 3, **dict.fromkeys(ACCURACY, told), "coverage": 0.5, "gini": 0.4}
    surface = {
        "owners": 3,
        "pairs": 9,
        "catalogue": 20,
        "models": {"served": {"overall": group}},
        "exposure": cap_curve(judged[0], judged[1], judged[2].relevant),
    }
    page = report(
        {
            "snapshot": "x",
            "as_of": "y",
            "surfaces": {SURFACE.value: surface},
            "blend": {"blend": "weighted", "profile": "equal", "reason": "it <won>", "ndcg": {"equal": 0.25}},
            "gain": {SURFACE.value: {"demand": 0.6, "score_als": 0.4}},
        }
    )
    for words in (
        "Cost of a cap on exposure",
        "no cap",
        "5 x",
        "weighted equal, because it &lt;won&gt;",
        "equal 0.2500",
        "Features of the learned ranker",
        "most: demand, score_als",
    ):
        assert words in page


def test_a_cap_that_is_set_is_what_owners_are_given(holdout: Holdout) -> None:
    from pipelines.evaluate.evaluate import _surface
    from pipelines.train_ranker.second_stage import SecondStage

    tight = replace(holdout, settings=holdout.settings.layered({"exposure_cap": 1.5}, "given"))
    stage = SecondStage(tight, None, None, None, None, [])
    found = _surface(stage, SURFACE)
    assert (found["choice"]["serves"], found["choice"]["ranks"]) == ("capped", "rules") and found["cap"] == 1.5
    told = {
        "snapshot": "s",
        "as_of": "now",
        "settings": {},
        "surfaces": {SURFACE.value: found},
        "cut": "then",
        "leaks": [],
    }
    assert "rules, capped" in report(told)
    assert found["models"]["served"] == found["models"]["capped"] and found["calibration"]
    assert found["models"]["capped"]["overall"]["gini"] < found["models"]["rules"]["overall"]["gini"]


def test_gains_and_the_blend_are_read_from_the_bundles(holdout: Holdout) -> None:
    from pipelines.evaluate.evaluate import _blend, gains
    from pipelines.train_ranker.second_stage import SecondStage

    gain = {f"c{i:02d}": 0.1 for i in range(30)}
    learned = Bundle("learned_ranker_v1", {"surfaces": {SURFACE.value: {"gain": gain}}}, {})
    stage = SecondStage(holdout, None, None, learned, None, [])
    assert list(gains(stage)[SURFACE.value]) == [f"c{i:02d}" for i in range(20)]
    assert _blend(stage) == {"blend": "weighted", "profile": "", "reason": "the settings ask for it"}
    free = replace(holdout, settings=holdout.settings.layered({"blend": Settings().of(EnsembleConfig).blend}, "given"))
    assert _blend(replace(stage, holdout=free))["reason"] == "there were no data for a choice"
    chosen = Bundle("ensemble_v1", {"blend": "rrf", "profile": "", "reason": "it won", "as_of": "then"}, {})
    free = replace(free, bundles={**free.bundles, "ensemble_v1": chosen})
    assert _blend(replace(stage, holdout=free)) == {"blend": "rrf", "profile": "", "reason": "it won"}


def test_a_catalogue_of_what_had_been_met_is_no_leak_and_any_other_is(holdout: Holdout, planted: Snapshot) -> None:
    """`open_cut` narrows the catalogue of a marketplace that lists only items with events."""
    catalogue = holdout.bundles["catalogue_v1"]
    met = catalogue.arrays["startup_listed"] & (catalogue.arrays["startup_count"] > 0)
    fewer = met & (np.arange(len(met)) != np.flatnonzero(met)[0])
    for listed, leaks in ((met, False), (fewer, True)):
        bundle = replace(catalogue, arrays={**catalogue.arrays, "startup_listed": listed})
        bundles = {**holdout.bundles, "catalogue_v1": bundle}
        if leaks:
            with pytest.raises(LeakFound, match="listed"):
                check_leaks(planted, holdout.settings, holdout.cut_us, bundles, refit=())
        else:
            assert check_leaks(planted, holdout.settings, holdout.cut_us, bundles, refit=())
