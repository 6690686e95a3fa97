"""Who is to be erased: the id in every form in which a file or a key may hold it, and the mark that stands for it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

import numpy as np

from models.errors import DataError
from models.nouns.id_map import NIL, IdMap


@dataclass(frozen=True)
class Person:
    """An id (of a user, or of a startup) and its mark: a keyed hash, the same for the same id in one database."""

    id: str
    mark: str

    @property
    def packed(self) -> bytes:
        """The 16 bytes of id tables and Redis fields."""
        return UUID(self.id).bytes

    @cached_property
    def forms(self) -> tuple[bytes, ...]:
        """Packed, as text with and without dashes, in both cases, and as NumPy's unicode holds it."""
        texts = [self.id, self.id.upper(), self.id.replace("-", ""), self.id.replace("-", "").upper()]
        return (self.packed, *(t.encode() for t in texts), *(t.encode("utf-32-le") for t in texts))

    def within(self, content: bytes) -> bool:
        """Whether the id stands in these bytes, in any form."""
        return any(form in content for form in self.forms)

    def hidden(self, text: str) -> str:
        """A text with the id replaced by its mark, fit to be written down."""
        for form in (self.id, self.id.replace("-", "")):
            text = text.replace(form, f"<{self.mark}>").replace(form.upper(), f"<{self.mark}>")
        return text


def normal_id(given: str) -> str:
    """The id as tables hold it. Raises DataError."""
    try:
        found = str(UUID(given.strip()))
    except ValueError as error:
        raise DataError(f"expected the id of a person, a UUID such as {UUID(int=1)}, got {given!r}") from error
    if found == NIL:
        raise DataError(f"the nil UUID {NIL} names nobody, so there is nobody to erase")
    return found


@dataclass(frozen=True)
class Erased:
    """Everybody who was erased: the key of the marks and the marks."""

    key: bytes
    marks: frozenset[str]

    def mask(self, packed: np.ndarray) -> np.ndarray:
        """(n,) bool of (n, 16) uint8 ids: who was erased. Costs nothing where nobody was."""
        if not self.marks:
            return np.zeros(len(packed), bool)
        raw = np.ascontiguousarray(packed, np.uint8).tobytes()
        return np.array([self._mark(raw[i : i + 16]) in self.marks for i in range(0, len(raw), 16)], bool)

    def _mark(self, packed: bytes) -> str:
        """As `matchbook_mark` in the database."""
        return hashlib.sha256(self.key + packed).hexdigest()[:32]


def returned(erased: Erased, *people: IdMap) -> set[str]:
    """Ids of these tables that belong to somebody who was erased."""
    return {str(i) for ids in people for i in ids.ids[erased.mask(ids.packed())]}
