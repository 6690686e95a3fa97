"""Start the reader's processes (`serving/processes.py`) on this machine."""

from __future__ import annotations

import http.client
import sys
import time

from local.airflow import CHECKOUT, address, child_environment, console_password
from local.processes import ManagedProcess, start, tail
from models.errors import ServiceError
from models.settings.settings import Settings


def start_reader(settings: Settings) -> dict[str, ManagedProcess]:
    """Start the reader. `settings` hold both servers' addresses. Raises ServiceError."""
    command = [sys.executable, "-m", "serving.processes"]
    log = settings.home / "logs" / "reader.log"
    return {"reader": start(command, log, reader_environment(settings), CHECKOUT, group=True)}


def reader_environment(settings: Settings) -> dict[str, str]:
    """Return the environment of the reader: with the Airflow of this machine, unless another one is set."""
    known = {"MATCHBOOK_AIRFLOW_URL": address(settings), "MATCHBOOK_AIRFLOW_PASSWORD": console_password(settings)}
    return child_environment(settings) | ({} if settings.airflow_url else known)


def wait_for_reader(settings: Settings, started: ManagedProcess, patience_s: float = 60.0) -> None:
    """Wait until the reader answers. Raises ServiceError with the end of its log."""
    log = settings.home / "logs" / "reader.log"
    deadline = time.monotonic() + patience_s
    while not _answers(settings):
        if not started.alive() or time.monotonic() > deadline:
            raise ServiceError(f"the reader did not start at {settings.reader_address}; the end of {log}:\n{tail(log)}")
        time.sleep(0.2)


def _answers(settings: Settings) -> bool:
    connection = http.client.HTTPConnection(settings.reader_host, settings.reader_port, timeout=5)
    try:
        connection.request("GET", "/health/live")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
