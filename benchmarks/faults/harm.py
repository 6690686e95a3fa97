"""Inject one fault (kill, cut, fill) and recover."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg2

from local.airflow import COMPONENTS, airflow_environment, start_component
from local.processes import ManagedProcess
from local.servers import start_servers
from models.settings.settings import Settings
from pipelines.redis_client import connect

PATIENCE_S = 600.0
SMALL_DISK = "size=8k"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def restart_component(settings: Settings, airflow: dict[str, ManagedProcess], name: str, pause_s: float) -> None:
    """Kill one process of Airflow with its session, as the out-of-memory killer would; restart it."""
    for process in airflow[name].members():
        process.kill()
    time.sleep(pause_s)
    airflow[name] = start_component(settings, name, COMPONENTS[name], airflow_environment(settings))


def kill(pid: int) -> str:
    """Kill one process; return a sentence that says whether it existed."""
    try:
        name = " ".join(psutil.Process(pid).cmdline())[:60]
        psutil.Process(pid).kill()
    except psutil.NoSuchProcess:
        return f"process {pid} had ended"
    return f"killed {pid} ({name})"


def cut_export(settings: Settings, hold_s: float) -> str:
    """Lock the platform's users until the export waits, then terminate its connection in PostgreSQL."""
    url = "postgresql://" + settings.database_url.reveal().partition("://")[2]
    holder, killer, ended = psycopg2.connect(url), psycopg2.connect(url), 0
    killer.autocommit = True
    with holder.cursor() as hold, killer.cursor() as kill:
        hold.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            kill.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
                "AND wait_event_type = 'Lock' AND query ILIKE '%COPY%'"
            )
            waiting = [pid for (pid,) in kill.fetchall()]
            if waiting:
                time.sleep(hold_s)
                for pid in waiting:
                    kill.execute("SELECT pg_terminate_backend(%s)", (pid,))
                ended = len(waiting)
                break
            time.sleep(0.05)
        holder.rollback()
    holder.close()
    killer.close()
    return f"ended {ended} connections"


def kill_redis_while_loading(home: Settings, settings: Settings) -> str:
    """Kill Redis when a publisher has started to load a release, and start it again."""
    client, loading = connect(settings), f"{settings.namespace}:loading"
    pid = int(client.info("server")["process_id"])
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if client.scard(loading):
            psutil.Process(pid).kill()
            time.sleep(2)
            start_servers(home)
            return "killed for 2 s"
        time.sleep(0.0005)
    return "never saw a release being loaded"


def fill_disk(folder: Path, noticed: Callable[[], bool]) -> str:
    """Mount a disk of a few kilobytes over a folder until `noticed` is true. Needs root."""
    if os.geteuid() != 0:
        return "nothing: mounting needs root"
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", SMALL_DISK, "tmpfs", str(folder)], check=True)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and not noticed():
            time.sleep(0.2)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
    return "8 KiB until the task had failed"
