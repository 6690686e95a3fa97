"""Erased ids as keyed hashes, which recognise an id but do not reveal it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
#: Field of the hash `Keys.erased` with the key of the marks; every other field is a mark.
KEY_FIELD = b"key"


@dataclass(frozen=True)
class Erased:
    """The key of the marks and the marks (32 hex digits each) of all erased ids."""

    key: bytes = b""
    marks: frozenset[str] = frozenset()

    def mask(self, packed: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """(n,) bool of (n, 16) uint8 ids: erased."""
        if not self.marks:
            return np.zeros(len(packed), bool)
        raw = np.ascontiguousarray(packed, np.uint8).tobytes()
        return np.array([self._mark(raw[i : i + 16]) in self.marks for i in range(0, len(raw), 16)], bool)

    def among(self, ids: Iterable[str]) -> set[str]:
        """The erased ids among these (as text)."""
        return {i for i in ids if self._mark(UUID(i).bytes) in self.marks} if self.marks else set()

    def named_in(self, text: str) -> set[str]:
        """Erased ids that occur in a text, in lower case with dashes."""
        return self.among({str(UUID(found)) for found in _UUID.findall(text)}) if self.marks else set()

    def fields(self) -> dict[Any, Any]:
        """As a Redis hash; marks as 16 bytes."""
        return {KEY_FIELD: self.key, **{bytes.fromhex(mark): b"" for mark in self.marks}}

    @classmethod
    def of_fields(cls, found: dict[bytes, bytes]) -> Erased:
        """The inverse of `fields`; empty if the hash is missing."""
        return cls(found.get(KEY_FIELD, b""), frozenset(field.hex() for field in found if field != KEY_FIELD))

    def _mark(self, packed: bytes) -> str:
        """As `matchbook_mark` in the database."""
        return hashlib.sha256(self.key + packed).hexdigest()[:32]
