"""What a setting may be besides a plain value: a secret, an instant, the address of a server."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

from models.errors import SettingsError


class Secret(str):
    """A string that prints as stars."""

    def __repr__(self) -> str:
        return "'***'"

    __str__ = __repr__

    def reveal(self) -> str:
        return str.__str__(self)


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


def check_address(name: str, text: str) -> None:
    """Raises SettingsError where a server's address cannot be one. It is not shown: it holds a password."""
    schemes, example = ADDRESSES[name]
    try:
        parts = urlsplit(text)
        fault = "" if parts.scheme.partition("+")[0] in schemes and parts.port != 0 else "another beginning, or port 0"
    except ValueError:
        fault = "a host or port that cannot be read (in a password / # ? @ are written as %2F %23 %3F %40)"
    if fault:
        raise SettingsError(f"{name} must be an address such as {example}, got {fault}")


def boolean(text: str) -> bool:
    """Raises ValueError for anything but the usual words."""
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError(text)
