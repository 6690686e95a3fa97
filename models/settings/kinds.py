"""What a setting may be besides a plain value, and how its text becomes one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from models.errors import SettingsError


class Secret(str):
    """A string that prints as stars."""

    def __repr__(self) -> str:
        return "'***'"

    __str__ = __repr__

    def reveal(self) -> str:
        return str.__str__(self)


class Limits(str):
    """Two numbers such as "0.25/0.5": beyond the first a person is asked, beyond the second a release is stopped."""

    def __new__(cls, text: str) -> Limits:
        """Raises ValueError unless both are from 0 on and ascend."""
        ask, stop = (float(part) for part in text.split("/"))
        if not 0 <= ask <= stop < math.inf:
            raise ValueError(text)
        return super().__new__(cls, text)

    @property
    def ask(self) -> float:
        return float(self.split("/")[0])

    @property
    def stop(self) -> float:
        return float(self.split("/")[1])


class Instant(str):
    """An ISO 8601 instant or date, UTC where no zone is given."""

    def __new__(cls, text: str) -> Instant:
        """Raises ValueError for anything else."""
        found = super().__new__(cls, text)
        _ = found.at
        return found

    @property
    def at(self) -> datetime:
        found = datetime.fromisoformat(self)
        try:
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
        except OverflowError as error:
            raise ValueError(self) from error


_POSTGRES = ("postgresql", "postgres"), "postgresql://user:password@host:5432/database"
#: By variable of a server's address how it may begin, and an example.
ADDRESSES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "REDIS_URL": (("redis", "rediss", "unix"), "redis://:password@host:6379/0, unix:///path"),
    "DATABASE_URL": _POSTGRES,
    "MATCHBOOK_READER_DATABASE_URL": _POSTGRES,
}


def cast(f: Any, text: str) -> Any:
    """The value of a field of `Settings` by the text of its variable. Raises SettingsError naming variable and rule."""
    name, kind = f.metadata["env"], type(f.default)
    shown = repr(text[:80])
    try:
        text.encode()  # what is no text can be neither logged nor sent
        value = _boolean(text) if kind is bool else kind(text)
        if kind is float and not math.isfinite(value):
            raise ValueError(text)
    except (ValueError, OverflowError) as error:
        raise SettingsError(f"{name} must be {kind.__name__}, got {shown}; default {f.default!r}") from error
    if name in ADDRESSES:
        _check_address(name, text)
    choices, low, high = f.metadata["choices"], f.metadata["low"], f.metadata["high"]
    if choices and value not in choices:
        raise SettingsError(f"{name} must be one of {', '.join(c or 'empty' for c in choices)}, got {shown}")
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        raise SettingsError(f"{name} must lie in {low}..{'' if high is None else high}, got {shown}")
    return value


def _check_address(name: str, text: str) -> None:
    """Raises SettingsError where a server's address cannot be one. It is not shown: it holds a password."""
    schemes, example = ADDRESSES[name]
    try:
        parts = urlsplit(text)
        fault = "" if parts.scheme.partition("+")[0] in schemes and parts.port != 0 else "another beginning, or port 0"
    except ValueError:
        fault = "a host or port that cannot be read (in a password / # ? @ are written as %2F %23 %3F %40)"
    if fault:
        raise SettingsError(f"{name} must be an address such as {example}, got {fault}")


def _boolean(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError(text)
