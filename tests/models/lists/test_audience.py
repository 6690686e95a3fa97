"""Who sees an item: by hand, against a plain count, from files, and as the first version wrote it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data.bundle import sha256_of
from models.data.entities import IdMap
from models.errors import ReleaseIncomplete
from models.lists.audience import (
    SEEN,
    Audience,
    audience_file,
    audience_of,
    ids_file,
    open_audience,
    open_exposure,
    open_ids,
    save_audience,
    save_ids,
)
from models.lists.ranked_lists import RankedLists
from models.lists.release import Release
from models.schema import Entity, Surface
from tests.models.lists.test_redis_format import lists_of
from tests.paths import GOLDEN

SURFACE, ITEMS = Surface.STARTUPS_FOR_INVESTOR, 60
IDS = {
    Entity.USER: IdMap.from_ids(f"{i:08x}-0000-4000-8000-000000000000" for i in range(1, 9)).without(3),
    Entity.STARTUP: IdMap.from_ids(f"{i:08x}-0000-4000-8000-000000000000" for i in range(1, 4)).extended(
        ["00000001-0000-4000-8000-000000000001"]
    ),
}


def with_items(lengths: list[int], seed: int = 0, first: int = 0) -> RankedLists:
    """Return lists of owners first, first + 2 ... with different items in each."""
    random, lists = np.random.default_rng(seed), lists_of(lengths, seed)
    item = np.concatenate([np.zeros(0, np.int32), *(random.permutation(ITEMS)[:n].astype(np.int32) for n in lengths)])
    return replace(lists, item=item, owner=(first + 2 * np.arange(len(lengths))).astype(np.int32))


def release_of(directory: Path) -> Release:
    files = {p.relative_to(directory).as_posix(): sha256_of(p) for p in directory.rglob("*.npy")}
    return Release("r", "", "", "", "", {}, {SURFACE.value: 3}, [], {}, files=files)


def test_three_lists_by_hand() -> None:
    lists = replace(lists_of([3, 0, 2]), item=np.array([4, 1, 2, 1, 4], np.int32), owner=np.array([5, 7, 9], np.int32))
    found = audience_of([lists], 6)
    assert found.exposure.tolist() == [0, 2, 1, 0, 2, 0]
    assert [column.tolist() for column in found.of(1)] == [[9, 5], [1, 2]]
    assert [column.tolist() for column in found.of(4)] == [[5, 9], [1, 2]]
    assert [column.tolist() for column in found.of(0)] == [[], []]


@given(st.lists(st.lists(st.integers(0, 50), max_size=4), max_size=3), st.integers(0, 99))
def test_each_place_up_to_the_last_that_counts_is_there_once(shards: list[list[int]], seed: int) -> None:
    first = np.cumsum([0, *(2 * len(s) for s in shards)]).tolist()
    parts = [with_items(lengths, seed + i, first[i]) for i, lengths in enumerate(shards)]
    expected = {
        (int(item), int(lists.owner[i]), place)
        for lists in parts
        for i in range(len(lists))
        for place, item in enumerate(lists.item[lists.row(i)][:SEEN], 1)
    }
    found = audience_of(parts, ITEMS)
    told = {
        (item, int(owner), int(place)) for item in range(ITEMS) for owner, place in zip(*found.of(item), strict=True)
    }
    assert told == expected and len(found.owner) == len(expected)
    assert all(np.all(np.diff(found.of(item)[1].astype(int)) >= 0) for item in range(ITEMS))


def test_the_files_are_covered_by_checksums(tmp_path: Path) -> None:
    (tmp_path / SURFACE.folder).mkdir()
    made = audience_of([with_items([30, 5, 40])], ITEMS)
    save_audience(tmp_path, SURFACE, made)
    save_ids(tmp_path, IDS)
    release = release_of(tmp_path)

    found = open_audience(tmp_path, release, SURFACE)
    assert found is not None and np.array_equal(found.owner, made.owner) and np.array_equal(found.place, made.place)
    exposure = open_exposure(tmp_path, release, SURFACE)
    assert exposure is not None and np.array_equal(exposure, made.exposure)
    for entity in Entity:
        ids = open_ids(tmp_path, release, entity)
        assert ids == IDS[entity] and ids is not None
        assert ids.rows_of(IDS[entity].ids).tolist() == IDS[entity].rows_of(IDS[entity].ids).tolist()

    changed = tmp_path / audience_file(SURFACE, "place")
    changed.write_bytes(changed.read_bytes()[:-1] + b"\x63")
    with pytest.raises(ReleaseIncomplete, match="audience_place"):
        open_audience(tmp_path, release, SURFACE)
    (tmp_path / ids_file(Entity.USER)).unlink()
    with pytest.raises(ReleaseIncomplete, match="ids_user"):
        open_ids(tmp_path, release, Entity.USER)


def test_a_release_of_an_older_version_has_none(tmp_path: Path) -> None:
    release = release_of(tmp_path)
    assert open_audience(tmp_path, release, SURFACE) is None and open_ids(tmp_path, release, Entity.USER) is None
    assert open_exposure(tmp_path, release, SURFACE) is None


def test_the_first_format_is_still_read() -> None:
    """The first version of this format wrote the golden files. New code must read them."""
    found = open_audience(GOLDEN / "audience_1", release_of(GOLDEN / "audience_1"), SURFACE)
    made = audience_of([with_items([30, 5, 40])], ITEMS)
    assert isinstance(found, Audience)
    for column in ("indptr", "owner", "place"):
        written, now = getattr(found, column), getattr(made, column)
        assert written.dtype == now.dtype and np.array_equal(written, now)
    assert open_ids(GOLDEN / "audience_1", release_of(GOLDEN / "audience_1"), Entity.STARTUP) == IDS[Entity.STARTUP]
