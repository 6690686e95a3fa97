"""What Airflow and the processes beside it leave behind, kept to a bound: rows of its metadata and logs."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from models.errors import ServiceError
from models.settings import Settings

log = logging.getLogger(__name__)
#: Runs every minute, and says little: after two days nobody asks for one of them.
MINUTELY, MINUTELY_DAYS = "drain_events", 2.0
#: A log of a process that never ends; beyond it the older half is dropped.
LOG_MOST = 64 << 20
#: Tables in which one DAG's rows can be told apart, and what hangs on them. With --dag-ids Airflow 3.3 fails on tables
#: without that column (deadline, task_reschedule), whose rows go with their runs.
_OF_RUNS = ("dag_run", "log")
_BLOCKED = "airflow-db-not-allowed"
_TOLD = 2000  # characters of what Airflow said


def clean_airflow(settings: Settings, now: datetime | None = None) -> dict[str, Any]:
    """Delete rows and task logs older than [airflow] keep_days, by `airflow db clean`; cut logs that are long.

    Returns {rows: whether the metadata was cleaned, logs, cut}. Where Airflow's database is not known its rows are
    left alone. Raises ServiceError with what Airflow said.
    """
    now, days = now or datetime.now(UTC), settings.airflow.keep_days
    if settings.airflow_database_url:
        _clean(settings, now - timedelta(days=days), "--error-on-cleanup-failure")
        _clean(
            settings,
            now - timedelta(days=min(days, MINUTELY_DAYS)),
            "--dag-ids",
            MINUTELY,
            "--tables",
            ",".join(_OF_RUNS),
        )
    else:
        log.warning("Airflow's metadata is left alone and grows: set MATCHBOOK_AIRFLOW_DATABASE_URL to its database")
    folder = settings.airflow_log_folder
    gone = _drop_old(folder, (now - timedelta(days=days)).timestamp())
    gone += _drop_old(folder / f"dag_id={MINUTELY}", (now - timedelta(days=min(days, MINUTELY_DAYS))).timestamp())
    return {"rows": bool(settings.airflow_database_url), "logs": gone, "cut": cut_logs(settings.home / "logs")}


def cut_logs(folder: Path, most: int = LOG_MOST) -> int:
    """Drop the older half of every log beyond `most` bytes, in place: whoever writes appends, and goes on doing so.
    Returns how many were cut. What is written in the moment of the cut may be lost."""
    long = [p for p in sorted(folder.glob("*.log")) if p.is_file() and p.stat().st_size > most]
    for path in long:
        with path.open("r+b") as file:
            file.seek(-most // 2, os.SEEK_END)
            file.readline()  # to the beginning of a line
            rest = file.read()
            file.seek(0)
            file.truncate()
            file.write(rest)
    return len(long)


def _clean(settings: Settings, before: datetime, *words: str) -> None:
    """Run `airflow db clean` against the metadata, whose address Airflow keeps from its tasks."""
    given = {k: v for k, v in os.environ.items() if not v.startswith(_BLOCKED)}
    env = given | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": settings.airflow_sqlalchemy_url}
    command = [
        str(Path(sys.executable).with_name("airflow")),
        "db",
        "clean",
        "--yes",
        "--skip-archive",
        "--clean-before-timestamp",
        before.astimezone(UTC).isoformat(),
        *words,
    ]
    done = subprocess.run(command, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise ServiceError(f"`airflow db clean` failed: {(done.stdout + done.stderr)[-_TOLD:]}")


def _drop_old(folder: Path, before: float) -> int:
    """Delete files not written since, then folders that are empty and old; returns how many files."""
    gone = 0
    for path in sorted(folder.rglob("*"), reverse=True):  # what is inside before what holds it
        try:
            if path.lstat().st_mtime >= before:
                continue
            if path.is_dir() and not path.is_symlink():
                if not any(path.iterdir()):
                    path.rmdir()
            else:
                path.unlink()
                gone += 1
        except FileNotFoundError:  # another one was quicker
            continue
    return gone
