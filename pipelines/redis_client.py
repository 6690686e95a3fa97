"""The Redis client of writers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

import redis

from models.errors import ServiceError, SettingsError
from models.lists.redis_format import Keys
from models.lists.redis_server import hint, message_of, unfit
from models.lists.release import Release
from models.settings.settings import Settings

log = logging.getLogger(__name__)
T = TypeVar("T")


def connect(settings: Settings) -> redis.Redis:
    """Return a client of REDIS_URL with long timeouts for bulk writes.

    Raises ServiceError if none is set, SettingsError.
    """
    if not settings.redis_url:
        raise ServiceError("expected a Redis: set REDIS_URL, or run a command that starts the embedded one (`make up`)")
    try:
        return redis.Redis.from_url(settings.redis_address, protocol=2, socket_timeout=60, socket_connect_timeout=5)
    except ValueError as error:
        raise SettingsError(f"REDIS_URL has an option that the client does not take: {error}") from error


def checked(settings: Settings) -> redis.Redis:
    """Connect, then check the server. Raises ServiceError if it is a cluster or too old."""
    client = connect(settings)
    if fault := unfit(about(client)):
        raise ServiceError(fault)
    return client


def about(client: redis.Redis) -> dict[str, Any]:
    """Return the server's INFO, or {} if it refuses."""
    ask: Callable[[], dict[str, Any]] = client.info
    return nicety(ask, {})


def nicety(ask: Callable[[], T], instead: T) -> T:
    """Return the result of an optional command, or `instead` if the server refuses it."""
    try:
        return ask()
    except redis.ResponseError as error:
        log.info("Redis refused an optional command: %s", error)
        return instead


@contextmanager
def redis_errors(doing: str) -> Iterator[None]:
    """Convert Redis errors to a ServiceError that names the activity."""
    try:
        yield
    except redis.RedisError as error:
        if "FENCED" in str(error):
            raise ServiceError(
                f"another publisher took over while this one, {doing}, was paused; nothing of this one became "
                "visible, run it again"
            ) from error
        cure = hint(message_of(error)) or "nothing became visible, run it again once Redis answers"
        raise ServiceError(f"Redis failed while {doing}: {message_of(error)}; {cure}") from error


def live_release(client: redis.Redis, keys: Keys) -> Release | None:
    """Return the live release in Redis, or None. The caller converts Redis errors."""
    stored = client.get(keys.manifest(decoded(client.get(keys.current))))
    return Release.from_json(stored) if isinstance(stored, bytes) else None


def current_release(settings: Settings) -> str | None:
    with redis_errors("reading the live release"):
        value = connect(settings).get(Keys(settings.namespace).current)
    return decoded(value) or None


def clock(client: redis.Redis) -> datetime:
    """Return the time of Redis, which readers and drains share. The caller converts Redis errors."""
    seconds, micros = client.time()
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)


def decoded(value: object) -> str:
    """Return a Redis answer as text, None as ""."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")
