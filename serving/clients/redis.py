"""Talk to Redis: one connection per thread, a time-out on every wait, ServiceError for every failure.

Each purpose has its own breaker, so a failed write does not stop reads.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import UUID

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from models.data.entities import ID_BYTES, Erased
from models.data.event import Event
from models.data.interactions import instant_us
from models.errors import EventsNotTaken, ServiceError, SettingsError, TooManyEvents, TooManyRequests
from models.lists.redis_format import OWN, Keys, since_meaning, since_value
from models.lists.redis_server import ELSEWHERE, message_of, with_hint
from models.schema import Entity, EventType, ListKind
from models.settings.settings import Settings
from serving.clients.breaker import PAUSE_S, Breaker

SINCE_MOST = 2000  # slots of a since hash that one read scans: enough for about 1000 items
MINUTE_S, DAY_S = 60, 86_400
#: Bytes in Redis of a new since hash and of one more field, as measured (docs/reference/benchmarks.md).
HASH_BYTES, FIELD_BYTES = 120, 80
FULL_S = 60
#: Seconds until a connection is replaced: after a failover it may still lead to the former primary.
CONNECTION_S = 60.0
#: Purposes. Each has its own breaker.
LISTS, LIVE, WRITES, EVENTS, PAGE, RELEASES, SIGN_OF_LIFE = PURPOSES = (
    "lists",
    "live lists",
    "writes",
    "events",
    "page",
    "releases",
    "sign of life",
)
Command = tuple[str | bytes | int, ...]


#: A key with another token belongs to another process.
_GIVE_UP = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
_POST = (Path(__file__).parent / "post.lua").read_text()
_POST_SHA = hashlib.sha1(_POST.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Found:
    """What Redis holds for one owner. stored: the encoded list, or None.

    since: 16 id bytes of each item that the owner acted on after the build; None if one read cannot hold them.
    trouble: why `since` cannot be read, or empty.
    """

    stored: bytes | None
    since: Sequence[bytes] | None
    values: Sequence[bytes] = ()
    trouble: str = ""

    @classmethod
    def of(cls, stored: bytes | None, scan: Any) -> Found:
        """Decode the answer to HSCAN. A refusal becomes the trouble of this owner only."""
        if isinstance(scan, redis.ResponseError):
            return cls(stored, [], [], f"Redis refuses to read what the owner met: {with_hint(message_of(scan))}")
        cursor, pairs = scan
        return cls(stored, pairs[::2] if cursor == b"0" else None, pairs[1::2])

    def met(self, from_us: int) -> int:
        """Count the items that the owner acted on since an instant. The count is a lower bound if `since` is None."""
        if self.since is None:
            return SINCE_MOST // 2
        return sum(code != OWN and at >= from_us for code, at in map(since_meaning, self.values))


class Cache:
    """Sends the reader's requests to Redis. Each raises ServiceError if Redis does not answer in time."""

    def __init__(self, settings: Settings) -> None:
        if not settings.redis_url.reveal():
            raise SettingsError(
                "REDIS_URL must name the Redis that holds the lists, e.g. redis://127.0.0.1:6379/0; "
                "`make up` starts one and fills it in"
            )
        self.keys = Keys(settings.namespace)
        self.breakers = {
            p: Breaker("Redis", _is_silent, lambda e: with_hint(message_of(e)), 0 if p == SIGN_OF_LIFE else PAUSE_S)
            for p in PURPOSES
        }
        self._settings = settings
        patience = settings.reader.redis_timeout_s
        # retry once, for a connection that died with a restart of the server; never after a time-out
        try:
            self._pool = redis.ConnectionPool.from_url(
                settings.redis_address,
                protocol=2,
                socket_timeout=patience,
                socket_connect_timeout=patience,
                retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
            )
        except ValueError as error:
            raise SettingsError(f"REDIS_URL has an option that the client does not take: {error}") from error
        self._mine = threading.local()  # using the pool for each command would cost a third of a GET

    def get(self, key: str, purpose: str = RELEASES) -> bytes | None:
        found: bytes | None = self._ask(purpose, lambda r: r.get(key))
        return found

    def get_many(self, keys: Sequence[str], purpose: str = RELEASES) -> list[bytes | None]:
        """Return the values of keys, in one round trip."""
        return list(self._ask(purpose, lambda r: r.mget(keys))) if keys else []

    def listed(self, key: str) -> list[str]:
        return [entry.decode() for entry in self._ask(PAGE, lambda r: r.lrange(key, 0, -1))]

    def field(self, key: str, field: bytes, purpose: str = PAGE) -> bytes | None:
        found: bytes | None = self._ask(purpose, lambda r: r.hget(key, field))
        return found

    def fields(self, key: str, fields: Sequence[bytes]) -> list[bytes | None]:
        """Return several fields of a hash, in one round trip."""
        return list(self._ask(LISTS, lambda r: r.hmget(key, list(fields)))) if fields else []

    def whole(self, key: str) -> Mapping[bytes, bytes]:
        return dict(self._ask(PAGE, lambda r: r.hgetall(key)))

    def counts(self, release: str, kinds: Sequence[ListKind]) -> dict[ListKind, int]:
        """Count the lists of each kind, popular lists included, in one round trip."""

        def read(r: redis.Redis) -> list[int]:
            pipeline = r.pipeline(transaction=False)
            for kind in kinds:
                pipeline.hlen(self.keys.lists(release, kind))
            return list(pipeline.execute())

        return dict(zip(kinds, self._ask(RELEASES, read), strict=True))

    def about(self) -> Mapping[str, Any]:
        """Return the answer to INFO, or nothing if Redis forbids it."""

        def read(r: redis.Redis) -> Mapping[str, Any]:
            try:
                return dict(r.info())
            except redis.ResponseError:
                return {}

        found: Mapping[str, Any] = self._ask(SIGN_OF_LIFE, read)
        return found

    def hits(self, caller: str, release: str, kind: ListKind, owners: Sequence[str]) -> list[Found]:
        """Read the stored lists and the since hashes of these owners, and count the request, in one round trip.

        Raises TooManyRequests.
        """
        count = self._counting(caller)
        fields = [UUID(o).bytes for o in owners]
        since = [("HSCAN", self.keys.since(kind.owner, o), 0, "COUNT", SINCE_MOST) for o in owners]
        answers = self._together(LISTS, [*count, ("HMGET", self.keys.lists(release, kind), *fields), *since])
        self._admit(answers[: len(count)])
        lists, *scans = answers[len(count) :]
        if isinstance(lists, redis.ResponseError):
            raise ServiceError(f"Redis refuses to read lists: {with_hint(message_of(lists))}")
        return [Found.of(stored, scan) for stored, scan in zip(lists, scans, strict=True)]

    def admit(self, caller: str, count: int | None = None) -> None:
        """Count a request that needs nothing else from Redis. While Redis is down, every request passes.

        count: the caller's requests in this minute, if this one is already counted. Raises TooManyRequests.
        """
        if count is not None:
            self._admit([count])
        elif commands := self._counting(caller):
            with suppress(ServiceError):
                self._admit(self._together(WRITES, commands))

    def now(self) -> datetime:
        """Return the time of the clock of Redis. The times of posted events are checked against it."""
        seconds, micros = self._ask(EVENTS, lambda r: r.time())
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)

    def post(self, caller: str, events: Sequence[Event], received: datetime) -> None:
        """Store all events or none, in one round trip. Raises TooManyRequests, TooManyEvents, EventsNotTaken."""
        keys = [
            self._rate(caller),
            self.keys.events,
            self.keys.posted(caller, int(time.time()) // MINUTE_S),
            self.keys.claimed(caller, int(time.time()) // DAY_S),
        ]
        settings, values = self._settings, self._limits()
        for e in events:
            keys += [self.keys.since(Entity.USER, e.user), self.keys.since(Entity.STARTUP, e.startup)]
            fields = [part for pair in e.entry().items() for part in pair]
            hidden = _hidden_by(e, received, settings.lists.views_are_seen)
            values += [UUID(e.user).bytes, UUID(e.startup).bytes, hidden, len(fields), *fields]

        def take(r: redis.Redis) -> Any:
            try:
                return r.evalsha(_POST_SHA, len(keys), *keys, *values)
            except redis.exceptions.NoScriptError:  # at first use, and after a restart of Redis
                return r.eval(_POST, len(keys), *keys, *values)
            except redis.ResponseError as error:  # Redis is full or a replica: reads still work
                if _is_elsewhere(error):
                    raise
                raise ServiceError(f"Redis takes no events: {with_hint(message_of(error))}") from error

        self._taken(self._ask(EVENTS, take))

    def _limits(self) -> list[Any]:
        """Return the arguments of post.lua before the events."""
        settings = self._settings
        return [
            settings.reader.rate_limit,
            2 * MINUTE_S,
            settings.events.waiting_most,
            int(settings.releases.ttl_hours * 3600),
            settings.events.rate_limit,
            settings.events.memory_mb << 20,
            2 * DAY_S,
            HASH_BYTES,
            FIELD_BYTES,
        ]

    def _taken(self, said: bytes) -> None:
        """Check the answer of post.lua. Raises TooManyRequests, TooManyEvents, EventsNotTaken."""
        settings, most = self._settings, self._settings.events.waiting_most
        if said == b"rate":
            raise self._too_many()
        if said == b"events":
            raise TooManyEvents(
                f"at most {settings.events.rate_limit} events a minute",
                "[events] rate_limit",
                MINUTE_S - int(time.time()) % MINUTE_S,
            )
        if said == b"memory":
            raise TooManyEvents(
                f"new pairs of at most {settings.events.memory_mb} MB a day",
                "[events] memory_mb",
                DAY_S - int(time.time()) % DAY_S,
            )
        if said == b"full":
            raise EventsNotTaken("events_full", f"at most {most} events waiting for the drain", "as many", FULL_S)

    def hidden(self) -> tuple[dict[Entity, frozenset[bytes]], Erased]:
        """Return the hidden ids of both entities and the erased users, in one round trip."""

        def read(r: redis.Redis) -> list[Any]:
            pipeline = r.pipeline(transaction=False)
            for entity in Entity:
                pipeline.smembers(self.keys.hidden(entity))
            pipeline.hgetall(self.keys.erased)
            return list(pipeline.execute())

        *sets, erased = self._ask(RELEASES, read)
        ids = {e: frozenset(i for i in found if len(i) == ID_BYTES) for e, found in zip(Entity, sets, strict=True)}
        return ids, Erased.of_fields(erased)

    def waiting(self) -> tuple[int, float]:
        """Return the number of events in the stream and the age of the oldest in seconds, in one round trip."""

        def read(r: redis.Redis) -> tuple[int, list[tuple[bytes, Any]], tuple[int, int]]:
            pipeline = r.pipeline(transaction=False)
            pipeline.xlen(self.keys.events)
            pipeline.xrange(self.keys.events, count=1)
            pipeline.time()
            length, oldest, now = pipeline.execute()
            return length, oldest, now

        length, oldest, (seconds, micros) = self._ask(PAGE, read)
        since = int(oldest[0][0].split(b"-")[0]) / 1000 if oldest else seconds + micros / 1e6
        return length, max(0.0, seconds + micros / 1e6 - since)

    def store(self, entries: Sequence[tuple[str, bytes, int]]) -> None:
        """Write (key, value, TTL in seconds) entries, in one round trip."""

        def write(r: redis.Redis) -> None:
            pipeline = r.pipeline(transaction=False)
            for key, value, ttl_s in entries:
                pipeline.set(key, value, ex=ttl_s)
            pipeline.execute()

        self._ask(WRITES, write)

    def claim(self, key: str, token: bytes, ttl_ms: int) -> bytes | None:
        """Write a short-lived token if the key is free, in one round trip. Return None, or the value that it holds."""

        def write(r: redis.Redis) -> bytes | None:
            pipeline = r.pipeline()
            pipeline.set(key, token, nx=True, px=ttl_ms)
            pipeline.get(key)
            mine, holds = pipeline.execute()
            return None if mine else holds or b"gone"

        found: bytes | None = self._ask(WRITES, write)
        return found

    def give_up(self, key: str, token: bytes, instead: bytes = b"", ttl_ms: int = 0) -> None:
        """Delete a key that holds this token, or set it to `instead` for `ttl_ms`."""
        self._ask(WRITES, lambda r: r.eval(_GIVE_UP, 1, key, token, instead, ttl_ms))

    def ping(self) -> None:
        self._ask(SIGN_OF_LIFE, lambda r: r.ping())

    def close(self) -> None:
        self._pool.disconnect()

    def _rate(self, caller: str) -> str:
        return rate_key(self.keys, caller)

    def _counting(self, caller: str) -> list[Command]:
        """Return the commands that count a request; none without a limit or a caller, see `UNCOUNTED`."""
        key = self._rate(caller)
        return [("INCR", key), ("EXPIRE", key, 2 * MINUTE_S)] if self._settings.reader.rate_limit and caller else []

    def _admit(self, counted: Sequence[Any]) -> None:
        """Raises TooManyRequests. A Redis that is full or read-only counts nothing and still serves lists."""
        if counted and isinstance(counted[0], int) and 0 < self._settings.reader.rate_limit < counted[0]:
            raise self._too_many()

    def _too_many(self) -> TooManyRequests:
        return TooManyRequests(self._settings.reader.rate_limit, MINUTE_S - int(time.time()) % MINUTE_S)

    def _together(self, purpose: str, commands: Sequence[Command]) -> list[Any]:
        """Send several commands in one round trip and return the answers. A refused command gives its error.

        The client's own pipeline costs three times as much (docs/decisions/0020-one-round-trip.md).
        """

        def talk(r: redis.Redis) -> list[Any]:
            try:
                return _exchange(r.connection, commands)
            except redis.ConnectionError:  # the connection died with a restart of the server
                return _exchange(r.connection, commands)

        answers: list[Any] = self._ask(purpose, talk)
        if any(isinstance(a, redis.ResponseError) and _is_elsewhere(a) for a in answers):
            self._leave()
        return answers

    def _ask(self, purpose: str, question: Callable[[redis.Redis], Any]) -> Any:
        with self.breakers[purpose].guard(redis.RedisError, OSError):
            try:
                return question(self._client())
            except redis.RedisError as error:
                if not (_is_elsewhere(error) and self._leave()):
                    raise
                return question(self._client())

    def _client(self) -> redis.Redis:
        """Return the client of this thread. Its connection is replaced when too old."""
        mine, now = self._mine, monotonic()
        client: redis.Redis | None = getattr(mine, "client", None)
        if client is None:
            client = mine.client = redis.Redis(connection_pool=self._pool, single_connection_client=True)
            mine.since = now
        elif now - mine.since > CONNECTION_S:
            self._leave()
        return client

    def _leave(self) -> bool:
        """Close this thread's connection unless it is new: the host name may now point to another server."""
        mine, now = self._mine, monotonic()
        if now - mine.since < PAUSE_S:
            return False
        mine.client.connection.disconnect()
        self._pool.disconnect(inuse_connections=False)
        mine.since = now
        return True


def rate_key(keys: Keys, caller: str) -> str:
    return keys.rate(caller, int(time.time()) // MINUTE_S)


def _is_silent(error: BaseException) -> bool:
    """Return whether the server did not answer. A refusal is an answer."""
    return not isinstance(error, redis.ResponseError | redis.AuthenticationError)


def _is_elsewhere(error: Exception) -> bool:
    """Return whether another server may have replaced this one."""
    return message_of(error).startswith(ELSEWHERE)


def _hidden_by(event: Event, received: datetime, views_are_seen: bool) -> bytes:
    """Return the value that post.lua writes into the since hashes for an event."""
    if event.kind is EventType.RETRACT:
        return b"-"
    return since_value(event.kind.code, instant_us(received)) if event.kind.hides(views_are_seen) else b""


def _exchange(connection: Any, commands: Sequence[Command]) -> list[Any]:
    """Send commands and read their answers. On an error, close the connection: answers may be unread."""
    try:
        connection.send_packed_command(connection.pack_commands(commands))
        return [_answer(connection) for _ in commands]
    except BaseException:
        connection.disconnect()
        raise


def _answer(connection: Any) -> Any:
    try:
        return connection.read_response()
    except redis.ResponseError as error:  # the next answers must still be read
        return error
