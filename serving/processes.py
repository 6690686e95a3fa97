"""Run the processes of the reader with the usual settings: `python -m serving.processes`.

granian holds the connections: slow and idle ones use no thread (docs/decisions/0032-granian.md).
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import signal
import socket
import sys
import threading
from importlib import import_module
from multiprocessing import connection, parent_process
from typing import Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from models.data.mapped import keep_little_freed_memory
from models.errors import MatchbookError, SettingsError
from models.settings.settings import Settings
from serving import counters as counted

APP = "serving.wsgi:app"
CONNECTIONS_MOST = 16_384  # of one process, fewer if the system allows fewer open files
SPARE_FILES = 256  # for Redis, PostgreSQL, models and logs
HEADERS_S = 5  # seconds for the headers of a request, and for an idle connection, also while the reader stops
HEADERS_MOST = 32 * 1024  # bytes of the request line and all headers
STOP_S = 9  # seconds for running requests to end; Docker kills after 10


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m serving.processes", description=__doc__)
    parser.add_argument("app", nargs="?", default=APP, help="another WSGI app to run in the same way, for comparison")
    args = parser.parse_args()
    try:
        settings = Settings.from_env()
        host = _address(settings)
        folder = counted.open_folder(settings.home)
    except (MatchbookError, OSError) as error:
        sys.stderr.write(f"the reader cannot start: {error}\n")
        return 1
    counted.use(folder)
    try:
        _server(settings, host, args.app).serve(target_loader=_load)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _server(settings: Settings, host: str, app: str) -> Any:
    return Granian(
        app,
        host,
        settings.reader_port,
        interface=Interfaces.RSGI,
        workers=settings.reader_workers,
        http=HTTPModes.http1,
        websockets=False,
        backlog=2048,
        backpressure=_connections(),
        http1_settings=HTTP1Settings(header_read_timeout=1000 * HEADERS_S, max_buffer_size=HEADERS_MOST),
        log_level=LogLevels.warning,
        respawn_failed_workers=True,
        respawn_interval=0.1,
        workers_kill_timeout=STOP_S,
    )


def _address(settings: Settings) -> str:
    """Return the numeric address to listen on. Raises SettingsError without one or if the port is taken.

    All processes listen with SO_REUSEPORT. Without this check a second reader on the port would not fail.
    """
    host, port = settings.reader_host.strip("[]"), settings.reader_port
    try:
        family, _, _, _, found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(found)
    except (OSError, UnicodeError) as error:
        raise SettingsError(
            f"MATCHBOOK_READER_HOST={host} and MATCHBOOK_READER_PORT={port} must name an address of "
            f"this machine with a free port: {error}"
        ) from error
    return str(found[0])


def _connections() -> int:
    """Raise the limit of open files and return the number of connections that a process may hold."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = CONNECTIONS_MOST + SPARE_FILES
    wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return CONNECTIONS_MOST if soft == resource.RLIM_INFINITY else max(64, min(CONNECTIONS_MOST, soft - SPARE_FILES))


def _load(app: str) -> object:
    """Load the app in each process. End the process if that fails."""
    keep_little_freed_memory()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the inherited handler of the parent would ignore an early SIGTERM
    threading.Thread(target=_end_with_parent, name="parent-watch", daemon=True).start()
    counted.fold_ended(counted.used())
    from serving.rsgi import WholeRequests

    module, _, name = app.partition(":")
    try:
        found = getattr(import_module(module), name)
        reader = getattr(found, "extensions", {}).get("matchbook")  # None if it is another app
        return WholeRequests(found, Settings.from_env().reader_threads, reader and reader.hits)
    except MatchbookError as error:
        sys.stderr.write(f"the reader cannot start: {error}\n")
        raise SystemExit(1) from None


def _end_with_parent() -> None:
    """End this process with its parent. Otherwise it would serve requests beside the next reader."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
