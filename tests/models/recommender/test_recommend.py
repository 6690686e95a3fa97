"""Run the recommender on the planted world: method and items of each owner, alone and in a batch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.data.batch import Owners
from models.lists.ranked_lists import RankedLists
from models.popularity import POPULAR
from models.recommender.recommend import recommend
from models.recommender.surface import SurfaceRecommender, open_recommender
from models.schema import Method, Surface
from tests.marketplace.bundles import SMALL, planted_bundles
from tests.marketplace.world import world

METHODS = Method.by_code()
DEPTH = SMALL.lists.depth


def recipe_of(surface: Surface, **changes: Any) -> SurfaceRecommender:
    return open_recommender(surface, planted_bundles(), SMALL.layered(changes, "given"))


def everybody(recipe: SurfaceRecommender) -> Owners:
    return recipe.batch(recipe.owners.owners_of(recipe.surface), world().interactions)


def items(lists: RankedLists, i: int) -> list[int]:
    return lists.item[lists.row(i)].tolist()


@pytest.mark.parametrize("surface", list(Surface))
def test_every_owner_gets_a_full_list_without_repeats_or_anything_barred(surface: Surface) -> None:
    """I12, R08: coverage is 100%, and lists are as long as unseen items allow."""
    recipe = recipe_of(surface)
    owners = everybody(recipe)

    lists = recommend(recipe, owners, DEPTH)

    seen = world().seen_by(surface).pairs()
    for i, row in enumerate(owners.row.tolist()):
        mine = items(lists, i)
        assert len(mine) == len(set(mine)) == min(DEPTH, len(recipe.catalogue) - owners.barred[i].nnz)
        assert not set(mine) & set(seen[row].indices.tolist())
        assert set(mine) <= set(recipe.catalogue.tolist())


@pytest.mark.parametrize("surface", list(Surface))
@pytest.mark.parametrize("ranker", ["rules", "off"])
def test_one_owner_alone_gets_what_they_get_in_a_batch(surface: Surface, ranker: str) -> None:
    recipe = recipe_of(surface, ranker=ranker)
    owners = everybody(recipe)
    together = recommend(recipe, owners, DEPTH)

    for i in range(0, len(owners), 5):
        alone = recommend(recipe, owners.part(i, i + 1), DEPTH)
        assert items(alone, 0) == items(together, i)
        assert np.allclose(alone.score, together.score[together.row(i)], atol=1e-6)
        assert alone.method[0] == together.method[i]


@pytest.mark.parametrize("surface", list(Surface))
def test_scores_lie_in_0_to_1_and_never_rise_along_a_list(surface: Surface) -> None:
    lists = recommend(recipe_of(surface), everybody(recipe_of(surface)), DEPTH)

    assert lists.score.min() >= 0 and lists.score.max() <= 1
    for i in range(len(lists)):
        assert (np.diff(lists.score[lists.row(i)]) <= 1e-7).all()


@pytest.mark.parametrize("surface", list(Surface))
def test_lists_of_every_surface_are_ranked(surface: Surface) -> None:
    recipe = recipe_of(surface)
    owners = everybody(recipe)
    assert np.array_equal(recommend(recipe, owners, DEPTH).reranked, ~owners.opted_out)


def test_the_route_follows_the_thresholds_and_the_method_follows_the_chain() -> None:
    """All owners here have text, so content always answers (B01-B03, B06)."""
    recipe = recipe_of(Surface.STARTUPS_FOR_DEVELOPER)
    owners = everybody(recipe)
    lists = recommend(recipe, owners, DEPTH)

    expected = np.select([owners.count < 5, owners.count < 20], ["content_based", "als"], "ensemble")
    assert [METHODS[m].value for m in lists.route] == expected.tolist()
    departed = lists.method != lists.route
    assert owners.opted_out[departed].all()
    assert all(METHODS[m] is Method.POPULAR for m in lists.method[departed])


def test_founders_are_answered_by_reverse_als_from_five_people_on() -> None:
    recipe = recipe_of(Surface.DEVELOPERS_FOR_STARTUP)
    owners = everybody(recipe)
    lists = recommend(recipe, owners, DEPTH)

    assert [METHODS[m].value for m in lists.route] == np.where(
        owners.count < 5, "content_based", "als_reverse"
    ).tolist()


@pytest.mark.parametrize("surface", list(Surface))
def test_the_planted_group_comes_first(surface: Surface) -> None:
    """Unmet items of the owner's group have one in two places, not one in six."""
    recipe, w = recipe_of(surface, ranker="off"), world()
    owners = everybody(recipe)
    lists = recommend(recipe, owners, DEPTH)

    hits = wanted = 0
    for i in np.flatnonzero((owners.count > 0) & ~owners.opted_out).tolist():
        right = w.right(surface, int(owners.row[i]))
        hits += len(set(items(lists, i)[: len(right)]) & right)
        wanted += min(len(right), DEPTH)
    assert hits / wanted > 0.5


def test_the_next_in_the_chain_answers_for_disabled_models() -> None:
    surface = Surface.STARTUPS_FOR_DEVELOPER
    owners = everybody(recipe_of(surface))
    hot = (owners.count >= 20) & ~owners.opted_out
    assert hot.any()
    for off, method in (
        ({"enable_ensemble": False}, Method.ALS),
        ({"enable_two_tower": False}, Method.ALS),
        ({"enable_als": False}, Method.TWO_TOWER),
        ({"enable_als": False, "enable_two_tower": False}, Method.CONTENT_BASED),
    ):
        lists = recommend(recipe_of(surface, **off), owners, DEPTH)
        assert {METHODS[m] for m in lists.method[hot]} == {method}
        assert {METHODS[m] for m in lists.route[hot]} == {Method.ENSEMBLE}


def test_without_a_models_bundle_the_next_of_the_chain_answers() -> None:
    """A release without the files of the two-tower model still answers all owners (A15, B09)."""
    surface = Surface.STARTUPS_FOR_DEVELOPER
    lacking = {k: v for k, v in planted_bundles().items() if k in ("catalogue_v1", "popularity_v1", "als_v1")}
    recipe = open_recommender(surface, lacking, SMALL)
    owners = everybody(recipe)
    lists = recommend(recipe, owners, DEPTH)

    used = {METHODS[m] for m in lists.method[(owners.count >= 5) & ~owners.opted_out]}
    assert used == {Method.ALS}
    assert {METHODS[m] for m in lists.method[owners.count == 0]} == {Method.POPULAR}


@pytest.mark.parametrize("kept", ["recent", "popularity"])
def test_popular_lists_are_not_reranked_and_come_in_order_of_popularity(kept: str) -> None:
    """An opted-out user gets the popular list, without any learned fact (A14, L07).

    Bundles of older versions have no array `startup_recent`.
    """
    bundles = dict(planted_bundles())
    arrays = bundles["popularity_v1"].arrays
    if kept == "popularity":
        arrays = {name: array for name, array in arrays.items() if not name.endswith("_recent")}
    bundles["popularity_v1"] = replace(bundles["popularity_v1"], arrays=arrays)
    recipe = open_recommender(Surface.STARTUPS_FOR_DEVELOPER, bundles, SMALL)
    owners = everybody(recipe)
    out = int(np.flatnonzero(owners.opted_out)[0])
    lists = recommend(recipe, owners, DEPTH)

    assert not lists.reranked[out]
    assert set(lists.source[lists.row(out)].tolist()) == {POPULAR.bit}
    free = np.setdiff1d(recipe.catalogue, recipe.catalogue[owners.barred[out].indices])
    order = np.lexsort((-arrays["startup_popularity"][free], -arrays[f"startup_{kept}"][free]))
    assert items(lists, out) == free[order][:DEPTH].tolist()


def test_a_founder_is_not_shown_their_own_startup_nor_it_its_founder() -> None:
    w = world()
    startup = int(np.flatnonzero(w.startups.founder >= 0)[0])
    founder = int(w.startups.founder[startup])
    forward = recipe_of(Surface.STARTUPS_FOR_DEVELOPER)
    back = recipe_of(Surface.DEVELOPERS_FOR_STARTUP)

    mine = recommend(forward, forward.batch(np.array([founder]), w.interactions), 100)
    its = recommend(back, back.batch(np.array([startup]), w.interactions), 100)

    assert startup not in mine.item.tolist()
    assert founder not in its.item.tolist()


def test_every_item_names_a_source() -> None:
    """A21: an item names the sources that proposed it. Items that only fill the list name popular."""
    lists = recommend(
        recipe_of(Surface.STARTUPS_FOR_INVESTOR), everybody(recipe_of(Surface.STARTUPS_FOR_INVESTOR)), DEPTH
    )

    assert (lists.source > 0).all()


def test_an_empty_batch_is_answered_by_no_lists() -> None:
    recipe = recipe_of(Surface.STARTUPS_FOR_DEVELOPER)
    lists = recommend(recipe, everybody(recipe).part(0, 0), DEPTH)

    assert len(lists) == 0 and len(lists.item) == 0


def test_views_bar_an_item_unless_the_setting_says_otherwise() -> None:
    w = world()
    viewer = int(w.rows(next(iter(type(Surface.STARTUPS_FOR_DEVELOPER.role))), 5)[0])
    viewed_only = w.interactions.where(w.interactions.owner == viewer)
    codes = np.unique(viewed_only.item[viewed_only.at == viewed_only.at.max()])
    for seen in (True, False):
        recipe = recipe_of(Surface.STARTUPS_FOR_DEVELOPER, views_are_seen=seen)
        barred = recipe.catalogue[recipe.batch(np.array([viewer]), w.interactions).barred.indices]
        assert (set(codes.tolist()) <= set(barred.tolist())) is seen


@pytest.mark.parametrize("ranker", ["rules", "off"])
@pytest.mark.parametrize("changes", [{"blend_profile": "semantic"}, {"blend": "rrf"}, {"ensemble_als_weight": 1.0}])
def test_the_blend_affects_only_hot_users(ranker: str, changes: dict[str, object]) -> None:
    """With and without the ranker (C08-C18, G06)."""
    surface = Surface.STARTUPS_FOR_DEVELOPER
    owners = everybody(recipe_of(surface))
    plain = recommend(recipe_of(surface, ranker=ranker), owners, DEPTH)
    other = recommend(recipe_of(surface, ranker=ranker, **changes), owners, DEPTH)

    changed = [not np.array_equal(plain.score[plain.row(i)], other.score[other.row(i)]) for i in range(len(owners))]
    hot = [METHODS[m] is Method.ENSEMBLE for m in plain.method]
    assert any(changed)
    assert not any(c and not h for c, h in zip(changed, hot, strict=True))


@pytest.mark.parametrize("ranker", ["rules", "off"])
def test_only_hot_startups_get_the_ensemble_if_enabled(ranker: str) -> None:
    """From reverse ALS and the reversed two-tower model (R24)."""
    surface = Surface.DEVELOPERS_FOR_STARTUP
    owners = everybody(recipe_of(surface))
    plain = recommend(recipe_of(surface, ranker=ranker, warm_user_threshold=9), owners, DEPTH)
    asked = recipe_of(surface, ranker=ranker, warm_user_threshold=9, founder_ensemble=True)
    other = recommend(asked, owners, DEPTH)

    hot = owners.count >= 9
    assert hot.any() and not hot.all()
    assert {METHODS[m] for m in other.route[hot]} == {Method.ENSEMBLE}
    blended = hot & (plain.method == Method.ALS_REVERSE.code)
    assert blended.any() and {METHODS[m] for m in other.method[blended]} == {Method.ENSEMBLE}
    for i in np.flatnonzero(~hot).tolist():
        assert np.array_equal(plain.item[plain.row(i)], other.item[other.row(i)])
    assert any(
        not np.array_equal(plain.score[plain.row(i)], other.score[other.row(i)]) for i in np.flatnonzero(hot).tolist()
    )
