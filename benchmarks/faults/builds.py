"""`python -m benchmarks.faults.builds [NAME …] [--users N] [--seed S]`: builds under faults.

Uses a real Airflow, a sample marketplace, and one fault in each build: a scoring task killed, the scheduler killed and
restarted, PostgreSQL's connection cut during the export, Redis killed while it loads a release, the disk full while a
model is stored (as root: a small tmpfs), two builds at once. Printed: each run's state, its retried and failed tasks
with errors, and whether the release equals that of an undisturbed build. Exit status 1 if a release is wrong or partly
loaded.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.faults import harm
from local.airflow import CHECKOUT, address, admin_password, start_airflow
from local.airflow_api import DAG, prepare_dags
from local.airflow_client import AirflowApi
from local.processes import ManagedProcess, stop_together
from local.servers import remove_home, servers
from models.errors import ServiceError
from models.settings.settings import Settings
from pipelines.ingest.ingest import import_folder
from pipelines.postgres import engine, migrate
from pipelines.redis_client import connect
from pipelines.sample.sample import ENDS, write_sample

SMALL = {
    "MATCHBOOK_ALS_FACTORS": "16",
    "MATCHBOOK_ALS_ITERATIONS": "5",
    "MATCHBOOK_TWO_TOWER_EPOCHS": "2",
    "MATCHBOOK_RANKER_EPOCHS": "2",
    "MATCHBOOK_RANKER_CUTS": "0",
    "MATCHBOOK_SHARDS": "4",
}
PATIENCE_S = 900.0


@dataclass(frozen=True)
class Place:
    """A running Matchbook.

    home: settings that start servers. settings: with the servers' addresses.
    """

    home: Settings
    settings: Settings
    api: AirflowApi
    airflow: dict[str, ManagedProcess]


@dataclass(frozen=True)
class Strike:
    """Injects a fault into one run."""

    place: Place
    run: str
    as_of: datetime
    rng: random.Random

    def until_running(self, task: str) -> Mapping[str, Any]:
        """Wait for the first running instance of a task, and return it."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            with suppress(ServiceError):  # the run does not exist yet
                for instance in self.place.api.task_instances(DAG, self.run):
                    if instance["task_id"] == task and instance["state"] == "running":
                        return instance
            time.sleep(0.05)
        raise TimeoutError(f"{task} of {self.run} never ran")


@dataclass(frozen=True)
class Outcome:
    """The end of a run under a fault.

    done: what the fault did. `told`: retried and failed tasks with errors.
    """

    done: str
    state: str
    told: list[str]
    release: str | None
    expected: str
    left: int
    seconds: float

    @property
    def right(self) -> bool:
        return self.release in (None, self.expected) and not self.left


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults.builds", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(FAULTS)}; default: all")
    parser.add_argument("--users", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    names, wrong = args.names or list(FAULTS), 0
    head = ("fault", "what it did", "run", "retried or failed tasks, and their errors", "release", "s")
    sys.stdout.write(f"| {' | '.join(head)} |\n|{'---|' * len(head)}\n")
    with place(args.users) as found:
        for day, name in enumerate(names):
            outcome = suffered(found, name, ENDS - timedelta(days=day), random.Random(args.seed + day))
            wrong += not outcome.right
            sys.stdout.write(row(name, outcome))
            sys.stdout.flush()
    return int(wrong > 0)


def row(name: str, outcome: Outcome) -> str:
    release = "none" if outcome.release is None else "right" if outcome.right else f"WRONG: {outcome.release}"
    said = "; ".join(outcome.told) or "nothing"
    return f"| {name} | {outcome.done} | {outcome.state} | {said} | {release} | {outcome.seconds:.0f} |\n"


@contextmanager
def place(users: int) -> Iterator[Place]:
    """Start PostgreSQL, Redis and Airflow with a sample marketplace; remove them at the end."""
    folder = Path(tempfile.mkdtemp(prefix="matchbook-builds-"))
    folder.chmod(0o755)
    os.environ.update(SMALL)
    home = replace(Settings.from_env(), home=folder / "home", airflow_port=harm.free_port())
    with servers(home) as settings:
        migrate(engine(settings))
        write_sample(folder / "data", users=users, startups=users // 4)
        import_folder(settings, folder / "data")
        airflow = start_airflow(settings)
        try:
            api = AirflowApi(address(settings), admin_password(settings))
            prepare_dags(api, lambda: None)
            api.unpause(DAG)
            yield Place(home, settings, api, airflow)
        finally:
            stop_together(airflow)
    remove_home(home)


def suffered(found: Place, name: str, as_of: datetime, rng: random.Random) -> Outcome:
    """Build a cutoff under the fault, then compare its release with that of an undisturbed build."""
    started, run = time.monotonic(), f"{name.replace(' ', '_')}_{as_of:%Y%m%d}"
    with ThreadPoolExecutor(1) as pool:
        striking = pool.submit(FAULTS[name], Strike(found, run, as_of, rng))
        trigger(found, run, as_of)
        state = ended(found, run)
        done = striking.result()
    seconds = time.monotonic() - started
    release = released(found, as_of)
    left = connect(found.settings).scard(f"{found.settings.namespace}:loading")
    return Outcome(done, state, told(found, run), release, in_peace(found, as_of), int(left), seconds)


def trigger(found: Place, run: str, as_of: datetime) -> None:
    conf = {"as_of": as_of.isoformat(), "force": True}  # each cutoff is older than the previous one
    found.api.trigger(DAG, run, as_of.isoformat(), conf)


def ended(found: Place, run: str) -> str:
    """Return the final state of a run; "hung" after PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            state = found.api.run_state(DAG, run)
        except ServiceError:  # the fault may take the API server's database away
            state = ""
        if state in ("success", "failed"):
            return state
        time.sleep(0.5)
    return "hung"


def told(found: Place, run: str) -> list[str]:
    """Return every retried or failed task: its state, and the error of its last failed try."""
    lines = []
    for task in found.api.task_instances(DAG, run):
        if task["try_number"] > 1 or task["state"] == "failed":
            failed = {**task, "try_number": 1}
            lines_of = "\n".join(found.api.log_of(DAG, run, failed)).splitlines()
            words = [w for w in lines_of if "Error:" in w or "SIGKILL" in w]
            said = f" ({words[-1].strip()[:160]})" if words else ""
            lines.append(f"{task['task_id']} {task['state']} at try {task['try_number']}{said}")
    return lines


def released(found: Place, as_of: datetime) -> str | None:
    """Return the live release if it has this cutoff."""
    live = connect(found.settings).get(f"{found.settings.namespace}:current")
    name = live.decode() if isinstance(live, bytes) else None
    return name if name and name.startswith(as_of.strftime("%Y%m%dT%H%M%S")) else None


def in_peace(found: Place, as_of: datetime) -> str:
    """Build the same cutoff undisturbed, in another home; return the name of its release."""
    with tempfile.TemporaryDirectory(prefix="matchbook-peace-") as home:
        env = {
            **os.environ,
            "MATCHBOOK_HOME": home,
            "MATCHBOOK_NAMESPACE": f"peace{as_of:%Y%m%d}",
            "DATABASE_URL": found.settings.database_url.reveal(),
            "REDIS_URL": found.settings.redis_url.reveal(),
        }
        words = [sys.executable, "-m", "pipelines", "build", "--as-of", as_of.isoformat()]
        done = subprocess.run(words, cwd=CHECKOUT, env=env, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        return next(p.name for p in (Path(home) / "artifacts" / "releases").iterdir())


def _killed_shard(strike: Strike) -> str:
    task = strike.until_running("score.score_shard")
    time.sleep(strike.rng.uniform(0, 1))
    return harm.kill(int(task["pid"] or 0))


def _killed_scheduler(strike: Strike) -> str:
    at = strike.rng.choice(["train.two_tower", "judge.evaluate", "score.score_shard"])
    strike.until_running(at)
    place = strike.place
    harm.restart_component(place.settings, place.airflow, "airflow-scheduler", strike.rng.uniform(0, 2))
    return f"while {at} ran"


def _cut_export(strike: Strike) -> str:
    return harm.cut_export(strike.place.settings, strike.rng.uniform(0, 1))


def _killed_redis(strike: Strike) -> str:
    return harm.kill_redis_while_loading(strike.place.home, strike.place.settings)


def _full_disk(strike: Strike) -> str:
    def noticed() -> bool:
        with suppress(ServiceError):  # the run does not exist yet
            tasks = strike.place.api.task_instances(DAG, strike.run)
            return any(
                t["task_id"] == "train.als" and t["state"] in ("up_for_retry", "failed", "success") for t in tasks
            )
        return False

    return harm.fill_disk(strike.place.settings.artifacts / "bundles" / "als_v1", noticed)


def _two_at_once(strike: Strike) -> str:
    trigger(strike.place, f"{strike.run}_too", strike.as_of)
    words = [sys.executable, "-m", "pipelines", "build", "--as-of", strike.as_of.isoformat()]
    env = {**os.environ, "MATCHBOOK_HOME": str(strike.place.settings.home)}
    status = subprocess.run(words, cwd=CHECKOUT, env=env, capture_output=True).returncode
    return f"second run: {ended(strike.place, f'{strike.run}_too')}, command line: {status}"


FAULTS: dict[str, Callable[[Strike], str]] = {
    "nothing": lambda _: "nothing",
    "scoring task killed": _killed_shard,
    "scheduler killed and started again": _killed_scheduler,
    "PostgreSQL cut during the export": _cut_export,
    "Redis killed while loading": _killed_redis,
    "disk full while storing a model": _full_disk,
    "two builds at once": _two_at_once,
}


if __name__ == "__main__":
    sys.exit(main())
