"""Who was erased, as exports, drains and releases have to know."""

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

#: Characters of base64 that 16 bytes alone decide; the next ones depend on what follows.
_BASE64 = 21


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
        """Packed, as text with and without dashes, in both cases, in base64, and as NumPy's unicode holds it. Texts in
        mixed case are found by `spelt`."""
        texts = [self.id, self.id.upper(), self.id.replace("-", ""), self.id.replace("-", "").upper()]
        coded = {encode(self.packed)[:_BASE64] for encode in (base64.b64encode, base64.urlsafe_b64encode)}
        return (self.packed, *(t.encode() for t in texts), *(t.encode("utf-32-le") for t in texts), *sorted(coded))

    @cached_property
    def spelt(self) -> re.Pattern[str]:
        """The id in a text, in whatever case, with dashes or without."""
        return re.compile("-?".join(self.id.split("-")), re.IGNORECASE)

    @cached_property
    def _raw(self) -> re.Pattern[bytes]:
        others = [re.escape(form) for form in self.forms]
        return re.compile(b"|".join([b"(?i:" + self.spelt.pattern.encode() + b")", *others]))

    def within(self, content: bytes) -> bool:
        """Whether the id stands in these bytes, in any form."""
        lowered = content.lower()  # many times as fast as an expression that minds no case
        return any(form in content for form in self.forms) or any(f in lowered for f in self._texts)

    @property
    def _texts(self) -> tuple[bytes, bytes]:
        return self.id.encode(), self.id.replace("-", "").encode()

    def places(self, content: bytes) -> Iterator[tuple[int, int]]:
        """Where in these bytes the id stands: (start, end)."""
        yield from (found.span() for found in self._raw.finditer(content))

    def hidden(self, text: str) -> str:
        """A text with the id replaced by its mark, fit to be written down."""
        return self.spelt.sub(f"<{self.mark}>", text)


def normal_id(given: str) -> str:
    """The id as tables hold it. Raises DataError."""
    try:
        found = str(UUID(given.strip()))
    except ValueError as error:
        raise DataError(f"expected the id of a person, a UUID such as {UUID(int=1)}, got {given!r}") from error
    if found == NIL:
        raise DataError(f"the nil UUID {NIL} names nobody, so there is nobody to erase")
    return found


_FOLDER = "erasure"


def check_erased(settings: Settings, entities: Mapping[Entity, Entities]) -> None:
    """Raises ReleaseIncomplete where a person was erased after the snapshot was taken."""
    with transaction(engine(settings)) as connection:
        erased = read_erased(connection)
    back = reappeared(erased, *(e.ids for e in entities.values()))
    if back:
        raise ReleaseIncomplete(
            f"{len(back)} of the people in this build were erased since it began; nothing was stored, start it again"
        )


def read_erased(connection: Connection) -> Erased:
    """Everybody who was erased."""
    found = connection.execute(text(sql.load("known", _FOLDER))).one()
    return Erased(bytes(found.key), frozenset(found.marks))


def reappeared(erased: Erased, *people: IdMap) -> set[str]:
    """Ids of these tables that belong to somebody who was erased."""
    return {str(i) for ids in people for i in ids.ids[erased.mask(ids.packed())]}
