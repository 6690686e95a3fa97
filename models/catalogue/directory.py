"""Find people and startups by the words of their names, and in the order of their names.

The catalogue's bundle has for each kind

    user_word        (m,) S24, ascending: the words of all names, folded, UTF-8, cut after 24 bytes
    user_word_row    (m,) int32: whose name has the word, ascending within a word
    user_name_rank   (rows,) int32: the place of each row by name; rows without a name are last

It has no names: a page reads the names of its rows from PostgreSQL. The shown name of a person without a
name is the headline. Bundles of older versions have no words, and rows without a rank are in the order of their ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.bundle import Bundle
from models.schema import Entity
from models.words import folded, words

WORD = np.dtype("S24")
#: Texts of a profile that may be shown as the name: the first that is not blank.
SHOWN_AS_NAME = ("name", "headline")
Columns = dict[str, NDArray[Any]]


def shown_names(profiles: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the name of each row of a table of text columns."""
    columns = [profiles[c] for c in SHOWN_AS_NAME if c in profiles]
    return [next((text for text in texts if text), "") for texts in zip(*columns, strict=True)]


def directory_columns(entity: Entity, names: Sequence[str]) -> Columns:
    """Return the arrays of one kind. names: of all rows."""
    key = [folded(name) for name in names]
    order = sorted(range(len(key)), key=lambda row: (not key[row], key[row]))
    rank = np.empty(len(key), np.int32)
    rank[order] = np.arange(len(key), dtype=np.int32)
    return {**_sorted(entity, _pairs(names, 0)), f"{entity}_name_rank": rank}


def extended_columns(before: Bundle, entity: Entity, names: Sequence[str], rows: int) -> Columns:
    """Return the arrays with the names of new last rows, which come last in the order of names too.

    rows: number of all rows. Empty for a bundle without words.
    """
    rank = before.arrays.get(f"{entity}_name_rank")
    if rank is None:
        return {}
    there = zip(before.arrays[f"{entity}_word"].tolist(), before.arrays[f"{entity}_word_row"].tolist(), strict=True)
    later = np.arange(len(rank), rows, dtype=np.int32)
    return {
        **_sorted(entity, chain(there, _pairs(names, rows - len(names)))),
        f"{entity}_name_rank": np.concatenate([rank, later]),
    }


def without_words(arrays: Mapping[str, NDArray[Any]], entity: Entity, row: int) -> Columns:
    """Return the arrays of words without those of one row. Empty for a bundle without words."""
    if f"{entity}_word_row" not in arrays:
        return {}
    kept = arrays[f"{entity}_word_row"] != row
    return {name: arrays[name][kept] for name in (f"{entity}_word", f"{entity}_word_row")}


@dataclass(frozen=True, eq=False)
class Directory:
    """The words and the order of the names of one kind. Columns as in the bundle. word: None in an older bundle."""

    word: NDArray[np.bytes_] | None
    row: NDArray[np.int32]
    rank: NDArray[np.int32]

    @classmethod
    def of(cls, bundle: Bundle, entity: Entity) -> Directory:
        rows = len(bundle.maps[entity.value])
        rank = bundle.arrays.get(f"{entity}_name_rank", np.arange(rows, dtype=np.int32))
        return cls(
            bundle.arrays.get(f"{entity}_word"), bundle.arrays.get(f"{entity}_word_row", np.zeros(0, np.int32)), rank
        )

    def find(self, text: str) -> NDArray[np.int32]:
        """Return the rows, ascending, that have for each word of a text a word that starts with it."""
        asked = words(text)
        if self.word is None or not asked:
            return np.zeros(0, np.int32)
        found = [self._starting(word.encode()[: WORD.itemsize]) for word in asked]
        common = found[0]
        for rows in found[1:]:
            common = np.intersect1d(common, rows, assume_unique=True)
        return common

    def _starting(self, prefix: bytes) -> NDArray[np.int32]:
        assert self.word is not None
        ends = np.array([prefix, prefix.ljust(WORD.itemsize, b"\xff")], WORD)
        first = int(np.searchsorted(self.word, ends[0], "left"))
        return np.unique(self.row[first : int(np.searchsorted(self.word, ends[1], "right"))])


def _pairs(names: Iterable[str], first: int) -> list[tuple[bytes, int]]:
    """Return each word of each name with its row. first: row of the first name."""
    return [(w.encode()[: WORD.itemsize], row) for row, name in enumerate(names, first) for w in set(words(name))]


def _sorted(entity: Entity, pairs: Iterable[tuple[bytes, int]]) -> Columns:
    found = np.fromiter(pairs, [("word", WORD), ("row", np.int32)])
    found = found[np.lexsort((found["row"], found["word"]))]
    fresh = np.ones(len(found), bool)  # long words may be equal after the cut
    fresh[1:] = (found["word"][1:] != found["word"][:-1]) | (found["row"][1:] != found["row"][:-1])
    return {f"{entity}_word": found["word"][fresh].copy(), f"{entity}_word_row": found["row"][fresh].copy()}
