"""The faults themselves: what is killed, cut or filled, and how it comes back."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg2

from models.settings import Settings
from pipelines.local.airflow_process import COMPONENTS, airflow_environment, start_component
from pipelines.local.processes import Started
from pipelines.local.servers import start_servers
from pipelines.release.cache import connect

PATIENCE_S = 600.0
SMALL_DISK = "size=64k"


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def restart_component(settings: Settings, airflow: dict[str, Started], name: str, pause_s: float) -> None:
    """Kill a process of Airflow with everything in its session, as for want of memory; start it anew."""
    for process in airflow[name].members():
        process.kill()
    time.sleep(pause_s)
    airflow[name] = start_component(settings, name, COMPONENTS[name], airflow_environment(settings))


def cut_export(settings: Settings, hold_s: float) -> None:
    """Hold the platform's users until the export waits for them, then end its connection from PostgreSQL's side."""
    url = "postgresql://" + settings.database_url.reveal().partition("://")[2]
    holder, killer = psycopg2.connect(url), psycopg2.connect(url)
    killer.autocommit = True
    with holder.cursor() as hold, killer.cursor() as kill:
        hold.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            kill.execute("SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
                         "AND wait_event_type = 'Lock' AND query ILIKE '%COPY%'")
            waiting = [pid for (pid,) in kill.fetchall()]
            if waiting:
                time.sleep(hold_s)
                for pid in waiting:
                    kill.execute("SELECT pg_terminate_backend(%s)", (pid,))
                break
            time.sleep(0.05)
        holder.rollback()
    holder.close()
    killer.close()


def kill_redis_while_loading(home: Settings, settings: Settings) -> None:
    """Kill Redis the moment a publisher has begun to load a release, and start it again."""
    client, loading = connect(settings), f"{settings.namespace}:loading"
    pid = int(client.info("server")["process_id"])  # type: ignore[index]
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if client.scard(loading):
            psutil.Process(pid).kill()
            time.sleep(2)
            start_servers(home)
            return
        time.sleep(0.0005)


def fill_disk(folder: Path, noticed: Callable[[], bool]) -> None:
    """Put a disk of a few kilobytes in place of a folder until somebody has noticed. Needs root."""
    if os.geteuid() != 0:
        return
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", SMALL_DISK, "tmpfs", str(folder)], check=True)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and not noticed():
            time.sleep(0.2)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
