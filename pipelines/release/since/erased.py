"""Who was erased, told to readers and drains through Redis: what is posted about them afterwards is kept nowhere."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from uuid import UUID

import redis
from sqlalchemy import Engine

from models.nouns.erased import KEY_FIELD, Erased
from models.nouns.release import Keys
from models.schema import Entity
from pipelines.erased import erased_of
from pipelines.postgres import transaction

log = logging.getLogger(__name__)
_ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
Entry = tuple[bytes, dict[bytes, bytes] | None]


def follow_erased(database: Engine, client: redis.Redis, keys: Keys) -> Erased:
    """Bring the marks in Redis up to date with PostgreSQL, which is the truth; readers see it within a second.

    The caller wraps Redis errors.
    """
    with transaction(database) as connection:
        erased = erased_of(connection)
    wanted = len(erased.marks) + 1 if erased.marks else 0
    if client.hlen(keys.erased) != wanted or (wanted and client.hget(keys.erased, KEY_FIELD) != erased.key):
        seconds, _ = client.time()
        pipe = client.pipeline(transaction=True)
        pipe.delete(keys.erased)
        if wanted:
            pipe.hset(keys.erased, mapping=erased.fields())
        pipe.set(keys.hidden_version, seconds, nx=True)  # never a number that a reader has held
        pipe.incr(keys.hidden_version)
        pipe.execute()
    return erased


def without_erased(client: redis.Redis, keys: Keys, erased: Erased, entries: Sequence[Entry]) -> list[Entry]:
    """The entries of the stream that name nobody who was erased. The others came in before the reader knew: what it
    noted of them beside the stream is taken back, whatever they say."""
    kept = list[Entry]()
    for name, fields in entries:
        said = _said(fields or {})
        gone = erased.named_in(said)
        if gone:
            _take_back(client, keys, gone, {str(UUID(i)) for i in _ID.findall(said)} - gone)
        else:
            kept.append((name, fields))
    if len(kept) < len(entries):
        log.info("%d entries about erased people are dropped", len(entries) - len(kept))
    return kept


def _said(fields: Mapping[bytes, bytes]) -> str:
    return "\n".join(part.decode(errors="replace") for pair in fields.items() for part in pair)


def _take_back(client: redis.Redis, keys: Keys, gone: set[str], others: set[str]) -> None:
    pipe = client.pipeline(transaction=False)
    for entity in Entity:
        for id in gone:
            pipe.unlink(keys.since(entity, id))
            for other in others:
                pipe.hdel(keys.since(entity, other), UUID(id).bytes)
    pipe.execute()
