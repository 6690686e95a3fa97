"""What Redis holds, as bytes: redis-py declares `bytes | str | None` for every answer, whatever the client decodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import redis

from models.lists.redis_format import Keys

Entry = dict[bytes, bytes]


def value(client: redis.Redis, key: str | bytes) -> bytes:
    """The string under a key, which must be there."""
    return _bytes(client.get(key))


def text(client: redis.Redis, key: str | bytes) -> str:
    return value(client, key).decode()


def texts(client: redis.Redis, key: str | bytes) -> list[str]:
    """A whole list."""
    return [_bytes(v).decode() for v in client.lrange(key, 0, -1)]


def cell(client: redis.Redis, key: str | bytes, field: bytes) -> bytes:
    """One field of a hash, which must be there."""
    return _bytes(client.hget(key, field))


def cells(client: redis.Redis, key: str | bytes) -> Entry:
    """A whole hash."""
    return {_bytes(f): _bytes(v) for f, v in client.hgetall(key).items()}


def entries(client: redis.Redis, stream: str | bytes) -> list[Entry]:
    """The fields of every entry."""
    return [{_bytes(f): _bytes(v) for f, v in (fields or {}).items()} for _, fields in client.xrange(stream) or ()]


def append(client: redis.Redis, keys: Keys, fields: Mapping[Any, Any], id: str = "*") -> bytes:
    """Put an entry into the stream of events; gives its id."""
    return _bytes(client.xadd(keys.events, dict(fields), id=id))


def command(client: redis.Redis, *words: str | bytes) -> Any:
    """Run a command that redis-py has no method for."""
    return client.execute_command(*words)  # type: ignore[no-untyped-call]


def _bytes(found: object) -> bytes:
    assert isinstance(found, bytes), f"Redis has {found!r} where bytes were expected"
    return found
