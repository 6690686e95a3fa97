"""Cap exposure: by hand, and properties for any input."""

from __future__ import annotations

from dataclasses import fields
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import maximum_flow

from models.data.batch import indptr_of
from models.lists.ranked_lists import RankedLists
from models.metrics.accuracy import K
from models.recommender.exposure import apply_cap, caps_of, exposure_stats, share_moved

ITEMS = 24
Caps = NDArray[np.int64]
ONCE = np.ones(ITEMS, np.int64)


def lists_of(rows: list[list[tuple[int, float]]]) -> RankedLists:
    """Make one list per row of (item, score). The row is the owner's number."""
    n, places = len(rows), [pair for row in rows for pair in row]
    item = np.array([i for i, _ in places], np.int32)
    code = np.zeros(n, np.uint8)
    return RankedLists(
        np.arange(n, dtype=np.int32),
        code,
        code,
        np.zeros(n, np.int32),
        code,
        indptr_of([len(r) for r in rows]),
        item,
        np.array([s for _, s in places], np.float32),
        (item % 7).astype(np.uint8),
        (item % 5).astype(np.uint32),
    )


def tops(lists: RankedLists) -> list[set[int]]:
    return [set(lists.item[lists.row(i)][:K].tolist()) for i in range(len(lists))]


def load(lists: RankedLists) -> np.ndarray:
    return np.bincount([i for top in tops(lists) for i in top], minlength=ITEMS)


@st.composite
def batches(draw: st.DrawFn) -> tuple[RankedLists, Caps]:
    """Draw a few owners with lists of any length over few items, many with equal scores, and a cap of each item."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    rows = []
    for _ in range(draw(st.integers(0, 8))):
        n = draw(st.integers(0, ITEMS))
        likes = rng.random(ITEMS) + np.linspace(draw(st.integers(0, 2)), 0, ITEMS)
        score = np.sort(np.round(rng.random(n), draw(st.integers(0, 3))))[::-1]
        rows.append(list(zip(np.argsort(-likes)[:n].tolist(), score.tolist(), strict=True)))
    low, high = draw(st.integers(1, 9)), draw(st.integers(0, 9))
    return lists_of(rows), rng.integers(low, low + high + 1, ITEMS)


def excess(lists: RankedLists, most: Caps) -> int:
    """Return the least possible number of places above the cap, by a maximum flow over all lists."""
    n, length = len(lists), np.diff(lists.indptr)
    owner = np.repeat(np.arange(n), length)
    start, end, wanted = n + ITEMS, n + ITEMS + 1, np.minimum(length, K)
    tail = np.concatenate([np.full(n, start), owner, n + np.arange(ITEMS)])
    head = np.concatenate([np.arange(n), n + lists.item, np.full(ITEMS, end)])
    width = np.concatenate([wanted, np.ones(len(owner)), most]).astype(np.int32)
    graph = sparse.csr_matrix((width, (tail, head)), shape=(end + 1, end + 1))
    return int(wanted.sum()) - int(maximum_flow(graph, start, end).flow_value)


@settings(deadline=None, max_examples=300)
@given(batches())
def test_the_cap_holds_wherever_the_lists_let_it_hold(batch: tuple[RankedLists, Caps]) -> None:
    lists, most = batch
    assert np.maximum(load(apply_cap(lists, most)) - most, 0).sum() == excess(lists, most)


@settings(deadline=None, max_examples=200)
@given(batches())
def test_lists_keep_their_items_and_order_and_scores_never_rise(batch: tuple[RankedLists, Caps]) -> None:
    lists, most = batch
    found = apply_cap(lists, most)
    for i in range(len(lists)):
        before, after = lists.item[lists.row(i)].tolist(), found.item[lists.row(i)].tolist()
        assert sorted(before) == sorted(after)
        for part in (after[:K], after[K:]):
            assert part == [x for x in before if x in part]
        assert (np.diff(found.score[lists.row(i)]) <= 0).all()
    assert (found.source == found.item % 7).all() and (found.reason == found.item % 5).all()
    assert (found.score <= lists.score.max(initial=0)).all()


@settings(deadline=None, max_examples=200)
@given(batches())
def test_no_owner_loses_an_item_without_need(batch: tuple[RankedLists, Caps]) -> None:
    """An item that left a top ten is at its cap."""
    lists, most = batch
    found = apply_cap(lists, most)
    count = load(found)
    for before, after in zip(tops(lists), tops(found), strict=True):
        assert all(count[item] >= most[item] for item in before - after)


@settings(deadline=None, max_examples=100)
@given(batches(), st.randoms(use_true_random=False))
def test_neither_the_order_of_the_lists_nor_the_shards_make_a_difference(
    batch: tuple[RankedLists, Caps], random: Random
) -> None:
    lists, most = batch
    found = apply_cap(lists, most)
    order = list(range(len(lists)))
    random.shuffle(order)
    parts = [part_of(lists, [i]) for i in order]
    mixed = apply_cap(RankedLists.concat(parts), most) if parts else found
    for at, i in enumerate(order):
        for f in fields(RankedLists):
            if f.name != "indptr":
                one, other = getattr(part_of(mixed, [at]), f.name), getattr(part_of(found, [i]), f.name)
                assert np.array_equal(one, other), f.name


def part_of(lists: RankedLists, rows: list[int]) -> RankedLists:
    cells = np.concatenate([np.arange(lists.row(i).start, lists.row(i).stop) for i in rows])
    per_owner = {f: getattr(lists, f)[rows] for f in ("owner", "method", "route", "count", "ranker")}
    per_place = {f: getattr(lists, f)[cells] for f in ("item", "score", "source", "reason")}
    return RankedLists(**per_owner, indptr=indptr_of(np.diff(lists.indptr)[rows]), **per_place)


def test_by_hand_two_owners_and_one_item() -> None:
    """Item 0 may be shown once. Owner 0 would fall from 0.9 to 0.1, owner 1 to 0.5, so owner 1 loses it."""
    first = [(0, 0.9), *((i, 0.7) for i in range(1, 10)), (20, 0.1)]
    other = [(0, 0.9), *((i, 0.7) for i in range(10, 19)), (21, 0.5), (22, 0.4)]
    found = apply_cap(lists_of([first, other]), ONCE)

    assert found.item[found.row(0)].tolist() == [0, *range(1, 10), 20]
    assert found.item[found.row(1)].tolist() == [*range(10, 19), 21, 0, 22]  # moved to the place after the tenth
    np.testing.assert_allclose(found.score[found.row(1)], [0.7] * 9 + [0.5, 0.5, 0.4])
    assert share_moved(found, lists_of([first, other])) == 0.05
    assert exposure_stats([found], np.arange(ITEMS)) == {
        "coverage": round(20 / ITEMS, 6),
        "gini": round(4 / ITEMS, 6),
        "most": 1,
    }


def test_by_hand_an_exchange_makes_room() -> None:
    """Owner 1 has ten candidates, all used by owner 0, who has others. Owner 0 loses all ten."""
    short = [(i, 0.5) for i in range(10)]
    long = [*((i, 0.9) for i in range(10)), *((i, 0.1) for i in range(10, 20))]
    found = apply_cap(lists_of([long, short]), ONCE)

    assert tops(found) == [set(range(10, 20)), set(range(10))]


def test_the_cap_in_places() -> None:
    """3 lists of ten are 30 places. Item 3 has half of the events of 20 items: its fair share is 27.5%, 8.25 places.

    Items without events have 0.75 places, the other 10 events give items 0 and 1 a fair share of 4.5 places each.
    """
    rows, catalogue = lists_of([[(i, 0.5) for i in range(12)]] * 3), np.arange(20)
    events = np.zeros(ITEMS, np.int64)
    events[[0, 1, 3, 22]] = 5, 5, 10, 99  # item 22 is not in the catalogue

    for multiple, expected in ((1, [5, 5, 1, 9]), (2, [9, 9, 2, 17]), (0.1, [1, 1, 1, 1])):
        most = caps_of(multiple, rows, catalogue, events)
        assert most[:4].tolist() == expected and most[22] == 30
    assert caps_of(2, rows, catalogue, np.zeros(ITEMS, np.int64))[:20].tolist() == [3] * 20
    assert caps_of(2, rows, np.arange(0), events).tolist() == [30] * ITEMS
    assert apply_cap(rows, 3 * ONCE) is rows and apply_cap(lists_of([]), ONCE).item.tolist() == []
