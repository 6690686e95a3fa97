"""Find erased people in exports, drains and releases."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

from sqlalchemy import Connection, text

import sql
from models.data.entities import NIL, Entities, Erased, IdMap
from models.errors import DataError, ReleaseIncomplete
from models.schema import Entity
from models.settings.settings import Settings
from pipelines.postgres import engine, transaction

#: Number of base64 characters that depend only on the 16 bytes of the id.
_BASE64 = 21


@dataclass(frozen=True)
class Person:
    """The id of a user or startup, and its mark: a keyed hash that is constant within one database."""

    id: str
    mark: str

    @property
    def packed(self) -> bytes:
        """Return the 16 bytes that id tables and Redis fields hold."""
        return UUID(self.id).bytes

    @cached_property
    def forms(self) -> tuple[bytes, ...]:
        """Return the id as bytes, text with and without dashes, UTF-32 (NumPy) and base64."""
        texts = [self.id, self.id.upper(), self.id.replace("-", ""), self.id.replace("-", "").upper()]
        coded = {encode(self.packed)[:_BASE64] for encode in (base64.b64encode, base64.urlsafe_b64encode)}
        return (self.packed, *(t.encode() for t in texts), *(t.encode("utf-32-le") for t in texts), *sorted(coded))

    @cached_property
    def spelt(self) -> re.Pattern[str]:
        """Match the id in a text, in any case, with or without dashes."""
        return re.compile("-?".join(self.id.split("-")), re.IGNORECASE)

    @cached_property
    def _raw(self) -> re.Pattern[bytes]:
        others = [re.escape(form) for form in self.forms]
        return re.compile(b"|".join([b"(?i:" + self.spelt.pattern.encode() + b")", *others]))

    def within(self, content: bytes) -> bool:
        """Return whether these bytes hold the id in any form."""
        lowered = content.lower()  # many times faster than a case-insensitive pattern
        return any(form in content for form in self.forms) or any(f in lowered for f in self._texts)

    @property
    def _texts(self) -> tuple[bytes, bytes]:
        return self.id.encode(), self.id.replace("-", "").encode()

    def places(self, content: bytes) -> Iterator[tuple[int, int]]:
        """Yield (start, end) of each occurrence of the id in these bytes."""
        yield from (found.span() for found in self._raw.finditer(content))

    def hidden(self, text: str) -> str:
        """Replace the id by its mark in a text for logs and receipts."""
        return self.spelt.sub(f"<{self.mark}>", text)


def normal_id(given: str) -> str:
    """Return the id in the form that tables hold. Raises DataError."""
    try:
        found = str(UUID(given.strip()))
    except ValueError as error:
        raise DataError(f"expected the id of a person, a UUID such as {UUID(int=1)}, got {given!r}") from error
    if found == NIL:
        raise DataError(f"the nil UUID {NIL} names nobody, so there is nobody to erase")
    return found


_FOLDER = "erasure"


def check_erased(settings: Settings, entities: Mapping[Entity, Entities]) -> None:
    """Raise ReleaseIncomplete if a person was erased after the snapshot was taken."""
    with transaction(engine(settings)) as connection:
        erased = read_erased(connection)
    back = reappeared(erased, *(e.ids for e in entities.values()))
    if back:
        raise ReleaseIncomplete(
            f"{len(back)} people of this build were erased after its start; nothing was stored, start it again"
        )


def read_erased(connection: Connection) -> Erased:
    found = connection.execute(text(sql.load("known", _FOLDER))).one()
    return Erased(bytes(found.key), frozenset(found.marks))


def reappeared(erased: Erased, *people: IdMap) -> set[str]:
    return {str(i) for ids in people for i in ids.text(erased.mask(ids.packed()))}
