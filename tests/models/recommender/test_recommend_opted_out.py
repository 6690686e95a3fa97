"""An opted-out owner gets the list of an unseen owner without profile, for all rankers (R23, L07)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from models.data.batch import Owners
from models.lists.reasons import from_bits, packed
from models.lists.redis_format import decode_list, encode_lists
from models.popularity import POPULAR
from models.recommender.explain import explain
from models.recommender.recommend import recommend
from models.recommender.surface import SurfaceRecommender, open_recommender
from models.schema import REASONS, Entity, Standing, Surface
from tests.marketplace.bundles import SMALL, learned_bundles
from tests.marketplace.world import world

#: Compared parts of lists: all except the owner and the owner's route.
COLUMNS = ("method", "ranker", "indptr", "item", "score", "source", "reason")


def recipe_of(surface: Surface, ranker: str) -> SurfaceRecommender:
    return open_recommender(surface, learned_bundles(), SMALL.layered({"ranker": ranker}, "given"))


def out(recipe: SurfaceRecommender) -> Owners:
    """Return all owners of the surface with all events, as if opted out. Half also have text."""
    rows = recipe.owners.owners_of(recipe.surface)
    owners = recipe.batch(rows, world().interactions, ["games unity" if i % 2 else "" for i in range(len(rows))])
    return replace(owners, opted_out=np.ones(len(owners), bool))


def stranger(recipe: SurfaceRecommender, owners: Owners, i: int) -> Owners:
    """Return an owner without data except the items that owner i must not see."""
    nothing = sparse.csr_matrix((1, len(recipe.catalogue)), dtype=np.float32)
    return recipe.unseen_owner(0, nothing, owners.barred[i], "", opted_out=True)


@pytest.mark.parametrize("surface", list(Surface))
@pytest.mark.parametrize("ranker", ["learned", "rules", "off"])
def test_an_opted_out_owner_gets_the_list_of_an_unseen_owner(surface: Surface, ranker: str) -> None:
    recipe = recipe_of(surface, ranker)
    owners = out(recipe)
    assert owners.history.nnz and owners.age is not None and owners.age.nnz
    assert owners.kinds is not None and owners.kinds.nnz
    lists = recommend(recipe, owners, SMALL.lists.depth)

    for i in range(len(owners)):
        expected = recommend(recipe, stranger(recipe, owners, i), SMALL.lists.depth)
        mine = lists.take(np.array([i]))
        assert all(np.array_equal(getattr(mine, c), getattr(expected, c)) for c in COLUMNS)
    assert np.array_equal(lists.count, owners.count)  # the route still follows the count


@pytest.mark.parametrize("surface", list(Surface))
def test_an_owner_in_a_batch_does_not_change_other_lists(surface: Surface) -> None:
    recipe = recipe_of(surface, "learned")
    owners = replace(out(recipe), opted_out=np.zeros(len(out(recipe)), bool))
    mixed = replace(owners, opted_out=np.arange(len(owners)) % 3 == 0)
    before, after = (recommend(recipe, o, SMALL.lists.depth) for o in (owners, mixed))

    for i in np.flatnonzero(~mixed.opted_out).tolist():
        assert all(
            np.array_equal(getattr(before.take(np.array([i])), c), getattr(after.take(np.array([i])), c))
            for c in COLUMNS
        )


@pytest.mark.parametrize("surface", list(Surface))
def test_taken_apart_it_shows_nothing_of_the_owner(surface: Surface) -> None:
    """This covers `explain` and the page."""
    recipe, founders = recipe_of(surface, "rules"), surface.owner is Entity.STARTUP
    owners = out(recipe)
    impersonal = {POPULAR.reason[founders], *(s.words[founders] for s in Standing)}
    for i in range(0, len(owners), 7):
        found = explain(recipe, owners.part(i, i + 1), SMALL.lists.depth)
        assert all(set(p["reasons"]) <= impersonal and p["sources"] == ["popular"] for p in found["list"])


def test_a_stored_list_says_whether_it_is_impersonal() -> None:
    """A popular list is personal if it was reranked or if a reason is a facet of the owner's history."""
    recipe = recipe_of(Surface.STARTUPS_FOR_DEVELOPER, "rules")
    lists = recommend(recipe, out(recipe).part(0, 1), SMALL.lists.depth)

    def stored(**changed: Any) -> bool:
        return decode_list(encode_lists(replace(lists, **changed))[0]).impersonal

    def reason(**columns: int) -> np.ndarray:
        """Give the second place this reason and the others none."""
        one, none = {"facet": -1, "source": POPULAR.code, **columns}, {"facet": -1}
        names = ("facet", "event", "number", "people_event", "people", "source", "standing")
        places = [one if i == 1 else none for i in range(len(lists.item))]
        return packed(*(np.array([p.get(name, 0) for p in places]) for name in names))

    def bit(name: str) -> np.ndarray:
        return from_bits(np.where(np.arange(len(lists.item)) == 1, 1 << REASONS[name], 0))

    assert stored()
    assert not stored(ranker=np.ones(1, np.uint8)) and not stored(method=np.zeros(1, np.uint8))
    assert [stored(reason=bit(r)) for r in REASONS] == [r in list(Standing) for r in REASONS]
    assert stored(reason=reason(standing=3))
    assert not stored(reason=reason(facet=0, number=1)) and not stored(reason=reason(people=3))
