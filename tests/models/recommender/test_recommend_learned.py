"""Order lists by the learned ranker on the planted world, without changing what the rules require."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from models.data.batch import Owners
from models.learned_ranker.scorer import LearnedRanker
from models.lists.ranked_lists import RankedLists
from models.ranker import RankerConfig
from models.recommender.candidates import candidates_of, prepared, wide_candidates
from models.recommender.recommend import rank, recommend
from models.recommender.surface import SurfaceRecommender, open_recommender
from models.rules_ranker.scorer import RuleRanker
from models.schema import Method, Surface
from models.stacked_ranker.scorer import StackedRanker
from tests.marketplace.bundles import SMALL, learned_bundles, mean_bundles
from tests.marketplace.world import world

METHODS, DEPTH = Method.by_code(), SMALL.lists.depth
FORWARD = Surface.STARTUPS_FOR_DEVELOPER


def recipe_of(surface: Surface, without: tuple[str, ...] = (), **changes: Any) -> SurfaceRecommender:
    bundles = {name: bundle for name, bundle in learned_bundles().items() if name not in without}
    return open_recommender(surface, bundles, SMALL.layered(changes, "given"))


def everybody(recipe: SurfaceRecommender) -> Owners:
    return recipe.batch(recipe.owners.owners_of(recipe.surface), world().interactions)


def averaged(surface: Surface) -> SurfaceRecommender:
    """Return the recipe of the mean of the learned and the stacked ranker."""
    recipe = open_recommender(surface, mean_bundles(), SMALL)
    assert isinstance(recipe.ranker, StackedRanker) and recipe.ranker.learned is not None
    return recipe


@pytest.mark.parametrize("recipe_of", [recipe_of, averaged])
@pytest.mark.parametrize("surface", list(Surface))
def test_one_owner_alone_gets_what_they_get_in_a_batch(
    surface: Surface, recipe_of: Callable[[Surface], SurfaceRecommender]
) -> None:
    recipe = recipe_of(surface)
    assert isinstance(recipe.ranker, LearnedRanker)
    owners = everybody(recipe)
    together = recommend(recipe, owners, DEPTH)
    for i in range(len(owners)):
        alone = recommend(recipe, owners.part(i, i + 1), DEPTH)
        assert np.array_equal(alone.item, together.item[together.row(i)])
        assert np.array_equal(alone.score, together.score[together.row(i)])


@pytest.mark.parametrize("recipe_of", [recipe_of, averaged])
@pytest.mark.parametrize("surface", list(Surface))
def test_a_recipe_prepared_for_many_owners_makes_the_same_lists(
    surface: Surface, recipe_of: Callable[[Surface], SurfaceRecommender]
) -> None:
    """Also where threads share the results of the trees for each item, and for one owner alone."""
    recipe = recipe_of(surface)
    assert prepared(recipe, 1) is recipe
    many, owners = prepared(recipe, 10**6), everybody(recipe)
    expected, start = recommend(recipe, owners, DEPTH), range(0, len(owners), 7)
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda s: recommend(many, owners.part(s, s + 7), DEPTH), start))
    kept = [part.kept for whole in many.whole.values() for part in whole.values()]
    assert len(kept) == 1 and kept[0] and all(len(left) == len(recipe.catalogue) for left in kept[0].values())
    for found in (RankedLists.concat(parts), recommend(many, owners, DEPTH)):
        for f in fields(RankedLists):
            assert np.array_equal(getattr(found, f.name), getattr(expected, f.name)), f.name


@pytest.mark.parametrize("surface", list(Surface))
def test_full_lists_of_the_right_group_first_and_nothing_barred(surface: Surface) -> None:
    """The ranker knows the pairs of the same group and puts them first (I12, R08)."""
    recipe, w = recipe_of(surface), world()
    owners = everybody(recipe)
    lists = recommend(recipe, owners, DEPTH)
    hits = wanted = 0
    for i, row in enumerate(owners.row.tolist()):
        mine = lists.item[lists.row(i)].tolist()
        assert len(mine) == len(set(mine)) == min(DEPTH, len(recipe.catalogue) - owners.barred[i].nnz)
        assert not set(np.searchsorted(recipe.catalogue, mine)) & set(owners.barred[i].indices.tolist())
        assert (np.diff(lists.score[lists.row(i)]) <= 0).all()
        right = w.right(surface, row)
        if owners.count[i] and not owners.opted_out[i]:
            hits += len(set(mine[: len(right)]) & right)
            wanted += min(len(right), DEPTH)
    assert hits / wanted > 0.8


def test_an_unknown_owner_is_ranked_too_and_an_opted_out_one_is_not() -> None:
    """An unseen owner without text gets popular items, ranked by the model (L07, R23)."""
    recipe = recipe_of(FORWARD)
    owners, stranger = everybody(recipe), recipe.unseen_owners([""])

    lists, alone = recommend(recipe, owners, DEPTH), recommend(recipe, stranger, DEPTH)

    assert owners.opted_out.any() and np.array_equal(lists.reranked, ~owners.opted_out)
    assert {METHODS[m] for m in lists.method[owners.opted_out]} == {Method.POPULAR}
    assert METHODS[alone.method[0]] is Method.POPULAR and alone.reranked[0] and len(alone.item) == DEPTH


@pytest.mark.parametrize(
    ("without", "changes"),
    [(("als_v1",), {}), (("content_v1",), {}), ((), {"enable_two_tower": False}), ((), {"enable_als": False})],
)
def test_the_rules_rank_if_a_source_of_the_training_is_silent(
    without: tuple[str, ...], changes: dict[str, object]
) -> None:
    """A ranker with a missing column must not serve, because it was trained with all columns (A22, B09)."""
    recipe = recipe_of(FORWARD, without, **changes)
    assert isinstance(recipe.ranker, RuleRanker)
    assert len(recommend(recipe, everybody(recipe), DEPTH).item)


def test_it_draws_on_more_than_the_sources_name() -> None:
    """Items in demand, and items from a source and demand, are candidates too."""
    recipe = recipe_of(FORWARD, ranker_candidates=10)
    owners = everybody(recipe)
    plain, wide = candidates_of(recipe, owners, 10), wide_candidates(recipe, owners)
    assert recipe.evidence is not None
    for i in np.flatnonzero(~owners.opted_out).tolist():
        mine, more = (set(c.item[c.indptr[i] : c.indptr[i + 1]].tolist()) for c in (plain, wide))
        assert mine <= more
        demand = recipe.evidence.demand.copy()
        demand[owners.barred[i].indices] = -1
        wanted = [int(item) for item in np.argsort(-demand, kind="stable")[:10] if demand[item] >= 0]
        assert set(wanted) <= more
    assert len(wide.item) > len(plain.item)


@pytest.mark.parametrize(
    ("changes", "without"),
    [
        ({"ranker": "rules"}, ()),
        ({"candidate_sources": "route"}, ()),
        ({}, ("activity_v1",)),
        ({}, ("learned_ranker_v1",)),
    ],
)
def test_without_it_the_rules_rank(changes: dict[str, object], without: tuple[str, ...]) -> None:
    assert isinstance(recipe_of(FORWARD, without, **changes).ranker, RuleRanker)


def test_where_it_did_not_pass_it_serves_only_if_asked_for() -> None:
    bundles = dict(learned_bundles())
    learned = bundles["learned_ranker_v1"]
    about = dict(learned.config["surfaces"])
    about[FORWARD.value] = {**about[FORWARD.value], "serves": False}
    bundles["learned_ranker_v1"] = replace(learned, config={"surfaces": about})
    assert isinstance(open_recommender(FORWARD, bundles, SMALL).ranker, RuleRanker)
    assert isinstance(
        open_recommender(FORWARD, bundles, SMALL.layered({"ranker": "learned"}, "given")).ranker, LearnedRanker
    )
    assert isinstance(open_recommender(Surface.INVESTORS_FOR_STARTUP, bundles, SMALL).ranker, LearnedRanker)


def test_no_weight_of_diversity_is_the_plain_order() -> None:
    recipe = recipe_of(FORWARD)
    owners = everybody(recipe)
    ranking = rank(recipe, owners, DEPTH)
    candidates = ranking.candidates
    for i in np.flatnonzero(~owners.opted_out).tolist():
        mine = slice(candidates.indptr[i], candidates.indptr[i + 1])
        order = np.argsort(-ranking.score[mine], kind="stable")[:DEPTH]
        assert (
            recipe.catalogue[candidates.item[mine][order]].tolist()
            == ranking.lists.item[ranking.lists.row(i)][: len(order)].tolist()
        )


def test_diversity_weight_mixes_the_first_places() -> None:
    owners = everybody(recipe_of(FORWARD))
    told = []
    for weight in (0.0, 0.3, 1.0):
        recipe = recipe_of(FORWARD, diversity_weight=weight)
        lists = recommend(recipe, owners, DEPTH)
        codes = recipe.items.facets["category"][lists.item]
        heads = [
            codes[lists.row(i)][: SMALL.of(RankerConfig).diversity_places]
            for i in np.flatnonzero(~owners.opted_out).tolist()
        ]
        told.append(np.mean([len(set(h.tolist())) for h in heads]))
    assert told[0] <= told[1] <= told[2] and told[2] > told[0]
