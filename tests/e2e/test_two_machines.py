"""Run Celery workers with separate homes. They share only PostgreSQL, Redis and the artefacts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.airflow import CHECKOUT, shared_environment
from local.airflow_api import begin, follow
from local.processes import start, stop_together
from pipelines.redis_client import current_release
from pipelines.store.artifacts import Artifacts
from tests.e2e.conftest import House, Houses
from tests.marketplace.tiny import AFTER_ALL

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def house(houses: Houses, tmp_path_factory: pytest.TempPathFactory) -> House:
    """Start `make up` with Celery workers, and artefacts in a storage that only fsspec reaches."""
    storage = tmp_path_factory.mktemp("storage")
    return houses(
        {"MATCHBOOK_EXECUTOR": "celery", "MATCHBOOK_ARTIFACTS": f"local://{storage}", "MATCHBOOK_RANKER_CUTS": "0"}
    )


@pytest.fixture(scope="module")
def other(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield the home of a second worker, which has only the variables that `worker-env` prints."""
    home = tmp_path_factory.mktemp("other") / "home"
    told = {**shared_environment(house.settings), "MATCHBOOK_HOME": str(home)}
    mine = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "MATCHBOOK_"))}
    kept = {k: v for k, v in os.environ.items() if k.startswith("MATCHBOOK_")}  # the same settings as the first worker
    words = [
        sys.executable,
        "-m",
        "pipelines",
        "airflow",
        "celery",
        "worker",
        "--skip-serve-logs",
        "--concurrency",
        "1",
        "--celery-hostname",
        "other@%h",
    ]
    worker = {"other": start(words, home / "logs" / "worker.log", {**mine, **kept, **told}, CHECKOUT, group=True)}
    yield home
    stop_together(worker)


def tasks_run_in(home: Path) -> set[str]:
    """Return the names of the tasks with a log in this home."""
    return {p.name.removeprefix("task_id=") for p in (home / "airflow" / "logs").rglob("task_id=*")}


def built_alone(house: House, home: Path) -> Path:
    """Build the same cutoff on one machine without Airflow and storage. Return the release."""
    env = {k: v for k, v in os.environ.items() if k not in ("MATCHBOOK_ARTIFACTS", "MATCHBOOK_EXECUTOR")}
    alone = {
        **env,
        "MATCHBOOK_HOME": str(home),
        "MATCHBOOK_NAMESPACE": "alone",
        "DATABASE_URL": house.settings.database_url.reveal(),
        "REDIS_URL": house.settings.redis_url.reveal(),
    }
    done = subprocess.run(
        [sys.executable, "-m", "pipelines", "build", "--as-of", AFTER_ALL.isoformat()],
        cwd=CHECKOUT,
        env=alone,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return next((home / "artifacts" / "releases").iterdir())


def test_a_build_is_shared_by_two_workers_and_makes_the_same_lists(
    house: House, other: Path, patiently: Callable[..., Any], tmp_path: Path
) -> None:
    log = other / "logs" / "worker.log"
    patiently(house, lambda: log.is_file() and "ready" in log.read_text())
    run, told = begin(house.api, AFTER_ALL), list[str]()
    assert follow(house.api, run, told.append, house.alive), "\n".join(told)
    one, two = tasks_run_in(house.settings.home), tasks_run_in(other)
    assert len(one) > 3 and len(two) > 3, f"the work was not shared: {one} | {two}"
    live = current_release(house.settings)
    assert live is not None and Artifacts(house.settings).directory(live).is_dir()
    assert built_alone(house, tmp_path / "alone").name == live
