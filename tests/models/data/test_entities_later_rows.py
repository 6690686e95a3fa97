"""An entity that is new since the last build gets a row at the end. Old numbers stay, without duplicates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.catalogue.catalogue import decode_items, encode_items
from models.data.bundle import Bundle, open_bundle, write_bundle
from models.data.entities import IdMap
from models.errors import DataError
from models.lists.ranked_lists import RankedLists
from models.lists.redis_format import decode_list, encode_lists
from tests.marketplace.world import world
from tests.models.lists.test_redis_format import lists_of

A, B, C, D, E = (f"{letter * 8}-0000-4000-8000-000000000000" for letter in "abcde")


def test_old_rows_stay_and_all_ids_are_found() -> None:
    first = IdMap.from_ids([B, D])
    ids = first.extended([E, A]).extended([C])
    assert ids.ids.tolist() == [B, D, A, E, C] and ids.later == 3
    assert ids.rows_of([A, B, C, D, E, "x"]).tolist() == [2, 0, 4, 1, 3, -1]
    assert ids.rows_of(first.ids).tolist() == [0, 1]
    blank = ids.without(2)
    assert blank.later == 3 and blank.rows_of([A, E]).tolist() == [-1, 3]
    back = IdMap.from_packed(blank.packed(), blank.later)
    assert back.ids.tolist() == blank.ids.tolist()


def test_ids_are_unique_and_an_unordered_table_is_refused() -> None:
    with pytest.raises(DataError):
        IdMap.from_ids([B, D]).extended([B])
    with pytest.raises(DataError):
        IdMap(np.array([D, B, C]), later=1)
    with pytest.raises(DataError):
        IdMap(np.array([B]), later=2)


def test_later_rows_outlive_the_process(tmp_path: Path) -> None:
    ids = IdMap.from_ids([B, D]).extended([A])
    write_bundle(Bundle("x_v1", {}, {"user_y": np.zeros(3)}, {"user": ids}), tmp_path)
    assert open_bundle("x_v1", tmp_path).maps["user"].rows_of([A, D]).tolist() == [2, 1]
    users = world().users
    more: dict[str, Any] = {
        f: np.append(getattr(users, f), getattr(users, f)[:1])
        for f in ("role", "listed", "opted_out", "founder", "created_at", "views", "interactions", "count")
    }
    facets = {f: np.append(c, -1).astype(np.int32) for f, c in users.facets.items()}
    grown = replace(users, ids=users.ids.extended([A]), facets=facets, **more)
    assert decode_items(encode_items(grown)).ids.rows_of([A]).tolist() == [len(users)]


def test_a_list_stores_its_part(tmp_path: Path) -> None:
    lists = lists_of([2, 0, 3], seed=1)
    plain = tmp_path / "plain.npz"
    lists.save(plain)
    assert "part" not in np.load(plain).files, "a build's files are what they were before there were parts"
    assert RankedLists.open(plain).part.tolist() == [0, 0, 0]
    parted = RankedLists(
        **{**{n: getattr(lists, n) for n in lists.__dataclass_fields__}, "part": np.array([0, 2, 1], np.uint16)}
    )
    parted.save(tmp_path / "parted.npz")
    again = RankedLists.open(tmp_path / "parted.npz").take(np.array([2, 0]))
    assert [decode_list(v).part for v in encode_lists(again)] == [1, 0]
    assert encode_lists(again) == [encode_lists(parted)[i] for i in (2, 0)]
    assert parted.without(int(lists.owner[0]), -1).part.tolist() == [2, 1]
