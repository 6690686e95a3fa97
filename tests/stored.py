"""Read Redis as bytes: redis-py declares `bytes | str | None` for every answer of any client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import redis

from models.lists.redis_format import Keys

Entry = dict[bytes, bytes]


def value(client: redis.Redis, key: str | bytes) -> bytes:
    """Return the string under a key, which must exist."""
    return _bytes(client.get(key))


def text(client: redis.Redis, key: str | bytes) -> str:
    return value(client, key).decode()


def texts(client: redis.Redis, key: str | bytes) -> list[str]:
    return [_bytes(v).decode() for v in client.lrange(key, 0, -1)]


def type_of(client: redis.Redis, key: str | bytes) -> str:
    return _bytes(client.type(key)).decode()


def cell(client: redis.Redis, key: str | bytes, field: bytes) -> bytes:
    """Return one field of a hash, which must exist."""
    return _bytes(client.hget(key, field))


def cells(client: redis.Redis, key: str | bytes) -> Entry:
    return {_bytes(f): _bytes(v) for f, v in client.hgetall(key).items()}


def entries(client: redis.Redis, stream: str | bytes) -> list[Entry]:
    return [{_bytes(f): _bytes(v) for f, v in (fields or {}).items()} for _, fields in client.xrange(stream) or ()]


def append(client: redis.Redis, keys: Keys, fields: Mapping[Any, Any], id: str = "*") -> bytes:
    """Add an entry to the stream of events. Return its id."""
    return _bytes(client.xadd(keys.events, dict(fields), id=id))


def command(client: redis.Redis, *words: str | bytes) -> Any:
    """Run a command that redis-py has no method for."""
    return client.execute_command(*words)  # type: ignore[no-untyped-call]


def _bytes(found: object) -> bytes:
    assert isinstance(found, bytes), f"Redis has {found!r} where bytes were expected"
    return found
