"""Ids of the platform (UUIDs) and their row numbers."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from models.errors import DataError

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class IdMap:
    """Sorted unique UUID strings; the row number of an id is its place in `ids`.

    ids: (n,) array of dtype U36, lower case, ascending. Because ids ascend, breaking a tie by row number
    breaks it by id. An IdMap is never renumbered: another set of ids is another IdMap.
    """

    ids: np.ndarray

    def __post_init__(self) -> None:
        if self.ids.dtype != np.dtype("<U36") or (len(self.ids) > 1 and not (self.ids[:-1] < self.ids[1:]).all()):
            raise DataError(f"ids must be a sorted array of unique U36 strings, got {self.ids.dtype} x {len(self.ids)}")

    @classmethod
    def of(cls, ids: Iterable[str]) -> IdMap:
        """The map of any ids, repeated and in any order."""
        return cls(np.unique(np.asarray(list(ids), dtype="<U36")))

    def __len__(self) -> int:
        return len(self.ids)

    def rows_of(self, ids: np.ndarray | Iterable[str]) -> np.ndarray:
        """(m,) int32 row of each id, -1 where it is unknown."""
        wanted = np.asarray(ids if isinstance(ids, np.ndarray) else list(ids), dtype="<U36")
        if not len(self.ids):
            return np.full(len(wanted), -1, np.int32)
        place = np.minimum(np.searchsorted(self.ids, wanted), len(self.ids) - 1)
        return np.where(self.ids[place] == wanted, place, -1).astype(np.int32)

    def packed(self) -> np.ndarray:
        """(n, 16) uint8: the UUIDs' bytes, for storage and as Redis fields."""
        return pack_ids(self.ids)

    @classmethod
    def from_packed(cls, packed: np.ndarray) -> IdMap:
        """The inverse of `packed`."""
        return cls(unpack_ids(packed))


def is_id(text: str) -> bool:
    """Whether a text is a UUID in its usual form, with four dashes, in any case of letters."""
    return _ID.fullmatch(text) is not None


def pack_ids(ids: np.ndarray) -> np.ndarray:
    """(n, 16) uint8 bytes of n UUID strings."""
    text = "".join(ids.tolist()).replace("-", "")
    return np.frombuffer(bytes.fromhex(text), np.uint8).reshape(-1, 16)


def unpack_ids(packed: np.ndarray) -> np.ndarray:
    """(n,) U36 strings of (n, 16) uint8 bytes."""
    raw = np.ascontiguousarray(packed, np.uint8).tobytes()
    strings = [str(uuid.UUID(bytes=raw[i : i + 16])) for i in range(0, len(raw), 16)]
    return np.array(strings, dtype="<U36")
