"""Score arms in one batch: each owner gets the settings of their arm, others do not change."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from models.experiments import arms_on, places_on, read_experiments
from models.lists.ranked_lists import RankedLists
from models.recommender.recommend import recommend
from models.recommender.surface import SurfaceRecommender, open_recommender, with_settings
from models.schema import Surface
from models.settings.settings import Settings
from pipelines.score.shards import places_of, recommenders_by_arm, score_arms
from tests.marketplace.bundles import SMALL, learned_bundles, planted_bundles
from tests.marketplace.world import world

RANKER = {
    "name": "ranker",
    "salt": "m08",
    "surfaces": [s.value for s in Surface],
    "share": 0.6,
    "arms": [{"name": "on", "weight": 1}, {"name": "off", "weight": 1, "settings": {"ranker": "off"}}],
}
ARMS: list[dict[str, Any]] = [
    {"ranker": "rules"},
    {"ensemble_als_weight": 0.9, "ranker": "off"},
    {"depth": 3},
    {"enable_als": False},
    {"recency_days": 1.0, "ranker": "rules"},
    {"cold_start_threshold": 2, "ranker": "off"},
    {"candidate_sources": "route"},
]


def with_ranker(**changes: Any) -> Settings:
    return replace(SMALL, experiments=json.dumps([RANKER | changes]))


def same(one: RankedLists, other: RankedLists) -> bool:
    return all(np.array_equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(RankedLists))


def everybody(recipe: SurfaceRecommender) -> RankedLists:
    return recommend(
        recipe, recipe.batch(recipe.owners.owners_of(recipe.surface), world().interactions), recipe.settings.lists.depth
    )


@pytest.mark.parametrize("surface", list(Surface))
def test_every_owner_gets_the_list_of_their_arm_and_the_others_theirs(surface: Surface) -> None:
    """M08: the ranker is off for half. The bytes of owners without an arm do not change."""
    settings, bundles = with_ranker(), planted_bundles()
    recipe = open_recommender(surface, bundles, settings)
    rows = recipe.owners.owners_of(surface)
    mixed = score_arms(recipe, bundles, recipe.batch(rows, world().interactions))
    plain = everybody(open_recommender(surface, bundles, SMALL))
    off = everybody(open_recommender(surface, bundles, SMALL.layered({"ranker": "off"}, "given")))
    place = places_of(recipe, surface, recipe.owners, rows)
    assert set(place.tolist()) == {-1, 0, 1} and np.array_equal(mixed.owner, rows)
    for code, wanted in ((-1, plain), (0, plain), (1, off)):
        mine = np.flatnonzero(place == code)
        assert same(mixed.take(mine), wanted.take(mine))


def test_who_opted_out_takes_part_in_nothing() -> None:
    recipe = open_recommender(Surface.STARTUPS_FOR_DEVELOPER, planted_bundles(), with_ranker(share=1.0))
    rows = recipe.owners.owners_of(recipe.surface)
    assert ((places_of(recipe, recipe.surface, recipe.owners, rows) < 0) == recipe.owners.opted_out[rows]).all()
    assert recipe.owners.opted_out[rows].any()


def test_without_experiments_a_batch_is_scored_in_one_go() -> None:
    recipe = open_recommender(Surface.STARTUPS_FOR_DEVELOPER, planted_bundles(), SMALL)
    rows = recipe.owners.owners_of(recipe.surface)
    (own, mine), *others = recommenders_by_arm(recipe, planted_bundles(), recipe.batch(rows, world().interactions))
    assert own is recipe and len(mine) == len(rows) and not others


@pytest.mark.parametrize("surface", [Surface.STARTUPS_FOR_DEVELOPER, Surface.INVESTORS_FOR_STARTUP])
@pytest.mark.parametrize("changes", ARMS, ids=lambda c: "-".join(c))
@pytest.mark.parametrize("learned", [False, True], ids=["rules", "learned"])
def test_a_recipe_under_an_arm_is_the_recipe_opened_with_its_settings(
    surface: Surface, changes: dict[str, Any], learned: bool
) -> None:
    bundles = learned_bundles() if learned else planted_bundles()
    arm = SMALL.layered(changes, "given")
    found = with_settings(open_recommender(surface, bundles, SMALL), bundles, arm)
    assert same(everybody(found), everybody(open_recommender(surface, bundles, arm)))


def test_an_arm_shares_what_takes_memory() -> None:
    bundles = learned_bundles()
    recipe = open_recommender(Surface.STARTUPS_FOR_DEVELOPER, bundles, SMALL)
    arm = with_settings(recipe, bundles, SMALL.layered({"blend": "rrf"}, "given"))
    assert arm.ranker is recipe.ranker and arm.catalogue is recipe.catalogue
    assert all(arm.scorers[s] is scorer for s, scorer in recipe.scorers.items())


def test_places_are_those_of_the_hash_alone() -> None:
    settings, surface = with_ranker(), Surface.STARTUPS_FOR_INVESTOR
    recipe = open_recommender(surface, planted_bundles(), settings)
    rows = recipe.owners.owners_of(surface)
    drawn = places_on(read_experiments(settings), surface, recipe.owners.ids.packed()[rows])
    assert np.array_equal(drawn, places_of(recipe, surface, recipe.owners, rows))
    assert [a.name for _, a in arms_on(read_experiments(settings), surface)] == ["on", "off"]
