"""The embedded PostgreSQL and Redis of one MATCHBOOK_HOME, shared by all processes that use them.

Commands use `servers(settings)`: it starts missing servers and stops them after the last user. `make up` uses
`start_servers`: these run until `stop_servers`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import Any

from local import places
from local import postgres as postgres_server
from local import redis as redis_server
from local.places import Place
from local.processes import ManagedProcess
from models.errors import ServiceError
from models.keys import ANSWER_KEY, PSEUDONYM_KEY
from models.settings.environment import Secret
from models.settings.settings import Settings

OURS = (
    "artifacts",
    "run",
    "erasure",
    "rejected",
    "sample",
    "airflow",
    "logs",
    "pictures",
    "postgres",
    "redis",
    "binaries",
    "valkey-server",
    "running.json",
    places.RECORD,
    "servers.json",
    "servers.users",
    "servers.lock",
    "api-keys.json",
    "api-keys.lock",
    "drain-heartbeat",
    ANSWER_KEY,
    PSEUDONYM_KEY,
)
#: Files that are written through a temporary file with another suffix.
_WRITTEN_ASIDE = ("servers", "running", "api-keys")
ATTEMPTS = 3  # another process may take a free port before we listen on it


@dataclass(frozen=True)
class Kind:
    """One kind of server: how to start, await, stop and address it."""

    name: str
    field: str
    launch: Callable[[Place, Mapping[str, Any], Path], ManagedProcess]
    wait: Callable[[ManagedProcess, Mapping[str, Any], Path], None]
    url: Callable[[Mapping[str, Any]], str]
    password: Callable[[], str]
    stop_signal: Signals


KINDS = (
    Kind(
        "postgres",
        "database_url",
        postgres_server.launch,
        postgres_server.wait,
        postgres_server.url,
        postgres_server.new_password,
        postgres_server.STOP_SIGNAL,
    ),
    Kind(
        "redis",
        "redis_url",
        redis_server.launch,
        redis_server.wait,
        redis_server.url,
        redis_server.new_password,
        redis_server.STOP_SIGNAL,
    ),
)


@contextlib.contextmanager
def servers(settings: Settings) -> Iterator[Settings]:
    """Yield the settings with both addresses; start a server for each empty one. Raises ServiceError.

    Safe for several processes and threads. The last user stops the servers, unless `start_servers` keeps them.
    """
    if not _needed(settings):
        yield settings
        return
    _make_home(settings)
    try:
        with _using(settings):
            with _alone(settings):
                filled = _start_missing(settings, keep=False)
            yield filled
    finally:
        with _alone(settings):
            if _nobody_uses(settings) and not _read(settings).get("keep"):
                _stop_all(settings)


def running_settings(settings: Settings) -> Settings | None:
    """Return the settings with both addresses; None if a needed embedded server does not run."""
    notes = _read(settings)
    for kind in _needed(settings):
        note = notes.get(kind.name)
        if note is None or not note["ready"] or not ManagedProcess.from_json(note).alive():
            return None
    return _filled(settings, notes)


def start_servers(settings: Settings) -> Settings:
    """Start the needed servers and leave them running until `stop_servers`. Raises ServiceError."""
    if not _needed(settings):
        return settings
    _make_home(settings)
    with _alone(settings):
        return _start_missing(settings, keep=True)


def stop_servers(settings: Settings) -> list[str]:
    """Stop the embedded servers of this home, even if they are in use; return their names."""
    if not settings.home.is_dir():
        return []
    with _alone(settings):
        return _stop_all(settings)


def remove_home(settings: Settings) -> list[Path]:
    """Stop the servers; remove all files of Matchbook in the home and elsewhere; return the removed paths.

    Users may have chosen a folder with other content. Those files stay, and so does the home.
    """
    home = settings.home
    if not home.is_dir():
        return []
    stop_servers(settings)
    elsewhere = places.remove_elsewhere(home)
    removed = [path for path in sorted(home.iterdir()) if _is_ours(path.name)]
    for path in removed:
        _remove(path)
    if not any(home.iterdir()):
        home.rmdir()
        removed = [home]
    return removed if elsewhere is None else [*removed, elsewhere]


def _is_ours(name: str) -> bool:
    """Return whether Matchbook makes the file, or left it in an interrupted write: `.name.1a2b`, `servers.123`."""
    stem = name.removeprefix(".").rpartition(".")[0]
    return name in OURS or stem in (OURS if name.startswith(".") else _WRITTEN_ASIDE)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Return whether a server of ours could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def _needed(settings: Settings) -> list[Kind]:
    return [kind for kind in KINDS if not getattr(settings, kind.field).reveal()]


def _start_missing(settings: Settings, keep: bool) -> Settings:
    notes = _read(settings)
    if keep:
        _write(settings, notes | {"keep": True})
    for kind in _needed(settings):
        note = notes.get(kind.name, {})
        if not (note.get("ready") and ManagedProcess.from_json(note).alive()):
            _start(settings, kind, note)
    return _filled(settings, _read(settings))


def _start(settings: Settings, kind: Kind, before: Mapping[str, Any]) -> None:
    if "pid" in before:  # its starter died before it was ready
        ManagedProcess.from_json(before).stop(kind.stop_signal)
    place = places.place_of(settings.home)
    log = settings.home / "logs" / f"{kind.name}.log"
    note: dict[str, Any] = {"password": before.get("password") or kind.password(), "port": before.get("port")}
    for attempt in range(ATTEMPTS):
        note["port"] = _free_port(note["port"] if attempt == 0 else None)
        if _launched(settings, kind, place, note, log, last=attempt == ATTEMPTS - 1):
            return


def _launched(settings: Settings, kind: Kind, place: Place, note: dict[str, Any], log: Path, last: bool) -> bool:
    """Start the server once and return whether it runs.

    Returns False only if its port was taken meanwhile and another attempt remains. Raises for other failures.
    """
    _write(settings, _read(settings) | {kind.name: note | {"ready": False}})
    try:
        started = kind.launch(place, note, log)
    except OSError as error:
        raise places.unusable(place.directory, error) from error
    _write(settings, _read(settings) | {kind.name: note | started.to_json() | {"ready": False}})
    try:
        kind.wait(started, note, log)
    except BaseException as error:
        taken = isinstance(error, ServiceError) and not started.alive() and not port_is_free(note["port"])
        started.stop(kind.stop_signal)
        if taken and not last:
            return False
        raise
    _write(settings, _read(settings) | {kind.name: note | started.to_json() | {"ready": True}})
    return True


def _stop_all(settings: Settings) -> list[str]:
    notes, stopped = _read(settings), []
    for kind in KINDS:
        note = notes.get(kind.name, {})
        if "pid" in note and ManagedProcess.from_json(note).stop(kind.stop_signal):
            stopped.append(kind.name)
        if note:  # password and port stay: the data need the password, and users may have noted the port
            notes[kind.name] = {"password": note["password"], "port": note["port"], "ready": False}
    _write(settings, notes | {"keep": False})
    return stopped


def _filled(settings: Settings, notes: Mapping[str, Any]) -> Settings:
    urls: dict[str, Any] = {kind.field: Secret(kind.url(notes[kind.name])) for kind in _needed(settings)}
    return settings.layered(urls, "given")


def _free_port(wanted: int | None) -> int:
    if wanted is not None and port_is_free(wanted):
        return wanted
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _state(settings: Settings) -> Path:
    return settings.home / "servers.json"


def _lock(settings: Settings) -> Path:
    return settings.home / "servers.lock"


def _read(settings: Settings) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(_state(settings).read_text())
        return found
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ServiceError(f"{_state(settings)} cannot be read: {error}; `make reset` removes it") from error


def _write(settings: Settings, notes: Mapping[str, Any]) -> None:
    aside = _state(settings).with_suffix(f".{os.getpid()}")
    aside.touch(mode=0o600)  # it holds the passwords
    aside.write_text(json.dumps(notes, indent=1, sort_keys=True))
    aside.rename(_state(settings))


def _make_home(settings: Settings) -> None:
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        _lock(settings).touch()
    except OSError as error:
        raise places.unusable(settings.home, error) from error


@contextlib.contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Lock out other processes that start or stop servers of a home. The kernel frees a dead process's lock."""
    with _lock(settings).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _using(settings: Settings) -> Iterator[None]:
    """Count as a user of this home's servers, by a shared lock."""
    with (settings.home / "servers.users").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def _nobody_uses(settings: Settings) -> bool:
    with (settings.home / "servers.users").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
