"""The command line. Each module holds one group of commands and has `register(steps)`.

A malformed argument is wrong use (exit status 2), which its type refuses before anything starts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeVar

from models.data.entities import is_id
from models.errors import MatchbookError
from pipelines.erased import normal_id
from pipelines.run.run import parse_instant

T = TypeVar("T")
#: Of numbers in arguments; seeds of 32 bits fit.
MOST = 2**32 - 1


class UsageError(MatchbookError):
    """Arguments that are wrong together, or that only their command can check."""


def checked(read: Callable[[str], T]) -> Callable[[str], T]:
    """Return the type of an argument that `read` parses. What `read` refuses is wrong use."""

    def typed(text: str) -> T:
        try:
            return read(text)
        except MatchbookError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return typed


def number(read: Callable[[str], T], wanted: str, fits: Callable[[T], bool]) -> Callable[[str], T]:
    """Return the type of an argument that is a number. wanted: what fits, for the message."""

    def typed(text: str) -> T:
        try:
            value = read(text) if text.isascii() else None
        except ValueError:
            value = None
        if value is None or not fits(value):
            raise argparse.ArgumentTypeError(f"expected {wanted}, got {text!r}")
        return value

    return typed


instant, person_id = checked(parse_instant), checked(normal_id)
whole = number(int, f"a whole number of 1 to {MOST:,}, such as 10", lambda n: 1 <= n <= MOST)
from_zero = number(int, f"a whole number of 0 to {MOST:,}, such as 10", lambda n: 0 <= n <= MOST)
positive = number(float, f"a number above 0, at most {MOST:,}, such as 0.5", lambda x: 0 < x <= MOST)


def entity_id(text: str) -> str:
    """Return the id of a person or startup, as tables hold it; a malformed one is wrong use (exit status 2)."""
    if not is_id(text):
        raise argparse.ArgumentTypeError(f"expected a UUID such as 3f2b8c1e-9d4a-4c57-8e21-0b6f5d9a7c10, got {text!r}")
    return text.lower()
