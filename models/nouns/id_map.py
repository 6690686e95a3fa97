"""Ids of the platform (UUIDs) and their row numbers."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from models.errors import DataError

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
#: It names nobody (RFC 9562, 5.9): rows with it are set aside, and its bytes stand for a blank row.
NIL = str(uuid.UUID(int=0))
ID_BYTES = 16


@dataclass(frozen=True, eq=False)
class IdMap:
    """Sorted unique UUID strings; the row number of an id is its place in `ids`.

    ids: (n,) array of dtype U36, lower case, ascending. Because ids ascend, breaking a tie by row number
    breaks it by id. An IdMap is never renumbered: another set of ids is another IdMap. Who was erased leaves a blank
    row: it keeps its number and no id finds it. later: how many rows at the end were appended to a map that was in use
    already; each batch of them ascends, so the numbers of all others stay what they were.
    """

    ids: np.ndarray
    later: int = 0

    def __post_init__(self) -> None:
        first, there = self.ids[: len(self.ids) - self.later], self._there[0]
        first = first[first != ""]
        if (
            self.ids.dtype != np.dtype("<U36")
            or not 0 <= self.later <= len(self.ids)
            or not (first[:-1] < first[1:]).all()
            or not (there[:-1] < there[1:]).all()
        ):
            raise DataError(f"ids must be a sorted array of unique U36 strings, got {self.ids.dtype} x {len(self.ids)}")
        if len(there) and there[0] == NIL:
            raise DataError(f"expected ids that name somebody, got the nil UUID {NIL}; leave its rows out")

    @classmethod
    def of(cls, ids: Iterable[str]) -> IdMap:
        """The map of any ids, repeated and in any order."""
        return cls(np.unique(np.asarray(list(ids), dtype="<U36")))

    def __len__(self) -> int:
        return len(self.ids)

    def rows_of(self, ids: np.ndarray | Iterable[str]) -> np.ndarray:
        """(m,) int32 row of each id, -1 where it is unknown."""
        wanted = np.asarray(ids if isinstance(ids, np.ndarray) else list(ids), dtype="<U36")
        there, rows = self._there
        if not len(there):
            return np.full(len(wanted), -1, np.int32)
        place = np.minimum(np.searchsorted(there, wanted), len(there) - 1)
        return np.where(there[place] == wanted, rows[place], -1).astype(np.int32)

    def without(self, row: int) -> IdMap:
        """The same rows, this one blank."""
        ids = self.ids.copy()
        ids[row] = ""
        return IdMap(ids, self.later)

    def extended(self, ids: np.ndarray | Iterable[str]) -> IdMap:
        """The same rows, and those of further ids behind them. Raises DataError where one of them is known."""
        more = IdMap.of(ids).ids
        return IdMap(np.concatenate([self.ids, more]), self.later + len(more))

    @property
    def blank(self) -> np.ndarray:
        """(n,) bool, rows of those who were erased."""
        return np.asarray(self.ids == "")

    @cached_property
    def _there(self) -> tuple[np.ndarray, np.ndarray]:
        """The ids that are not blank, ascending, and their rows."""
        rows = np.flatnonzero(~self.blank)
        if self.later:
            rows = rows[np.argsort(self.ids[rows], kind="stable")]
        return (self.ids if len(rows) == len(self.ids) and not self.later else self.ids[rows]), rows

    def packed(self) -> np.ndarray:
        """(n, 16) uint8: the UUIDs' bytes, for storage and as Redis fields; a blank row is all zeros."""
        return pack_ids(self.ids)

    @classmethod
    def from_packed(cls, packed: np.ndarray, later: int = 0) -> IdMap:
        """The inverse of `packed`."""
        return cls(unpack_ids(packed), later)


def is_id(text: str) -> bool:
    """Whether a text is a UUID in its usual form, with four dashes, in any case of letters."""
    return _ID.fullmatch(text) is not None


def pack_ids(ids: np.ndarray) -> np.ndarray:
    """(n, 16) uint8 bytes of n UUID strings, zeros for a blank one."""
    text = "".join(i or NIL for i in ids.tolist()).replace("-", "")
    return np.frombuffer(bytes.fromhex(text), np.uint8).reshape(-1, 16)


def unpack_ids(packed: np.ndarray) -> np.ndarray:
    """(n,) U36 strings of (n, 16) uint8 bytes, blank for zeros."""
    raw = np.ascontiguousarray(packed, np.uint8).tobytes()
    strings = [str(uuid.UUID(bytes=raw[i : i + 16])) for i in range(0, len(raw), 16)]
    return np.array(["" if s == NIL else s for s in strings], dtype="<U36")
