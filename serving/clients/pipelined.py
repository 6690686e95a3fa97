"""Talk to Redis from the event loop: requests that arrive together share one write and one read.

The client library connects, with TLS and passwords. This module does not retry: the caller then asks `Cache`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import lru_cache
from time import monotonic
from typing import Any

import hiredis
import redis
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from models.lists.redis_format import Keys
from models.lists.redis_server import ELSEWHERE, message_of
from models.schema import ListKind
from models.settings.settings import Settings
from serving.clients import redis as client
from serving.clients.breaker import PAUSE_S

#: A process counts a ten-thousandth of the limit in advance, because Redis also writes each count to disk.
STEPS = 10_000
TURN_S = 0.005  # time for a turn of the event loop
#: A request: the future of its answers, their number, and the time at which they were requested.
_Request = tuple[asyncio.Future[list[Any]], int, float]


class Pipelined:
    """Holds one connection, opened at first use. Requests that wait for it share the attempt."""

    def __init__(self, settings: Settings) -> None:
        self._keys, self._limit = Keys(settings.namespace), settings.reader.rate_limit
        self._step = max(1, self._limit // STEPS)
        self._ahead: dict[str, tuple[str, int]] = {}  # by caller: the key, and how many requests are counted in advance
        self._patience_s = settings.reader.redis_timeout_s
        self._pool = ConnectionPool.from_url(
            settings.redis_address,
            protocol=2,
            socket_connect_timeout=self._patience_s,
            retry=Retry(NoBackoff(), 0),
        )
        self._wire: _Wire | None = None
        self._opening: asyncio.Task[_Wire] | None = None

    async def hit(self, caller: str, release: str, kind: ListKind, owner: str) -> tuple[client.Found, int]:
        """Return what Redis holds for an owner, and the number of this request in the caller's minute.

        The number is 0 if the request needs no check. The same round trip counts it together with the next requests.
        Raises as `ask`, and if Redis refuses to read the list.
        """
        commands = _get(self._keys.lists(release, kind)) + bytes.fromhex(owner.replace("-", "")) + b"\r\n"
        commands += _scan(self._keys.since(kind.owner, owner).encode(), b"%d" % client.SINCE_MOST)
        count, rate = 0, client.rate_key(self._keys, caller)
        if self._limit == 0 or self._counted_ahead(caller, rate):
            stored, scan = await self.ask(commands, 2)
        else:
            stored, scan, total, _ = await self.ask(commands + _count(rate, self._step), 4)
            if isinstance(total, int):  # otherwise Redis is full or read-only, and counts nothing
                count = total - self._step + 1
                before = self._ahead.get(caller, (rate, 0))
                more = max(0, min(total, self._limit) - count)
                self._ahead[caller] = rate, more + (before[1] if before[0] == rate else 0)
        if isinstance(stored, redis.ResponseError):
            raise stored
        return client.Found.of(stored, scan), count

    def _counted_ahead(self, caller: str, rate: str) -> bool:
        """Use one request of this minute that was counted in advance. Return whether there was one."""
        key, left = self._ahead.get(caller, ("", 0))
        if key != rate or left == 0:
            return False
        self._ahead[caller] = key, left - 1
        return True

    async def ask(self, commands: bytes, n: int) -> list[Any]:
        """Return the answers to n packed commands. A refused command gives its error.

        Raises TimeoutError if Redis is silent, redis.RedisError or OSError without a connection.
        """
        wire = self._wire
        if wire is None or wire.lost or wire.opened_at < monotonic() - client.CONNECTION_S:
            self._opening = self._opening or asyncio.create_task(self._open())
            wire = await asyncio.shield(self._opening)
        answers = await wire.ask(commands, n)
        if any(isinstance(a, redis.ResponseError) and message_of(a).startswith(ELSEWHERE) for a in answers):
            self._leave(wire)
        return answers

    async def _open(self) -> _Wire:
        try:
            async with asyncio.timeout(self._patience_s):
                connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
                await connection.connect()
            before, self._wire = self._wire, _Wire(connection, self._patience_s)
            if before is not None:
                before.close_when_answered()
            return self._wire
        finally:
            self._opening = None

    def _leave(self, wire: _Wire) -> None:
        """Replace a connection unless it is new: the host name may now point to another server."""
        if wire is self._wire and monotonic() - wire.opened_at > PAUSE_S:
            wire.opened_at = 0.0

    def close(self) -> None:
        """Close the connection. Any thread may call this."""
        if self._wire is not None:
            self._wire.close_soon()


class _Wire(asyncio.Protocol):
    """Holds an open connection and sends the requests of one turn of the event loop together."""

    def __init__(self, connection: Any, patience_s: float) -> None:
        self._streams, self._patience_s = (connection._reader, connection._writer), patience_s
        connection._reader = connection._writer = None  # from now on this protocol reads and writes
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(replyError=redis.ResponseError)
        self._waiting = deque[_Request]()  # Redis answers in this order
        self._unsent: list[bytes] = []
        self._answers: list[Any] = []
        self._closing = self._watching = False
        self.opened_at = monotonic()
        self._transport = self._streams[1].transport
        self._transport.set_protocol(self)
        self._transport.resume_reading()
        self.lost = self._transport.is_closing()

    def ask(self, commands: bytes, n: int) -> asyncio.Future[list[Any]]:
        """Return a future of the answers to n packed commands."""
        if self.lost:
            raise ConnectionError("the connection to Redis is closed")
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        self._waiting.append((future, n, monotonic()))
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent.append(commands)
        if not self._watching:
            self._watching = True
            self._loop.call_later(self._patience_s, self._watch)
        return future

    def _send(self) -> None:
        self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while self._waiting:
            future, n, _ = self._waiting[0]
            while len(self._answers) < n and (answer := self._reader.gets()) is not False:
                self._answers.append(answer)
            if len(self._answers) < n:
                return
            self._waiting.popleft()
            if not future.done():
                future.set_result(self._answers)
            self._answers = []
        if self._closing:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        self._fail(ConnectionError("Redis closed the connection"))

    def eof_received(self) -> bool:
        return False  # close the transport

    def close_when_answered(self) -> None:
        """Close after the last answer. The caller must send nothing more here."""
        self._closing = True
        if not self._waiting:
            self._transport.abort()

    def close_soon(self) -> None:
        """Close from another thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._transport.abort)

    def _watch(self) -> None:
        """Schedule a check for the time at which the oldest request times out."""
        self._watching = bool(self._waiting)
        if self._watching:
            oldest = self._waiting[0]
            left_s = oldest[2] + self._patience_s - monotonic()
            if left_s > 0:
                self._loop.call_later(left_s, self._watch)
            else:
                self._loop.call_later(TURN_S, self._give_up, oldest)

    def _give_up(self, oldest: _Request) -> None:
        """Fail if this request still waits. If only the event loop was late, its answer has already been read."""
        if self._waiting and self._waiting[0] is oldest:
            self._fail(TimeoutError(f"no answer within {self._patience_s} s"))
        else:
            self._watch()

    def _fail(self, error: Exception) -> None:
        """Close the connection, because unread answers may follow. Each waiting request gets the error."""
        self.lost = True
        self._transport.abort()
        while self._waiting:
            future = self._waiting.popleft()[0]
            if not future.done():
                future.set_exception(error)


@lru_cache(maxsize=1024)
def _count(key: str, requests: int) -> bytes:
    return _packed("INCRBY", key, requests) + _packed("EXPIRE", key, 2 * client.MINUTE_S)


def _scan(key: bytes, most: bytes) -> bytes:
    """Pack the command that reads all of a small hash."""
    head = b"*5\r\n$5\r\nHSCAN\r\n$%d\r\n%b\r\n$1\r\n0\r\n$5\r\nCOUNT\r\n$%d\r\n%b\r\n"
    return head % (len(key), key, len(most), most)


@lru_cache(maxsize=64)
def _get(key: str) -> bytes:
    """Pack the command that reads a list, without the owner's 16 bytes at its end."""
    return _packed("HGET", key, bytes(16))[: -16 - 2]


def _packed(*words: str | bytes | int) -> bytes:
    parts = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    return b"".join([b"*%d\r\n" % len(parts), *(b"$%d\r\n%b\r\n" % (len(p), p) for p in parts)])
