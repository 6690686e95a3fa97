"""The door to Redis: one connection a thread, a time-out on every wait, one error for whatever goes wrong."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from models.errors import EventsNotTaken, ServiceError, SettingsError, TooManyRequests
from models.nouns.interactions import Event
from models.nouns.release import Keys, since_value
from models.nouns.vocabulary import Entity, Surface
from models.settings import Settings
from serving.doors.breaker import Breaker

SINCE_MOST = 1000  # fields of a since hash that a hit brings along; beyond it the list's own items are asked for
MINUTE_S = 60
FULL_S = 60  # the drain runs every minute


class _Script:
    """A script that Redis runs as one command, sent as its hash where Redis knows it."""

    def __init__(self, name: str) -> None:
        self.text = (Path(__file__).parent / name).read_text()
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def run(self, client: redis.Redis, keys: Sequence[str], values: Sequence[Any]) -> Any:
        try:
            return client.evalsha(self.sha, len(keys), *keys, *values)
        except redis.exceptions.NoScriptError:  # the first time, and after a restart
            return client.eval(self.text, len(keys), *keys, *values)


_HIT, _POST = _Script("hit.lua"), _Script("post.lua")


@dataclass(frozen=True)
class Found:
    """What Redis holds of one owner. stored: the encoded list, if any. since: 16 id bytes of whom or what the owner met
    since the build; where they are too many to be sent, only their number."""

    stored: bytes | None
    since: Sequence[bytes] | int


class Cache:
    """Every question the reader asks of Redis. Each raises ServiceError where it does not answer in time."""

    def __init__(self, settings: Settings) -> None:
        if not settings.redis_url.reveal():
            raise SettingsError("REDIS_URL must name the Redis that holds the lists, e.g. redis://127.0.0.1:6379/0; "
                                "`make up` starts one and fills it in")
        self.keys = Keys(settings.namespace)
        self.breaker = Breaker("Redis")
        self._settings = settings
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

    def listed(self, key: str) -> list[str]:
        """The entries of a list."""
        return [entry.decode() for entry in self._ask(lambda r: r.lrange(key, 0, -1))]

    def field(self, key: str, field: bytes) -> bytes | None:
        """One field of a hash."""
        found: bytes | None = self._ask(lambda r: r.hget(key, field))
        return found

    def fields(self, key: str, fields: Sequence[bytes]) -> list[bytes | None]:
        """Several fields of a hash, in one round trip."""
        return list(self._ask(lambda r: r.hmget(key, list(fields)))) if fields else []

    def whole(self, key: str) -> Mapping[bytes, bytes]:
        """All of a small hash."""
        return dict(self._ask(lambda r: r.hgetall(key)))

    def hits(self, caller: str, release: str, surface: Surface, owners: Sequence[str]) -> list[Found]:
        """What a release and its since hashes hold of these owners, in one round trip that also counts the request.

        Raises TooManyRequests.
        """
        since = [self.keys.since(surface.owner, o) for o in owners]
        keys = [self._rate(caller), self.keys.lists(release, surface), *since]
        values = [*self._limit(), SINCE_MOST, *(UUID(o).bytes for o in owners)]
        admitted, *found = self._ask(lambda r: _HIT.run(r, keys, values))
        if not admitted:
            raise self._too_many()
        return [Found(*pair) for pair in zip(found[::2], found[1::2], strict=True)]

    def admit(self, caller: str) -> None:
        """Count a request that asks nothing else of Redis. Raises TooManyRequests; lets it pass while Redis is down."""
        if not self._settings.rate_limit:
            return
        try:
            admitted, = self._ask(lambda r: _HIT.run(r, [self._rate(caller), ""], [*self._limit(), 0]))
        except ServiceError:
            return
        if not admitted:
            raise self._too_many()

    def post(self, caller: str, events: Sequence[Event]) -> None:
        """Take events, all or none, in one round trip. Raises TooManyRequests, EventsNotTaken."""
        settings = self._settings
        most = settings.events_waiting_most
        keys: list[str] = [self._rate(caller), self.keys.events]
        values: list[Any] = [*self._limit(), most, int(settings.release_ttl_hours * 3600)]
        for e in events:
            hidden = since_value(e.kind.code, e.at_us) if e.kind.hides(settings.views_are_seen) else b""
            keys += [self.keys.since(Entity.USER, e.user), self.keys.since(Entity.STARTUP, e.startup)]
            values += [*e.entry().values(), UUID(e.user).bytes, UUID(e.startup).bytes, hidden]

        def take(r: redis.Redis) -> Any:
            try:
                return _POST.run(r, keys, values)
            except redis.ResponseError as error:  # it answers, but takes nothing: full, or a replica; reading goes on
                raise ServiceError(f"Redis takes no events: {error}") from error

        said = self._ask(take)
        if said == b"rate":
            raise self._too_many()
        if said == b"full":
            raise EventsNotTaken("events_full", f"at most {most} events waiting for the drain", "as many", FULL_S)

    def hidden(self) -> dict[Entity, frozenset[bytes]]:
        """The hidden ids of both kinds, in one round trip."""
        def read(r: redis.Redis) -> list[set[bytes]]:
            pipeline = r.pipeline(transaction=False)
            for entity in Entity:
                pipeline.smembers(self.keys.hidden(entity))
            return list(pipeline.execute())
        return {e: frozenset(ids) for e, ids in zip(Entity, self._ask(read), strict=True)}

    def waiting(self) -> tuple[int, float]:
        """How many events wait in the stream, and for how many seconds the oldest does; in one round trip."""
        def read(r: redis.Redis) -> tuple[int, list[tuple[bytes, Any]], tuple[int, int]]:
            pipeline = r.pipeline(transaction=False)
            pipeline.xlen(self.keys.events)
            pipeline.xrange(self.keys.events, count=1)
            pipeline.time()
            length, oldest, now = pipeline.execute()
            return length, oldest, now
        length, oldest, (seconds, micros) = self._ask(read)
        since = int(oldest[0][0].split(b"-")[0]) / 1000 if oldest else seconds + micros / 1e6
        return length, max(0.0, seconds + micros / 1e6 - since)

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

    def _rate(self, caller: str) -> str:
        return self.keys.rate(caller, int(time.time()) // MINUTE_S)

    def _limit(self) -> list[int]:
        return [self._settings.rate_limit, 2 * MINUTE_S]

    def _too_many(self) -> TooManyRequests:
        return TooManyRequests(self._settings.rate_limit, MINUTE_S - int(time.time()) % MINUTE_S)

    def _ask(self, question: Callable[[redis.Redis], Any]) -> Any:
        with self.breaker.guard(redis.RedisError, OSError):
            client = getattr(self._mine, "client", None)
            if client is None:
                client = self._mine.client = redis.Redis(connection_pool=self._pool, single_connection_client=True)
            return question(client)
