"""All users or all startups known at a cutoff, their ids, and keyed hashes of erased ids."""

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
from models.schema import FACETS, Entity, ListKind

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
#: The nil UUID (RFC 9562, 5.9) identifies nobody. Input rows with it are rejected; its bytes encode a blank row.
NIL = str(uuid.UUID(int=0))
ID_BYTES = 16
#: Positions of the 32 hex digits and of the dashes in a UUID's text.
_DIGITS = [i for i, c in enumerate(NIL) if c != "-"]
_DASHES = [i for i, c in enumerate(NIL) if c == "-"]
#: (256, 2) code points of the digits of each byte. (128,) value of each code point that is a digit, else 255.
_TEXT = np.array([[ord(c) for c in f"{byte:02x}"] for byte in range(256)], np.uint32)
_VALUE = np.full(128, 255, np.uint8)
_VALUE[[ord(c) for c in "0123456789abcdef"]] = range(16)


class IdMap:
    """Sorted unique UUIDs. An id's index is its row number. Immutable.

    ids: (n,) array of dtype U36, lower case, ascending: a tie broken by row is broken by id. Rows are never renumbered;
    an erased id leaves a blank row. Only 16 bytes of each are kept.
    later: number of rows appended after the build. Each appended batch ascends.
    Raises DataError for other ids.
    """

    def __init__(self, ids: NDArray[np.str_], later: int = 0) -> None:
        if ids.dtype != np.dtype("<U36"):
            raise DataError(f"expected a sorted array of unique U36 ids, got {ids.dtype} x {len(ids)}")
        packed, valid = _bytes_of(ids)
        if (valid & ~packed.any(axis=1)).any():
            raise DataError(f"expected ids of users or startups, got the nil UUID {NIL}; leave its rows out")
        if len(wrong := ids[~valid & (ids != "")]):
            raise DataError(f"expected UUIDs with dashes, in lower case, got {wrong[0]!r}")
        self._keep(packed, later)

    def _keep(self, packed: NDArray[np.uint8], later: int) -> None:
        self._packed, self._keys, self.later = packed, packed.view(f"S{ID_BYTES}").reshape(-1), later
        first, there = self._keys[: len(self) - later], self._there[0]
        first = first[first != b""]
        if not (0 <= later <= len(self) and (first[:-1] < first[1:]).all() and (there[:-1] < there[1:]).all()):
            raise DataError(f"expected a sorted array of unique ids, got {len(self)}, {later} of them appended later")

    @classmethod
    def from_ids(cls, ids: Iterable[str]) -> IdMap:
        return cls(np.unique(np.asarray(list(ids), dtype="<U36")))

    @classmethod
    def from_packed(cls, packed: NDArray[np.uint8], later: int = 0) -> IdMap:
        """Make the map from (n, 16) bytes of UUIDs; zeros are a blank row."""
        found = cls.__new__(cls)
        found._keep(np.ascontiguousarray(packed, np.uint8), later)
        return found

    def __len__(self) -> int:
        return len(self._packed)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IdMap) and np.array_equal(self._packed, other._packed)

    __hash__ = None  # type: ignore[assignment]

    @property
    def ids(self) -> NDArray[np.str_]:
        """Return (n,) U36 texts, made at each call. `text` makes those of some rows."""
        return unpack_ids(self._packed)

    def text(self, rows: NDArray[Any] | slice) -> NDArray[np.str_]:
        """Return the U36 texts of (m,) rows or of a mask."""
        return unpack_ids(self._packed[rows])

    def taken(self, rows: NDArray[Any] | slice) -> IdMap:
        """Return the map of these rows only; they ascend by id."""
        return IdMap.from_packed(self._packed[rows])

    def rows_of(self, ids: NDArray[np.str_] | Iterable[str]) -> NDArray[np.int32]:
        """Return (m,) row of each id, -1 if unknown."""
        return self.find(_bytes_of(np.asarray(ids if isinstance(ids, np.ndarray) else list(ids), dtype="<U36"))[0])

    def find(self, packed: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Return the row of each of (m, 16) ids as bytes, -1 if unknown."""
        there, rows = self._there
        if not len(there):
            return np.full(len(packed), -1, np.int32)
        wanted = np.ascontiguousarray(packed).view(there.dtype).reshape(-1)
        place = np.minimum(np.searchsorted(there, wanted), len(there) - 1)
        return np.where(there[place] == wanted, place if rows is None else rows[place], -1).astype(np.int32)

    def without(self, row: int) -> IdMap:
        packed = self._packed.copy()
        packed[row] = 0
        return IdMap.from_packed(packed, self.later)

    def extended(self, ids: NDArray[Any] | Iterable[str]) -> IdMap:
        """Append ids and keep all rows. Raises DataError for a known id."""
        more = IdMap.from_ids(ids).packed()
        return IdMap.from_packed(np.concatenate([self._packed, more]), self.later + len(more))

    @property
    def blank(self) -> NDArray[np.bool_]:
        """Return (n,) bool: the row's id was erased."""
        return np.asarray(self._keys == b"")

    @cached_property
    def _there(self) -> tuple[NDArray[np.bytes_], NDArray[np.int64] | None]:
        """Return the ids that are not blank, ascending, and their rows; None if these are 0, 1, 2 ..."""
        blank = self.blank
        if not (self.later or blank.any()):
            return self._keys, None
        rows = np.flatnonzero(~blank)
        rows = rows[np.argsort(self._keys[rows], kind="stable")]
        return self._keys[rows], rows

    def packed(self) -> NDArray[np.uint8]:
        """Return (n, 16) bytes of the UUIDs; zeros for a blank row."""
        return self._packed


def is_id(text: str) -> bool:
    """Return whether a text is a UUID with four dashes, in any case."""
    return _ID.fullmatch(text) is not None


def pack_ids(ids: NDArray[np.str_]) -> NDArray[np.uint8]:
    """Return (n, 16) bytes of n UUID strings; zeros for a blank one."""
    text = "".join(i or NIL for i in ids.tolist()).replace("-", "")
    return np.frombuffer(bytes.fromhex(text), np.uint8).reshape(-1, 16)


def unpack_ids(packed: NDArray[np.uint8]) -> NDArray[np.str_]:
    """Return (n,) U36 strings of (n, 16) uint8 bytes; blank for zeros."""
    text = np.full((len(packed), len(NIL)), ord("-"), np.uint32)
    text[:, _DIGITS] = _TEXT[packed].reshape(-1, 2 * ID_BYTES)
    text[~packed.any(axis=1)] = 0
    return text.view(f"<U{len(NIL)}").reshape(-1)


def _bytes_of(ids: NDArray[np.str_]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return (n, 16) bytes of U36 texts, and (n,) which are UUIDs in lower case; zeros for all others."""
    codes = np.ascontiguousarray(ids).view(np.uint32).reshape(-1, len(NIL))
    digit = _VALUE[np.minimum(codes[:, _DIGITS], 127)]
    valid = (digit < 16).all(axis=1) & (codes[:, _DASHES] == ord("-")).all(axis=1)
    found = np.where(valid[:, None], digit[:, ::2] << 4 | digit[:, 1::2], np.uint8(0))
    return np.ascontiguousarray(found), valid


UNKNOWN_TIME = np.iinfo(np.int64).min


@dataclass(frozen=True, eq=False)
class Entities:
    """All entities of one kind at the cutoff. Every array has the rows of `ids`.

    role: (n,) int8 `Role` code, -1 for startups and unknown roles. listed: (n,) bool, may be recommended.
    opted_out: (n,) bool, opted out of personalisation (L07, R23). founder: (n,) int32 user row of a startup's founder,
    -1 unknown.
    created_at: (n,) int64 microseconds since 1970 UTC, or UNKNOWN_TIME.
    views, interactions: (n,) int64 totals before the cutoff. count: (n,) int32 interaction count for routing (R09).
    facets: (n,) int32 codes by FACETS, -1 blank. labels: the text of each code.
    withheld: profile fields that the build left out. Later profiles are read without them.
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
            raise DataError(
                f"expected {len(self.ids)} rows in every column of {self.entity}s and a column for every facet"
            )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def all_met(self) -> bool:
        """Return whether every listed entity has an interaction.

        At a historical cutoff this is survivorship bias: an entity without interactions was certain to get one. Such
        entities must be left out of the samples.
        """
        return bool(self.count[self.listed].all())

    def known_fields(self, profile: Mapping[str, str]) -> dict[str, str]:
        """Return the profile without the withheld fields."""
        return {field: text for field, text in profile.items() if field not in self.withheld}

    def items_of(self, kind: ListKind) -> NDArray[np.int32]:
        """Return (m,) ascending rows that may be in lists of this kind."""
        shown = self.listed if kind.item is Entity.STARTUP else self.listed & self._has_role_of(kind)
        return np.flatnonzero(shown).astype(np.int32)

    def owners_of(self, kind: ListKind) -> NDArray[np.int32]:
        """Return (m,) ascending rows that get a list of this kind."""
        mine = ~self.ids.blank if kind.owner is Entity.STARTUP else self._has_role_of(kind)
        return np.flatnonzero(mine).astype(np.int32)

    def _has_role_of(self, kind: ListKind) -> NDArray[np.bool_]:
        return np.isin(self.role, [role.code for role in kind.roles])


_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
#: Field of the hash `Keys.erased` that holds the key of the marks. Every other field is a mark.
KEY_FIELD = b"key"


@dataclass(frozen=True)
class Erased:
    """Marks (keyed hashes, 32 hex digits) of all erased ids, and their key."""

    key: bytes = b""
    marks: frozenset[str] = frozenset()

    def mask(self, packed: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return (n,) bool: the id of (n, 16) uint8 bytes was erased."""
        if not self.marks:
            return np.zeros(len(packed), bool)
        raw = np.ascontiguousarray(packed, np.uint8).tobytes()
        return np.array([self._mark(raw[i : i + 16]) in self.marks for i in range(0, len(raw), 16)], bool)

    def among(self, ids: Iterable[str]) -> set[str]:
        return {i for i in ids if self._mark(UUID(i).bytes) in self.marks} if self.marks else set()

    def named_in(self, text: str) -> set[str]:
        """Return the erased ids in a text, in lower case with dashes."""
        return self.among({str(UUID(found)) for found in _UUID.findall(text)}) if self.marks else set()

    def fields(self) -> dict[Any, Any]:
        """Return the fields of a Redis hash, with marks as 16 bytes."""
        return {KEY_FIELD: self.key, **{bytes.fromhex(mark): b"" for mark in self.marks}}

    @classmethod
    def of_fields(cls, found: dict[bytes, bytes]) -> Erased:
        """Invert `fields`. Empty if the hash is missing."""
        return cls(found.get(KEY_FIELD, b""), frozenset(field.hex() for field in found if field != KEY_FIELD))

    def _mark(self, packed: bytes) -> str:
        """Compute the mark like `matchbook_mark` in the database."""
        return hashlib.sha256(self.key + packed).hexdigest()[:32]
