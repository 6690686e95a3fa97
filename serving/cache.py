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
from serving.breaker import Breaker

#: What has another token by now is somebody else's.
_GIVE_UP = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""


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

    def lengths(self, keys: Sequence[str]) -> list[int]:
        """How many fields each of these hashes has, in one round trip."""
        def read(r: redis.Redis) -> list[int]:
            pipeline = r.pipeline(transaction=False)
            for key in keys:
                pipeline.hlen(key)
            return list(pipeline.execute())
        return list(self._ask(read))

    def store(self, entries: Sequence[tuple[str, bytes, int]]) -> None:
        """Write (key, value, seconds to live) entries, in one round trip."""
        def write(r: redis.Redis) -> None:
            pipeline = r.pipeline(transaction=False)
            for key, value, ttl_s in entries:
                pipeline.set(key, value, ex=ttl_s)
            pipeline.execute()
        self._ask(write)

    def claim(self, key: str, token: bytes, ttl_ms: int) -> bytes | None:
        """Write a short lived token where the key is free, in one round trip; None where it was, else what it holds."""
        def write(r: redis.Redis) -> bytes | None:
            pipeline = r.pipeline()
            pipeline.set(key, token, nx=True, px=ttl_ms)
            pipeline.get(key)
            mine, holds = pipeline.execute()
            return None if mine else holds or b"gone"
        found: bytes | None = self._ask(write)
        return found

    def give_up(self, key: str, token: bytes, instead: bytes = b"", ttl_ms: int = 0) -> None:
        """Free a key that holds this token, or leave something else in its place for a while."""
        self._ask(lambda r: r.eval(_GIVE_UP, 1, key, token, instead, ttl_ms))

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
