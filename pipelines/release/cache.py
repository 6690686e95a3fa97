"""The one writer-side door to Redis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from models.errors import ServiceError
from models.nouns.release import Keys, Release
from models.settings import Settings


def connect(settings: Settings) -> redis.Redis:
    """A client of the Redis behind REDIS_URL, with patience for bulk writes. Raises ServiceError where none is set."""
    if not settings.redis_url:
        raise ServiceError(
            "no Redis is known: set REDIS_URL, or run a command that starts the embedded one (`make up`)"
        )
    return redis.Redis.from_url(settings.redis_url.reveal(), socket_timeout=60, socket_connect_timeout=5)


@contextmanager
def wrapped(doing: str) -> Iterator[None]:
    """Turn Redis errors into a ServiceError that says what was being done."""
    try:
        yield
    except redis.RedisError as error:
        if "FENCED" in str(error):
            raise ServiceError(
                f"another publisher took over while this one, {doing}, was paused; nothing of this one became "
                "visible, run it again"
            ) from error
        raise ServiceError(
            f"Redis failed while {doing}: {error}; nothing became visible, run it again once Redis answers"
        ) from error


def live_release(client: redis.Redis, keys: Keys) -> Release | None:
    """The manifest of what is live, as Redis has it; None where nothing is. The caller wraps Redis errors."""
    stored = client.get(keys.manifest(text(client.get(keys.current))))
    return Release.from_json(stored) if isinstance(stored, bytes) else None


def text(value: object) -> str:
    """A Redis answer as text; nothing is empty."""
    return value.decode() if isinstance(value, bytes) else str(value or "")
