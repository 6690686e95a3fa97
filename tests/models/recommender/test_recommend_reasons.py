"""Check the reasons of a place: counts by hand, alone and in a batch, true of the item."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from models import registry
from models.data.batch import Candidates, Owners
from models.lists.ranked_lists import RankedLists
from models.lists.reasons import facet_of, people_of, source_of, standings_of
from models.popularity import POPULAR
from models.recommender import reasons
from models.recommender.reasons import leading, shared_facets
from models.recommender.recommend import recommend
from models.recommender.surface import SurfaceRecommender, open_recommender
from models.routing import sources_of
from models.schema import (
    COUNTED_TYPES,
    FACET_REASONS,
    FACETS,
    PEOPLE_LEAST,
    REASONS,
    Entity,
    EventType,
    Method,
    Standing,
    Surface,
)
from models.scoring.scorer import min_max
from models.sentences import MOST, sentences
from models.spec import Source
from tests.marketplace.bundles import SMALL, learned_bundles
from tests.marketplace.world import world

VIEW, LIKE, APPLY = (1 << t.code for t in (EventType.VIEW, EventType.LIKE, EventType.APPLY))
#: Codes of eight items; blank is -1. All other facets are blank.
CATEGORY = np.array([0, 0, 1, 1, 1, 1, 2, -1], np.int32)
BLANK = np.full(8, -1, np.int32)


def facets(**columns: np.ndarray) -> dict[str, np.ndarray]:
    return dict.fromkeys(FACETS, BLANK) | {"category": CATEGORY} | columns


def kinds(*rows: list[int]) -> sparse.csr_matrix:
    return sparse.csr_matrix(np.array(rows, np.uint16))


def found(
    met: sparse.csr_matrix | None, at: list[int], item: list[int], **columns: np.ndarray
) -> list[tuple[int, int, int]]:
    told = shared_facets(facets(**columns), met, np.array(at), np.array(item))
    return list(zip(*(column.tolist() for column in told), strict=True))


@pytest.mark.parametrize("cells", [reasons._CELLS, 0])
def test_counted_by_hand(monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    """Count the owner's items of the value by the event type of highest weight, with both lookups."""
    monkeypatch.setattr(reasons, "_CELLS", cells)
    met = kinds([APPLY | VIEW, APPLY, VIEW, 0, 0, 0, 0, 0], [0, LIKE, VIEW, VIEW, 0, 0, 0, LIKE], [0] * 8)
    category, none = REASONS["category"], (-1, 0, 0)

    assert found(met, [0, 0, 0, 0], [0, 2, 6, 7]) == [(category, EventType.APPLY.code, 2), none, none, none]
    assert found(met, [1, 1, 2], [0, 4, 0]) == [
        (category, EventType.LIKE.code, 1),  # one of three, and a quarter of the catalogue
        (category, EventType.VIEW.code, 2),  # two of three, and half of the catalogue
        none,
    ]
    assert found(None, [0], [0]) == found(kinds([0] * 8), [0], [0]) == [none]


def test_a_facet_of_few_people_is_not_counted() -> None:
    """No reason shows what one or two people did. A type of lower weight may have enough people."""
    met = kinds([APPLY | VIEW, APPLY | VIEW, VIEW, 0, 0, 0, 0, 0])
    codes = np.array([0, 0, 0, 0, 1, 1, 1, 1], np.int32)
    few = [shared_facets(facets(category=codes), met, np.array([0]), np.array([3], np.int32), n) for n in (1, 2, 3, 4)]
    counted = [(int(event[0]), int(number[0])) for facet, event, number in few if facet[0] >= 0]
    assert counted == [(EventType.APPLY.code, 2), (EventType.APPLY.code, 2), (EventType.VIEW.code, 3)]


def test_no_more_than_chance_ties_nothing() -> None:
    """Half of the catalogue and half of the owner's items have category 1."""
    assert found(kinds([VIEW, 0, VIEW, 0, 0, 0, 0, 0]), [0], [3]) == [(-1, 0, 0)]


def test_the_facet_that_ties_most_is_named() -> None:
    """Both startups have type 0 and category 0, as a quarter of the catalogue. All startups are b2b."""
    met, b2b = kinds([VIEW, VIEW, 0, 0, 0, 0, 0, 0]), np.zeros(8, np.int32)
    assert found(met, [0], [0], type=b2b) == [(REASONS["category"], EventType.VIEW.code, 2)]
    rare = np.array([0, 0, 0, 1, 1, 1, 1, 1], np.int32)
    assert found(met, [0, 0], [2, 0], type=rare)[0] == (REASONS["type"], EventType.VIEW.code, 2)


def test_the_source_that_put_an_item_highest() -> None:
    """Only proposing sources count: item 0 ranks high in the second source, which did not propose item 1."""
    one, two = Source("one", 3, "one", ("", "")), Source("two", 9, "two", ("", ""))
    scores = {one: np.array([1, 2, 3], np.float32), two: np.array([9, 7, np.nan], np.float32)}
    candidates = Candidates(
        np.array([0, 3]),
        np.zeros(3, np.int32),
        np.arange(3, dtype=np.int32),
        np.array([one.bit | two.bit, one.bit, 1 << 5]),
        scores,
    )
    assert leading(candidates, np.arange(3)).tolist() == [9, 3, 5]
    assert min_max(scores[one], candidates.indptr)[0] == 0


@cache
def listed(surface: Surface) -> tuple[SurfaceRecommender, Owners, RankedLists]:
    recipe = open_recommender(surface, learned_bundles(), SMALL)
    owners = recipe.batch(recipe.owners.owners_of(surface), world().interactions)
    return recipe, owners, recommend(recipe, owners, SMALL.lists.depth)


@given(st.sampled_from(list(Surface)), st.data())
def test_alone_as_in_a_batch(surface: Surface, data: st.DataObject) -> None:
    recipe, owners, lists = listed(surface)
    one = data.draw(st.integers(0, len(owners) - 1))
    alone = recommend(recipe, owners.part(one, one + 1), SMALL.lists.depth)
    for column in ("ranker", "item", "source", "reason"):
        assert getattr(alone, column).tolist() == getattr(lists.take(np.array([one])), column).tolist(), column


@given(st.sampled_from(list(Surface)), st.data())
def test_every_reason_is_true(surface: Surface, data: st.DataObject) -> None:
    """The events confirm the owner's items of a value, the people behind an item, source and market state."""
    recipe, owners, lists = listed(surface)
    i = data.draw(st.integers(0, len(owners) - 1))
    place = data.draw(st.sampled_from(range(*lists.indptr[i : i + 2])))
    row, reason = int(lists.item[place]), int(lists.reason[place])
    events = world().interactions if surface.owner is Entity.USER else world().interactions.transposed()
    mine = events.csr()[owners.row[i]]
    liked = np.intersect1d(mine.indices[mine.data > 0], recipe.catalogue)

    facet, event, number = facet_of(reason)
    if facet >= 0:
        (name,) = (name for name in FACET_REASONS if REASONS[name] == facet)
        same = liked[recipe.items.facets[name][liked] == recipe.items.facets[name][row]]
        did = events.where((events.owner == owners.row[i]) & (events.kind == event)).item
        least = PEOPLE_LEAST if surface.item is Entity.USER else 1
        assert number == len(np.intersect1d(same, did)) >= least
        for t in (t for t in COUNTED_TYPES if (t.weight or 0) > (EventType.of_code(event).weight or 0)):
            stronger = events.where((events.owner == owners.row[i]) & (events.kind == t.code)).item
            assert len(np.intersect1d(same, stronger)) < least
    event, number = people_of(reason)
    if number:
        told = world().interactions  # the models do not read events of opted-out users
        told = told.where(~world().users.opted_out[told.owner])
        told = told if surface.owner is Entity.USER else told.transposed()
        positive = (told.csr() > 0).toarray()
        did = np.zeros_like(positive)
        of_type = told.kind == event
        did[told.owner[of_type], told.item[of_type]] = True
        shared = [(positive[:, item] & positive[:, row] & did[:, row]).sum() for item in liked]
        assert number >= 3 and number in shared and not positive[owners.row[i], row]
    assert source_of(reason) in [s.code for s in registry.sources() if s.bit & lists.source[place]]
    at = int(np.searchsorted(recipe.catalogue, row))
    of_its_own = {Standing.NEW: recipe.item_recency[at] >= 0.5, Standing.POPULAR: recipe.item_popularity[at] >= 0.8}
    assert standings_of(reason) == [s for s in Standing if of_its_own[s]]


@pytest.mark.parametrize("surface", list(Surface))
@pytest.mark.parametrize("ranker", ["off", "rules"])
def test_only_a_source_that_ordered_the_list_is_named(surface: Surface, ranker: str) -> None:
    """With only the candidates of the route, other sources order nothing, even if they propose the same items."""
    settings = SMALL.layered({"candidate_sources": "route", "ranker": ranker}, "given")
    recipe = open_recommender(surface, learned_bundles(), settings)
    owners = recipe.batch(recipe.owners.owners_of(surface), world().interactions)
    lists, parts = recommend(recipe, owners, 10), sources_of(surface)
    for i in range(len(lists)):
        own = {s.code for s in parts.get(Method.of_code(int(lists.method[i])), ())} | {POPULAR.code}
        assert {source_of(reason) for reason in lists.reason[lists.row(i)].tolist()} <= own


@pytest.mark.parametrize("surface", list(Surface))
def test_rows_of_a_list_say_different_things(surface: Surface) -> None:
    """Most lists of owners with a history vary their reasons: at most three per row, none twice."""
    recipe, owners, lists = listed(surface)
    founders, facets, labels = surface.owner is Entity.STARTUP, recipe.items.facets, recipe.items.labels
    different = []
    for i in range(len(owners)):
        columns = (column[lists.row(i)].tolist() for column in (lists.reason, lists.source, lists.item))
        told = [
            sentences(reason, source, founders, item, facets, labels)
            for reason, source, item in zip(*columns, strict=True)
        ]
        assert all(1 <= len(row) <= MOST and len(set(row)) == len(row) for row in told)
        if owners.count[i]:
            different.append(len(set(map(tuple, told[:10]))) > 1)
    assert np.mean(different) > 0.9
    assert any(people_of(reason)[1] for reason in lists.reason.tolist()) == (surface.owner is Entity.USER)
