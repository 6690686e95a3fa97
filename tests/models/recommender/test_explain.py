"""Explain one list, with the rules and with the learned ranker."""

from __future__ import annotations

import numpy as np
import pytest

from models.learned_ranker.scorer import LearnedRanker
from models.recommender.explain import explain, explain_item
from models.recommender.recommend import rank
from models.recommender.surface import SurfaceRecommender, open_recommender
from models.schema import Surface
from tests.marketplace.bundles import SMALL, learned_bundles
from tests.marketplace.world import world

FORWARD = Surface.STARTUPS_FOR_DEVELOPER


def recipe_of(ranker: str) -> SurfaceRecommender:
    return open_recommender(FORWARD, learned_bundles(), SMALL.layered({"ranker": ranker}, "given"))


def owner(recipe: SurfaceRecommender, part: int = 5) -> int:
    return next(int(r) for r in recipe.owners.owners_of(FORWARD) if world().user_part[r] == part)


def test_the_rules_features_are_the_seeds() -> None:
    recipe = recipe_of("rules")
    batch = recipe.batch(np.array([owner(recipe)]), world().interactions)

    found = explain(recipe, batch, 8)

    assert found["ranker"] == "rules" and [p["rank"] for p in found["list"]] == list(range(1, 9))
    assert set(found["list"][0]["features"]) == {"model_score", "recency", "popularity"}


def test_the_learned_rankers_columns_come_by_name() -> None:
    """The explanation has the columns of a candidate and its score in the list."""
    recipe = recipe_of("learned")
    batch = recipe.batch(np.array([owner(recipe)]), world().interactions)

    found = explain(recipe, batch, 8)

    assert isinstance(recipe.ranker, LearnedRanker)
    assert found["ranker"] == "learned" and len(found["list"]) == 8
    for place in found["list"]:
        told = place["features"]
        assert tuple(told) == recipe.ranker.names
        row = np.array([list(told.values())], np.float32)
        assert recipe.ranker.score(row)[0] == pytest.approx(place["score"], abs=2e-3)
        assert told["score_als"] == pytest.approx(place["raw"]["als"] or 0.0, abs=1e-5)


@pytest.mark.parametrize("ranker", ["rules", "learned"])
def test_why_an_item_is_or_is_not_there(ranker: str) -> None:
    recipe = recipe_of(ranker)
    batch = recipe.batch(np.array([owner(recipe)]), world().interactions)
    ranking = rank(recipe, batch, 3)
    shown, below = ranking.lists.item[0], np.setdiff1d(recipe.catalogue[ranking.candidates.item], ranking.lists.item)[0]
    unlisted = np.flatnonzero(~recipe.items.listed)[0]
    seen = recipe.catalogue[batch.barred.indices[0]]

    there = explain_item(recipe, batch, 3, int(shown))
    assert (there["listed"], there["because"], there["rank"]) == (True, "ranked", 1) and there["features"]
    missed = explain_item(recipe, batch, 3, int(below))
    assert (missed["listed"], missed["because"]) == (False, "below the cut") and missed["features"]
    assert missed["last_score_in_list"] == pytest.approx(float(ranking.lists.score[-1]), abs=1e-6)
    assert missed["places_in_list"] == 3 < missed["rank"] and 0 <= missed["score"] <= missed["last_score_in_list"]
    assert "withdrawn" in explain_item(recipe, batch, 3, int(unlisted))["because"]
    assert explain_item(recipe, batch, 3, int(seen))["because"] in ("seen before", "disliked", "own, or viewed before")
    assert "unknown at the cutoff" in explain_item(recipe, batch, 3, -1)["because"]


def test_an_opted_out_owner_has_no_explanation() -> None:
    recipe = recipe_of("learned")
    batch = recipe.batch(np.array([owner(recipe, 3)]), world().interactions)

    found = explain(recipe, batch, 8)

    assert found["opted_out"] and found["ranker"] is None and found["candidates"] == 0
    assert all(p["sources"] == ["popular"] for p in found["list"])
