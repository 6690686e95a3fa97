"""The door to Redis: one connection a thread, a time-out on every wait, one error for whatever goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from models.errors import SettingsError
from models.nouns.release import Keys
from models.settings import Settings
from serving.doors.breaker import Breaker


class Cache:
    """Every question the reader asks of Redis. Each raises ServiceError where it does not answer in time."""

    def __init__(self, settings: Settings) -> None:
        if not settings.redis_url.reveal():
            raise SettingsError("REDIS_URL must name the Redis that holds the lists, e.g. redis://127.0.0.1:6379/0; "
                                "`make up` starts one and fills it in")
        self.keys = Keys(settings.namespace)
        self.breaker = Breaker("Redis")
        patience = settings.redis_timeout_s
        # one retry, for a connection that a restart of the server left dead; never one after a time-out
        self._pool = redis.ConnectionPool.from_url(
            settings.redis_url.reveal(), socket_timeout=patience, socket_connect_timeout=patience,
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)))
        self._mine = threading.local()  # taking a connection out of the pool and back costs a third of a GET

    def get(self, key: str) -> bytes | None:
        """The value of a key."""
        found: bytes | None = self._ask(lambda r: r.get(key))
        return found

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values of keys, in one round trip."""
        return list(self._ask(lambda r: r.mget(keys))) if keys else []

    def field(self, key: str, field: bytes) -> bytes | None:
        """One field of a hash: the whole of a hit."""
        found: bytes | None = self._ask(lambda r: r.hget(key, field))
        return found

    def fields(self, key: str, fields: Sequence[bytes]) -> list[bytes | None]:
        """Several fields of a hash, in one round trip."""
        return list(self._ask(lambda r: r.hmget(key, list(fields)))) if fields else []

    def store(self, entries: Sequence[tuple[str, bytes, int]]) -> None:
        """Write (key, value, seconds to live) entries, in one round trip."""
        def write(r: redis.Redis) -> None:
            pipeline = r.pipeline(transaction=False)
            for key, value, ttl_s in entries:
                pipeline.set(key, value, ex=ttl_s)
            pipeline.execute()
        self._ask(write)

    def ping(self) -> None:
        """Ask for a sign of life."""
        self._ask(lambda r: r.ping())

    def close(self) -> None:
        self._pool.disconnect()

    def _ask(self, question: Callable[[redis.Redis], Any]) -> Any:
        with self.breaker.guard(redis.RedisError, OSError):
            client = getattr(self._mine, "client", None)
            if client is None:
                client = self._mine.client = redis.Redis(connection_pool=self._pool, single_connection_client=True)
            return question(client)
