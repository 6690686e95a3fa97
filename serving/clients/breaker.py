"""Break the circuit to a silent server: one caller waits for the time-out, the others fail at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from models.errors import ServiceError

PAUSE_S = 1.0


class Breaker:
    """Guards the calls to a server for one purpose. While the server is silent, one caller per pause tries again.

    The other callers get the error at once. A refusal counts as an answer and starts no pause.
    is_silent: whether an error means that the server did not answer. message: the error as text for people.
    """

    def __init__(
        self,
        name: str,
        is_silent: Callable[[BaseException], bool] = lambda _: True,
        message: Callable[[BaseException], object] | None = None,
        pause_s: float = PAUSE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self._is_silent, self._message = name, is_silent, message or _first_line
        self._pause_s, self._clock = pause_s, clock
        self._lock = threading.Lock()
        self._retry_at: float | None = None
        self._cause = ""

    @property
    def down(self) -> bool:
        """Whether the last call was not answered."""
        return self._retry_at is not None

    @contextmanager
    def guard(self, *foreign: type[Exception]) -> Iterator[None]:
        """Run one call. Raises ServiceError if it fails with one of `foreign`, or at once during a pause."""
        self._admit()
        try:
            yield
        except foreign as error:
            if self._is_silent(error):
                self.failed(error)
                raise ServiceError(f"{self.name} does not answer: {self._message(error)}") from error
            self._retry_at = None
            raise ServiceError(f"{self.name} refused: {self._message(error)}") from error
        else:
            self._retry_at = None

    def failed(self, error: BaseException) -> None:
        with self._lock:
            self._retry_at, self._cause = self._clock() + self._pause_s, str(self._message(error))

    def _admit(self) -> None:
        if not self.down:  # the usual case needs no lock
            return
        with self._lock:
            now = self._clock()
            if self._retry_at is not None and now < self._retry_at:
                raise ServiceError(f"{self.name} does not answer: {self._cause}; it is tried again soon")
            self._retry_at = now + self._pause_s  # only this caller tries


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
