"""Write the reader's log complete, in order, and without a wait."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import pytest

from serving.log_lines import Together
from tests.waiting import until


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    log, handler = logging.getLogger("log_of_the_test"), Together()
    log.propagate, log.handlers = False, [handler]
    log.setLevel(logging.INFO)
    yield log
    log.handlers = []


def test_lines_are_written_in_order_soon(capsys: pytest.CaptureFixture[str], log: logging.Logger) -> None:
    for n in range(3000):
        log.info("line 100%% %d" if n % 2 else f"line 100% {n}", *([n] if n % 2 else []))
    written: list[str] = []

    def complete() -> bool:
        written.extend(capsys.readouterr().err.splitlines())
        return len(written) == 3000

    until(complete)
    assert [line.rpartition("INFO log_of_the_test line 100% ")[2] for line in written] == [str(n) for n in range(3000)]
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO", line) for line in written)


def test_a_warning_is_written_at_once_with_what_came_before(
    capsys: pytest.CaptureFixture[str], log: logging.Logger
) -> None:
    log.info("before")
    log.warning("now")
    assert [line.rpartition(" ")[2] for line in capsys.readouterr().err.splitlines()] == ["before", "now"]
