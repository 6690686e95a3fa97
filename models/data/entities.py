"""All users or all startups known at a cutoff, as columns; their ids, and the hashes of those who were erased."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from models.errors import DataError
from models.schema import FACETS, Entity, Role, Surface

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

    ids: NDArray[np.str_]
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
    def from_ids(cls, ids: Iterable[str]) -> IdMap:
        """The map of any ids, repeated and in any order."""
        return cls(np.unique(np.asarray(list(ids), dtype="<U36")))

    def __len__(self) -> int:
        return len(self.ids)

    def rows_of(self, ids: NDArray[np.str_] | Iterable[str]) -> NDArray[np.int32]:
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

    def extended(self, ids: NDArray[Any] | Iterable[str]) -> IdMap:
        """The same rows, and those of further ids behind them. Raises DataError where one of them is known."""
        more = IdMap.from_ids(ids).ids
        return IdMap(np.concatenate([self.ids, more]), self.later + len(more))

    @property
    def blank(self) -> NDArray[np.bool_]:
        """(n,) bool, rows of those who were erased."""
        return np.asarray(self.ids == "")

    @cached_property
    def _there(self) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
        """The ids that are not blank, ascending, and their rows."""
        rows = np.flatnonzero(~self.blank)
        if self.later:
            rows = rows[np.argsort(self.ids[rows], kind="stable")]
        return (self.ids if len(rows) == len(self.ids) and not self.later else self.ids[rows]), rows

    def packed(self) -> NDArray[np.uint8]:
        """(n, 16) uint8: the UUIDs' bytes, for storage and as Redis fields; a blank row is all zeros."""
        return pack_ids(self.ids)

    @classmethod
    def from_packed(cls, packed: NDArray[np.uint8], later: int = 0) -> IdMap:
        """The inverse of `packed`."""
        return cls(unpack_ids(packed), later)


def is_id(text: str) -> bool:
    """Whether a text is a UUID in its usual form, with four dashes, in any case of letters."""
    return _ID.fullmatch(text) is not None


def pack_ids(ids: NDArray[np.str_]) -> NDArray[np.uint8]:
    """(n, 16) uint8 bytes of n UUID strings, zeros for a blank one."""
    text = "".join(i or NIL for i in ids.tolist()).replace("-", "")
    return np.frombuffer(bytes.fromhex(text), np.uint8).reshape(-1, 16)


def unpack_ids(packed: NDArray[np.uint8]) -> NDArray[np.str_]:
    """(n,) U36 strings of (n, 16) uint8 bytes, blank for zeros."""
    raw = np.ascontiguousarray(packed, np.uint8).tobytes()
    strings = [str(uuid.UUID(bytes=raw[i : i + 16])) for i in range(0, len(raw), 16)]
    return np.array(["" if s == NIL else s for s in strings], dtype="<U36")


UNKNOWN_TIME = np.iinfo(np.int64).min


@dataclass(frozen=True, eq=False)
class Entities:
    """Everybody of one kind at the cutoff; row numbers are those of `ids` everywhere in a release.

    role: (n,) int8 code of `Role`, -1 for startups and for people of another role.
    listed: (n,) bool, may stand in a list (not withdrawn, not opted out at the cutoff).
    opted_out: (n,) bool, wants no personalisation (L07, R23). founder: (n,) int32 user row of a startup's
    founder, -1 unknown. created_at: (n,) int64 microseconds, UNKNOWN_TIME where blank.
    views, interactions: (n,) int64 totals before the cutoff. count: (n,) int32 the interaction count that routes
    (R09). facets: (n,) int32 codes by FACETS, -1 blank; labels: the text of each code. withheld: profile fields that
    the build left out; whoever reads a later profile leaves them out, too.
    """

    entity: Entity
    ids: IdMap
    role: NDArray[np.int8]
    listed: NDArray[np.bool_]
    opted_out: NDArray[np.bool_]
    founder: NDArray[np.int32]
    created_at: NDArray[np.int64]
    views: NDArray[np.int64]
    interactions: NDArray[np.int64]
    count: NDArray[np.int32]
    facets: Mapping[str, NDArray[np.int32]]
    labels: Mapping[str, tuple[str, ...]]
    withheld: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        columns = [
            self.role,
            self.listed,
            self.opted_out,
            self.founder,
            self.created_at,
            self.views,
            self.interactions,
            self.count,
            *self.facets.values(),
        ]
        if any(len(c) != len(self.ids) for c in columns) or set(self.facets) != set(FACETS):
            raise DataError(f"every column of {self.entity}s must have {len(self.ids)} rows and every facet a column")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def all_met(self) -> bool:
        """Whether everybody listed has an interaction. Such a marketplace was chosen by it: at an earlier instant, who
        had none yet was sure to get one, or would not be here, which teaches nothing about now. Leave them out there.
        """
        return bool(self.count[self.listed].all())

    def told(self, profile: Mapping[str, str]) -> dict[str, str]:
        """The fields of a profile that the models may read."""
        return {field: words for field, words in profile.items() if field not in self.withheld}

    def items_of(self, surface: Surface) -> NDArray[np.int32]:
        """(m,) int32 ascending rows that may stand in this surface's lists."""
        shown = self.listed if surface.item is Entity.STARTUP else self.listed & self._has(surface.role)
        return np.flatnonzero(shown).astype(np.int32)

    def owners_of(self, surface: Surface) -> NDArray[np.int32]:
        """(m,) int32 ascending rows that own a list on this surface: users of the role, or every startup."""
        mine = ~self.ids.blank if surface.owner is Entity.STARTUP else self._has(surface.role)
        return np.flatnonzero(mine).astype(np.int32)

    def _has(self, role: Role) -> NDArray[np.bool_]:
        return self.role == role.code


_SPELT = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
#: In the hash `Keys.erased` the key of the marks; every other field is a mark.
KEY_FIELD = b"key"


@dataclass(frozen=True)
class Erased:
    """Everybody who was erased: the key of the marks and the marks (32 hex digits each)."""

    key: bytes = b""
    marks: frozenset[str] = frozenset()

    def mask(self, packed: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """(n,) bool of (n, 16) uint8 ids: who was erased. Costs nothing where nobody was."""
        if not self.marks:
            return np.zeros(len(packed), bool)
        raw = np.ascontiguousarray(packed, np.uint8).tobytes()
        return np.array([self._mark(raw[i : i + 16]) in self.marks for i in range(0, len(raw), 16)], bool)

    def among(self, ids: Iterable[str]) -> set[str]:
        """Those of these ids (as text) that were erased."""
        return {i for i in ids if self._mark(UUID(i).bytes) in self.marks} if self.marks else set()

    def named_in(self, text: str) -> set[str]:
        """Ids of erased people that stand in a text, as tables spell them."""
        return self.among({str(UUID(found)) for found in _SPELT.findall(text)}) if self.marks else set()

    def fields(self) -> dict[Any, Any]:
        """As a hash in Redis; marks as 16 bytes."""
        return {KEY_FIELD: self.key, **{bytes.fromhex(mark): b"" for mark in self.marks}}

    @classmethod
    def of_fields(cls, found: dict[bytes, bytes]) -> Erased:
        """The inverse of `fields`; nobody where the hash is missing."""
        return cls(found.get(KEY_FIELD, b""), frozenset(field.hex() for field in found if field != KEY_FIELD))

    def _mark(self, packed: bytes) -> str:
        """As `matchbook_mark` in the database."""
        return hashlib.sha256(self.key + packed).hexdigest()[:32]
