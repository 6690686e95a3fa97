"""One computation of a list, however many ask: in this process by a future, in all processes by a key in Redis."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from models.errors import MatchbookError, ServiceError
from models.lists.redis_format import LiveList
from serving.clients.redis import Cache

#: Longer than a computation can take, every wait in it having a time-out: so long a list waits for a process that died.
LEASE_S = 5.0
#: About so long nobody tries again after a failure: an outage does not queue.
REST_S = 1.5
WAITING_MOST = 64  # computations of this process that may wait for a worker
_FAILED = b"failed"


class Flights:
    """Starts computations, a bounded number at once; whoever asks for a list that is under way joins it.

    While Redis is down there is one computation a process, and what stops an outage from queueing is the doors' pause.
    """

    def __init__(self, cache: Cache, workers: int) -> None:
        self._cache, self._workers = cache, ThreadPoolExecutor(workers, "live")
        self._lock = threading.Lock()
        self._under_way: dict[str, Future[LiveList | None]] = {}

    def __len__(self) -> int:
        """Computations under way or waiting in this process."""
        return len(self._under_way)

    def join(self, key: str, compute: Callable[[], LiveList]) -> Future[LiveList | None]:
        """The list under this key of Redis; None: another process is at it, look for what it leaves.

        Raises ServiceError where too many wait already.
        """
        with self._lock:
            flight = self._under_way.get(key)
            if flight is not None:
                return flight
            if len(self._under_way) >= WAITING_MOST:
                raise ServiceError("too many lists are being computed live")
            flight = self._under_way[key] = Future()
        token = uuid.uuid4().hex.encode()
        before = self._claimed(key, token)
        if before is None:
            self._workers.submit(self._fly, key, token, compute, flight)
        elif before == _FAILED:
            self._land(key, flight, error=ServiceError("a live list failed a moment ago; it is tried again soon"))
        else:
            self._land(key, flight)
        return flight

    def close(self) -> None:
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _claimed(self, key: str, token: bytes) -> bytes | None:
        """None where the flight is ours, else what the key holds."""
        try:
            return self._cache.claim(key, token, round(1000 * LEASE_S))
        except ServiceError:
            return None  # Redis is down: every process for itself

    def _fly(self, key: str, token: bytes, compute: Callable[[], LiveList], flight: Future[LiveList | None]) -> None:
        try:
            found = compute()
        except Exception as error:  # noqa: BLE001 - whoever waits is told, and answers from the next level of the chain
            rest_ms = round(1000 * REST_S * random.uniform(0.7, 1.3))  # noqa: S311 - spreads load, hides nothing
            self._leave(key, token, _FAILED, rest_ms)
            self._land(key, flight, error=error)
        else:
            self._leave(key, token)
            self._land(key, flight, found)

    def _leave(self, key: str, token: bytes, instead: bytes = b"", ttl_ms: int = 0) -> None:
        with suppress(MatchbookError):  # Redis is down; the lease ends by itself
            self._cache.give_up(key, token, instead, ttl_ms)

    def _land(
        self, key: str, flight: Future[LiveList | None], found: LiveList | None = None, error: Exception | None = None
    ) -> None:
        with self._lock:
            self._under_way.pop(key, None)
        if error is not None:
            flight.set_exception(error)
        else:
            flight.set_result(found)
