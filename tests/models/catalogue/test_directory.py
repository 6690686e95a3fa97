"""Find rows by the words of their names, in every script, also after new rows and erasures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.catalogue.directory import (
    WORD,
    Directory,
    directory_columns,
    extended_columns,
    shown_names,
    without_words,
)
from models.data.bundle import Bundle
from models.data.entities import IdMap
from models.schema import Entity
from models.words import words

NAMES = ["Ada Lovelace", "", "Engine Works", "ada O'Hara", "李明华", "Łukasz  Żółw", "Ada Lovelace"]


def bundle_of(names: list[str]) -> Bundle:
    ids = IdMap.from_ids(f"{i:08x}-0000-4000-8000-000000000000" for i in range(1, len(names) + 1))
    return Bundle("catalogue_v1", {}, directory_columns(Entity.USER, names), {"user": ids})


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("ada", [0, 3, 6]),
        ("LOVE ad", [0, 6]),
        ("o'h", [3]),
        ("李明", [4]),
        ("李", [4]),
        ("明华", [4]),
        ("zolw", []),
        ("żó", [5]),
        ("engine  works ", [2]),
        ("adaa", []),
        ("", []),
        ("--", []),
    ],
)
def test_each_word_of_a_search_starts_a_word_of_the_name(text: str, rows: list[int]) -> None:
    assert Directory.of(bundle_of(NAMES), Entity.USER).find(text).tolist() == rows


def test_rows_are_ordered_by_name_and_nameless_ones_are_last() -> None:
    assert np.argsort(Directory.of(bundle_of(NAMES), Entity.USER).rank).tolist() == [0, 6, 3, 2, 5, 4, 1]


@given(st.lists(st.text("abß ǅ李+", max_size=40), max_size=8), st.text("abß ǅ李+", max_size=4))
def test_the_table_finds_what_reading_every_name_finds(names: list[str], text: str) -> None:
    asked = [w.encode()[: WORD.itemsize] for w in words(text)]
    expected = [
        row
        for row, name in enumerate(names)
        if asked and all(any(w.encode()[: WORD.itemsize].startswith(a) for w in words(name)) for a in asked)
    ]
    assert Directory.of(bundle_of(names), Entity.USER).find(text).tolist() == expected


def test_new_rows_are_found_and_come_last() -> None:
    before = bundle_of(NAMES[:4])
    after = extended_columns(before, Entity.USER, ["Ada Abel", ""], 6)
    ids = before.maps["user"].extended([f"000000{i}0-0000-4000-8000-000000000000" for i in (5, 6)])
    found = Directory.of(Bundle("catalogue_v1", {}, after, {"user": ids}), Entity.USER)
    assert found.find("ada").tolist() == [0, 3, 4] and np.argsort(found.rank).tolist() == [0, 3, 2, 1, 4, 5]


def test_an_erased_row_leaves_no_word() -> None:
    before = bundle_of(NAMES)
    after = {**before.arrays, **without_words(before.arrays, Entity.USER, 2)}
    assert b"works" in before.arrays["user_word"] and b"works" not in after["user_word"]
    assert len(after["user_word"]) == len(before.arrays["user_word"]) - 2


def test_a_bundle_of_an_older_version_has_the_order_of_ids_and_no_words() -> None:
    old = Bundle("catalogue_v1", {}, {}, bundle_of(NAMES).maps)
    found = Directory.of(old, Entity.USER)
    assert found.word is None and found.find("ada").tolist() == [] and np.argsort(found.rank).tolist() == list(range(7))
    assert extended_columns(old, Entity.USER, [], 7) == {} and without_words(old.arrays, Entity.USER, 1) == {}


def test_the_shown_name_is_the_first_that_is_not_blank() -> None:
    assert shown_names({"headline": ["Maker", "Dev"], "name": ["", "Ada"], "skills": ["x", "y"]}) == ["Maker", "Ada"]
    assert shown_names({"name": ["Works"]}) == ["Works"]


def test_the_arrays_have_the_declared_types() -> None:
    found = directory_columns(Entity.STARTUP, NAMES)
    kinds = {name: column.dtype for name, column in found.items()}
    assert kinds == {"startup_word": WORD, "startup_word_row": np.int32, "startup_name_rank": np.int32}
