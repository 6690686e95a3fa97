"""An erased entity leaves a blank row, which keeps its number and is never found."""

from __future__ import annotations

import uuid

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data.batch import indptr_of
from models.data.entities import IdMap
from models.errors import DataError
from models.lists.ranked_lists import RankedLists
from models.lists.redis_format import encode_lists

IDS = st.lists(st.integers(1, 2**128 - 1), min_size=1, max_size=12, unique=True)


@given(IDS, st.data())
def test_all_others_keep_their_rows_and_bytes(numbers: list[int], data: st.DataObject) -> None:
    """Also with neighbouring ids: no new id replaces the removed one."""
    ids = IdMap.from_ids(str(uuid.UUID(int=n)) for n in numbers)
    gone = data.draw(st.sets(st.integers(0, len(ids) - 1)))
    left = ids
    for row in gone:
        left = left.without(row)

    expected = [-1 if row in gone else row for row in range(len(ids))]
    assert left.rows_of(ids.ids).tolist() == expected and left.blank.sum() == len(gone)
    assert left.rows_of(["", str(uuid.UUID(int=0))]).tolist() == [-1, -1]
    assert IdMap.from_packed(left.packed()).ids.tolist() == left.ids.tolist()
    assert not left.packed()[sorted(gone)].any()
    assert (left.packed()[~left.blank] == ids.packed()[~left.blank]).all()


def test_ids_out_of_order_are_refused_though_a_blank_row_stands_between() -> None:
    ids = [str(uuid.UUID(int=n)) for n in (5, 3)]
    with pytest.raises(DataError):
        IdMap(np.array([ids[0], "", ids[1]], "<U36"))


@given(
    st.lists(st.lists(st.integers(0, 5), max_size=5, unique=True), min_size=1, max_size=6),
    st.integers(-1, 6),
    st.integers(-1, 6),
)
def test_a_list_and_a_place_go_and_the_rest_is_equal_to_the_byte(items: list[list[int]], owner: int, item: int) -> None:
    lists = ranked(items)
    found = lists.without(owner, item)

    kept = [row for row in range(len(items)) if row != owner]
    assert found.owner.tolist() == kept
    assert [found.item[found.row(i)].tolist() for i in range(len(found))] == [
        [x for x in items[row] if x != item] for row in kept
    ]
    before, after = encode_lists(lists), encode_lists(found)
    for i, row in enumerate(kept):
        assert item in items[row] or after[i] == before[row]


def ranked(items: list[list[int]]) -> RankedLists:
    n, places = len(items), sum(map(len, items))
    of_list, of_place = np.arange(n, dtype=np.uint8), np.arange(places, dtype=np.uint8)
    return RankedLists(
        np.arange(n, dtype=np.int32),
        of_list % 6,
        of_list % 5,
        np.arange(n, dtype=np.int32),
        of_list % 5,
        indptr_of([len(x) for x in items]),
        np.array([x for row in items for x in row], np.int32),
        np.linspace(1, 0, places, dtype=np.float32),
        of_place,
        of_place.astype(np.uint32),
    )
