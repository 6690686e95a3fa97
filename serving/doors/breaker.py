"""A pause after a failure, so that a server that hangs costs one caller a time-out and not every caller."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from models.errors import ServiceError

PAUSE_S = 1.0


class Breaker:
    """Guards one server. While it is down, one caller a pause tries again and the others go on without it at once."""

    def __init__(self, name: str, pause_s: float = PAUSE_S, clock: Callable[[], float] = time.monotonic) -> None:
        self.name, self._pause_s, self._clock = name, pause_s, clock
        self._lock = threading.Lock()
        self._retry_at: float | None = None
        self._cause = ""

    @property
    def down(self) -> bool:
        """Whether the last call failed."""
        return self._retry_at is not None

    @contextmanager
    def guard(self, *foreign: type[Exception]) -> Iterator[None]:
        """Run one call. Raises ServiceError where it fails with one of `foreign`, or at once during a pause."""
        self._admit()
        try:
            yield
        except foreign as error:
            self.failed(error)
            raise ServiceError(f"{self.name} does not answer: {_first_line(error)}") from error
        else:
            self._retry_at = None

    def failed(self, error: BaseException) -> None:
        """Begin a pause."""
        with self._lock:
            self._retry_at, self._cause = self._clock() + self._pause_s, _first_line(error)

    def _admit(self) -> None:
        if not self.down:  # the usual case costs no lock
            return
        with self._lock:
            now = self._clock()
            if self._retry_at is not None and now < self._retry_at:
                raise ServiceError(f"{self.name} does not answer: {self._cause}; it is tried again soon")
            self._retry_at = now + self._pause_s  # this caller tries; the others do not wait with it


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
