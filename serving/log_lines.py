"""Write log lines in a thread, several at once, so that no request waits for the write."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import deque
from multiprocessing.util import Finalize

TOGETHER_S = 0.05  # seconds between writes; a killed process loses at most the lines of this time
FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def begin(level: str) -> None:
    """Send the log to stderr. Skip facts that no line shows (logging documentation, "Optimization")."""
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # do not look up the place of the call
    logging.basicConfig(level=level, handlers=[Together()])


class Together(logging.Handler):
    """Keeps lines until its thread writes them. A warning is written at once, after all earlier lines."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(_Lines(FORMAT))
        self._lines, self._wake = deque[str](), threading.Event()
        self._one_at_a_time = threading.Lock()
        self._thread: threading.Thread | None = None  # started at the first record, so after any fork
        Finalize(None, self.flush, exitpriority=1)

    def createLock(self) -> None:  # noqa: N802 - the name in logging
        self.lock = None  # a deque needs no lock

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.append(self.format(record) + "\n")
        except Exception:  # noqa: BLE001 - as in logging: a line with wrong arguments must not fail a request
            self.handleError(record)
        if record.levelno > logging.INFO:
            self.flush()
        elif not self._wake.is_set():
            self._begin()
            self._wake.set()

    def _begin(self) -> None:
        with self._one_at_a_time:
            if self._thread is None:
                self._thread = threading.Thread(target=self._write_on, name="log", daemon=True)
                self._thread.start()

    def flush(self) -> None:
        with self._one_at_a_time:
            if n := len(self._lines):
                sys.stderr.write("".join(self._lines.popleft() for _ in range(n)))
                sys.stderr.flush()

    def _write_on(self) -> None:
        while True:
            self._wake.wait()
            time.sleep(TOGETHER_S)
            self._wake.clear()
            self.flush()


class _Lines(logging.Formatter):
    """Formats the time once per second."""

    _second, _text = 0, ""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        second = int(record.created)
        if second != self._second:
            self._second, self._text = second, time.strftime(self.default_time_format, time.localtime(second))
        return f"{self._text},{int(record.msecs):03d}"
