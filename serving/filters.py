"""Filters of served lists: items that the owner met since the build, and hidden startups and users."""

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

from models.data.entities import ID_BYTES, Erased, IdMap
from models.errors import ServiceError
from models.lists.redis_format import StoredList
from models.schema import Entity
from serving.clients.postgres import Database
from serving.clients.redis import Cache
from serving.releases import HeldRelease

log = logging.getLogger("matchbook.reader")

ASK_S = 15.0  # seconds between reads of PostgreSQL while Redis has no hidden ids


@dataclass(frozen=True, eq=False)
class _Sets:
    """The hidden ids of one version. masks: by entity, a release and the (n,) bool of its hidden rows."""

    version: bytes = b""
    ids: Mapping[Entity, frozenset[bytes]] = field(default_factory=lambda: dict.fromkeys(Entity, frozenset()))
    erased: Erased = field(default_factory=Erased)
    masks: dict[Entity, tuple[str, NDArray[Any]]] = field(default_factory=dict)


class Hidden:
    """Holds the hidden ids of both entities and follows their version. One assignment replaces all sets.

    PostgreSQL is the source, Redis a copy. While Redis does not have them, PostgreSQL is read every ASK_S seconds.
    """

    def __init__(self, cache: Cache, database: Database) -> None:
        self._cache, self._database = cache, database
        self._sets = _Sets()
        self._ask_at = 0.0
        self.known = False  # whether the sets were ever read

    def follow(self) -> None:
        """Read the version once and load changed sets. After a failure the present sets stay."""
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
                log.warning("neither Redis nor PostgreSQL gives the hidden ids: %s", error)

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
        """Return whether this id is hidden: a withdrawn startup, or a user who opted out."""
        ids = self._sets.ids[entity]
        return bool(ids) and UUID(id).bytes in ids

    def erased(self, ids: Iterable[str]) -> set[str]:
        """Return the ids that were erased. Nothing may be stored about them, not even a request."""
        return self._sets.erased.among(ids)

    def mask(self, held: HeldRelease, entity: Entity) -> NDArray[Any] | None:
        """Return the hidden rows of a release, (n,) bool or None. Computed once per release and version."""
        sets = self._sets
        if not sets.ids[entity]:
            return None
        release, mask = sets.masks.get(entity, ("", np.zeros(0, bool)))
        if release != held.id:
            mask = np.zeros(len(held.items[entity].ids), bool)
            packed = np.frombuffer(b"".join(sets.ids[entity]), np.uint8).reshape(-1, 16)
            rows = held.items[entity].ids.find(packed)
            mask[rows[rows >= 0]] = True
            sets.masks[entity] = (held.id, mask)
        return mask


def without(listing: StoredList, out: NDArray[np.bool_]) -> StoredList:
    """Return the list without the masked places, in the same order."""
    keep = ~out
    return replace(
        listing,
        item=listing.item[keep],
        score=listing.score[keep],
        source=listing.source[keep],
        reason=listing.reason[keep],
    )


def met_places(listing: StoredList, items: IdMap, since: Sequence[bytes]) -> NDArray[np.bool_]:
    """Mark the places of the list with one of these items, (places,) bool. Values that are no id are ignored."""
    packed = b"".join(i for i in since if len(i) == ID_BYTES)
    met = items.find(np.frombuffer(packed, np.uint8).reshape(-1, ID_BYTES))
    return (listing.item[:, None] == met).any(axis=1)  # five times as fast as np.isin for a few ids


def packed_items(listing: StoredList, items: IdMap) -> list[bytes]:
    """Return the 16 id bytes of each place."""
    return [row.tobytes() for row in items.packed()[listing.item]]
