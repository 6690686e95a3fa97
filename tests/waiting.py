"""Wait for a change."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(
    question: Callable[[], T | None], seconds: float = 15.0, told: Callable[[], object] = str, pause: float = 0.05
) -> T:
    """Return the first true answer of a question. `told`: what to show with the last answer on a time-out."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, f"still {answer!r} after {seconds:.0f} s {told()}"
        time.sleep(pause)
    return answer
