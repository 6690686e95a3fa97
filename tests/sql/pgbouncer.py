"""Run a separate PgBouncer in transaction pooling mode with its defaults.

It refuses start-up options, and each transaction may use another connection.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest


def binary() -> str:
    """Return Debian's pgbouncer. Without it skip the test with the reason: no wheel has it."""
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip("no pgbouncer on this machine: install the Debian package `pgbouncer` to run this test")
    return found


@contextmanager
def pgbouncer(folder: Path, url: str) -> Iterator[str]:
    """Yield the address of the database of `url` behind a pool of one connection.

    Every account can reach the folder.
    """
    program, parts = binary(), urlsplit(url)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    database = parts.path[1:]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "users.txt").write_text(f'"{parts.username}" "{parts.password}"\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n{database} = host={parts.hostname} port={parts.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nauth_type = scram-sha-256\nauth_file = {folder}/users.txt\nunix_socket_dir =\n"
        "pool_mode = transaction\ndefault_pool_size = 1\n"
    )
    command = [program, "-q", str(folder / "pgbouncer.ini")]
    if os.geteuid() == 0:  # it refuses to run as root
        command[1:1] = ["-u", "nobody"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        address = parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}").geturl()
        _until_it_answers(address, process, folder / "log")
        yield address
    finally:
        process.terminate()
        process.wait(timeout=10)


def _until_it_answers(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 20
    while True:
        try:
            psycopg2.connect(address).close()
        except psycopg2.OperationalError as error:
            assert process.poll() is None and time.monotonic() < end, f"{error}\n{log.read_text()}"
            time.sleep(0.05)
        else:
            return
