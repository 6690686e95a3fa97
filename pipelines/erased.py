"""Who was erased, as exports, drains and releases have to know."""

from __future__ import annotations

from sqlalchemy import Connection, text

import sql
from models.nouns.erased import Erased
from models.nouns.id_map import IdMap

_FOLDER = "erasure"


def erased_of(connection: Connection) -> Erased:
    """Everybody who was erased."""
    found = connection.execute(text(sql.load("known", _FOLDER))).one()
    return Erased(bytes(found.key), frozenset(found.marks))


def returned(erased: Erased, *people: IdMap) -> set[str]:
    """Ids of these tables that belong to somebody who was erased."""
    return {str(i) for ids in people for i in ids.ids[erased.mask(ids.packed())]}
