"""Cap exposure: by hand, and properties for any input."""

from __future__ import annotations

from dataclasses import fields
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.data.batch import indptr_of
from models.lists.ranked_lists import RankedLists
from models.metrics.accuracy import K
from models.recommender.exposure import apply_cap, caps_of, exposure_stats, places_above_cap, share_moved

ITEMS = 24
Caps = NDArray[np.int64]
ONCE = np.ones(ITEMS, np.int64)


def lists_of(rows: list[list[tuple[int, float]]], count: list[int] | None = None) -> RankedLists:
    """Make one list per row of (item, score). The row is the owner's number. count: of its events, by default 3."""
    n, places = len(rows), [pair for row in rows for pair in row]
    item = np.array([i for i, _ in places], np.int32)
    code = np.zeros(n, np.uint8)
    return RankedLists(
        np.arange(n, dtype=np.int32),
        code,
        code,
        np.full(n, 3, np.int32) if count is None else np.array(count, np.int32),
        code,
        indptr_of([len(r) for r in rows]),
        item,
        np.array([s for _, s in places], np.float32),
        (item % 7).astype(np.uint8),
        (item % 5).astype(np.uint32),
    )


def tops(lists: RankedLists) -> list[set[int]]:
    return [set(lists.item[lists.row(i)][:K].tolist()) for i in range(len(lists))]


def ids(lists: RankedLists) -> range:
    return range(len(lists))


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
    counts = rng.integers(0, draw(st.integers(2, 9)), len(rows)).tolist()
    return lists_of(rows, counts), rng.integers(low, low + high + 1, ITEMS)


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


@settings(deadline=None, max_examples=300)
@given(batches())
def test_an_item_refuses_an_owner_only_for_others_that_score_it_as_high(batch: tuple[RankedLists, Caps]) -> None:
    """The result is stable: an item that a list ranks before one of its top ten is there, or others fill its cap."""
    lists, most = batch
    found = apply_cap(lists, most)
    score = [dict(zip(lists.item[lists.row(i)].tolist(), lists.score[lists.row(i)], strict=True)) for i in ids(lists)]
    known, top = [i for i in ids(lists) if lists.count[i]], tops(found)
    for i in known:
        listed = list(score[i])
        last = max((listed.index(item) for item in top[i]), default=-1)
        for item in set(listed[:last]) - top[i]:
            assert sum(item in top[j] and score[j][item] >= score[i][item] for j in known) >= most[item]


@settings(deadline=None, max_examples=200)
@given(batches())
def test_only_lists_without_other_candidates_pass_a_cap(batch: tuple[RankedLists, Caps]) -> None:
    lists, most = batch
    known = lists.take(np.flatnonzero(lists.count > 0))
    found = apply_cap(known, most)
    count, top = load(found), tops(found)
    rest = [set(found.item[found.row(i)][K:].tolist()) for i in ids(found)]
    for item in np.flatnonzero(count > most):
        assert any(item in top[i] and all(count[other] >= most[other] for other in rest[i]) for i in ids(found))
    assert places_above_cap(found, most) == np.maximum(count - most, 0).sum()


@settings(deadline=None, max_examples=100)
@given(batches())
def test_cold_start_owners_keep_their_lists_and_do_not_count(batch: tuple[RankedLists, Caps]) -> None:
    lists, most = batch
    known = np.flatnonzero(lists.count > 0)
    found, alone = apply_cap(lists, most), apply_cap(lists.take(known), most)
    assert found.take(known).item.tolist() == alone.item.tolist()
    for i in np.flatnonzero(lists.count == 0).tolist():
        assert found.item[found.row(i)].tolist() == lists.item[lists.row(i)].tolist()


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
    """Item 0 may be shown once. Owner 0 scores it higher, so owner 1 loses it, although it falls less far."""
    first = [(0, 0.9), *((i, 0.7) for i in range(1, 10)), (20, 0.6)]
    other = [(0, 0.8), *((i, 0.7) for i in range(10, 19)), (21, 0.5), (22, 0.4)]
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


def test_by_hand_a_list_without_other_candidates_keeps_what_refused() -> None:
    """Owner 0 scores all ten items higher, and owner 1 has no others: they are in both lists."""
    short = [(i, 0.5) for i in range(10)]
    long = [*((i, 0.9) for i in range(10)), *((i, 0.1) for i in range(10, 20))]
    found = apply_cap(lists_of([long, short]), ONCE)

    assert tops(found) == [set(range(10)), set(range(10))] and places_above_cap(found, ONCE) == 10


def test_the_cap_in_places() -> None:
    """3 lists of ten of owners with events are 30 places.

    Item 3 has half of the events of 20 items: its fair share is 27.5%, 8.25 places. Items without events have 0.75
    places, the other 10 events give items 0 and 1 a fair share of 4.5 places each.
    """
    rows, catalogue = lists_of([[(i, 0.5) for i in range(12)]] * 4, [1, 0, 2, 9]), np.arange(20)
    events = np.zeros(ITEMS, np.int64)
    events[[0, 1, 3, 22]] = 5, 5, 10, 99  # item 22 is not in the catalogue

    for multiple, expected in ((1, [5, 5, 1, 9]), (2, [9, 9, 2, 17]), (0.1, [1, 1, 1, 1])):
        most = caps_of(multiple, rows, catalogue, events)
        assert most[:4].tolist() == expected and most[22] == 30
    assert caps_of(2, rows, catalogue, np.zeros(ITEMS, np.int64))[:20].tolist() == [3] * 20
    assert caps_of(2, rows, np.arange(0), events).tolist() == [30] * ITEMS
    assert apply_cap(rows, 3 * ONCE).item.tolist() == rows.item.tolist()
    assert apply_cap(lists_of([]), ONCE).item.tolist() == []
