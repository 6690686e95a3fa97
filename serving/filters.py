"""What of a list is left out when it is handed out: whom the owner met since, and whoever is hidden."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from models.data.entities import ID_BYTES, Erased, IdMap, pack_ids, unpack_ids
from models.errors import ServiceError
from models.lists.redis_format import StoredList
from models.schema import Entity
from serving.clients.postgres import Database
from serving.clients.redis import Cache
from serving.releases import HeldRelease

log = logging.getLogger("matchbook.reader")

ASK_S = 15.0  # so often PostgreSQL is asked while Redis does not say who is hidden


@dataclass(frozen=True, eq=False)
class _Sets:
    """The sets of one version. masks: by kind the release and, of each of its rows, whether it is hidden."""

    version: bytes = b""
    ids: Mapping[Entity, frozenset[bytes]] = field(default_factory=lambda: dict.fromkeys(Entity, frozenset()))
    erased: Erased = field(default_factory=Erased)
    masks: dict[Entity, tuple[str, NDArray[Any]]] = field(default_factory=dict)


class Hidden:
    """Holds the hidden ids of both kinds and follows their version. Taken over by one assignment, as releases are.

    Redis has them from PostgreSQL. Where Redis is down or has lost them, PostgreSQL is asked itself, now and then.
    """

    def __init__(self, cache: Cache, database: Database) -> None:
        self._cache, self._database = cache, database
        self._sets = _Sets()
        self._ask_at = 0.0
        self.known = False  # whether anybody has said yet who is hidden

    def follow(self) -> None:
        """Look at the version once and take over what changed; on any failure what is held stays."""
        try:
            version = self._cache.get(self._cache.keys.hidden_version)
            if version is not None:
                if version != self._sets.version:
                    self._take_over(_Sets(version, *self._cache.hidden()))
                return
        except ServiceError as error:
            log.debug("the hidden sets cannot be followed in Redis: %s", error)
        if time.monotonic() >= self._ask_at:
            self._ask_at = time.monotonic() + ASK_S
            try:
                self._take_over(_Sets(b"", self._database.hidden(datetime.now(UTC)), self._sets.erased))
            except ServiceError as error:
                log.warning("nobody says who is hidden, neither Redis nor PostgreSQL: %s", error)

    def _take_over(self, sets: _Sets) -> None:
        changed = (sets.ids, sets.erased) != (self._sets.ids, self._sets.erased)
        self._sets, self.known = sets, True
        if changed:
            log.info(
                "hidden: %d startups, %d people; erased: %d",
                len(sets.ids[Entity.STARTUP]),
                len(sets.ids[Entity.USER]),
                len(sets.erased.marks),
            )

    def holds(self, entity: Entity, id: str) -> bool:
        """Whether this one is hidden: a withdrawn startup, or somebody who opted out."""
        ids = self._sets.ids[entity]
        return bool(ids) and UUID(id).bytes in ids

    def erased(self, ids: Iterable[str]) -> set[str]:
        """Those of these ids that were erased: nothing may be kept of them, not even that somebody asked."""
        return self._sets.erased.among(ids)

    def mask(self, held: HeldRelease, entity: Entity) -> NDArray[Any] | None:
        """(n,) bool of a release's rows: hidden; None where nobody is. Found once per release and version."""
        sets = self._sets
        if not sets.ids[entity]:
            return None
        release, mask = sets.masks.get(entity, ("", np.zeros(0, bool)))
        if release != held.id:
            mask = np.zeros(len(held.items[entity].ids), bool)
            packed = np.frombuffer(b"".join(sets.ids[entity]), np.uint8).reshape(-1, 16)
            rows = held.items[entity].ids.rows_of(unpack_ids(packed))
            mask[rows[rows >= 0]] = True
            sets.masks[entity] = (held.id, mask)
        return mask


def without(listing: StoredList, out: NDArray[np.bool_]) -> StoredList:
    """The list without the places of a mask; the others keep their order and move up."""
    keep = ~out
    return replace(
        listing,
        item=listing.item[keep],
        score=listing.score[keep],
        source=listing.source[keep],
        reason=listing.reason[keep],
    )


def met_places(listing: StoredList, items: IdMap, since: Sequence[bytes]) -> NDArray[np.bool_]:
    """(places,) bool: the items among these ids, ID_BYTES each; what is no id is none of them."""
    packed = b"".join(i for i in since if len(i) == ID_BYTES)
    met = items.rows_of(unpack_ids(np.frombuffer(packed, np.uint8).reshape(-1, ID_BYTES)))
    return (listing.item[:, None] == met).any(axis=1)  # five times as fast as np.isin for the usual handful


def packed_items(listing: StoredList, items: IdMap) -> list[bytes]:
    """The 16 id bytes of each place."""
    return [row.tobytes() for row in pack_ids(items.ids[listing.item])]
