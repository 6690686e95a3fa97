"""Follow the builds that `make up` starts, over Airflow's REST API."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from local.airflow import CHECKOUT
from local.airflow_client import RUN_OVER, TASK_OVER, AirflowApi, last_words
from models.errors import ServiceError
from models.run_directory import BUILD_DAG

log = logging.getLogger(__name__)
DAG = BUILD_DAG

POLL_S = 1.0
HEARTBEAT_S = 15.0


def prepare_dags(
    api: AirflowApi,
    alive: Callable[[], None],
    healthy: Callable[[], None] = lambda: None,
    patience_s: float = 120.0,
) -> None:
    """Wait for Airflow and our DAG, and create its pools. Raises ServiceError.

    healthy: called once Airflow answers, before the wait for the DAG.
    """
    api.wait_until_healthy(alive)
    healthy()
    api.make_pools(json.loads((CHECKOUT / "dags" / "matchbook_tasks" / "pools.json").read_text()))
    deadline = time.monotonic() + patience_s
    if not api.dag_known(DAG):  # a first start, so a build comes soon
        threading.Thread(target=api.wake_execution, daemon=True).start()
    while not api.dag_known(DAG):
        alive()
        if time.monotonic() > deadline:
            raise ServiceError(
                f"Airflow has not read the DAG {DAG} after {patience_s:.0f} s; see the log of its DAG processor"
            )
        time.sleep(0.5)


def begin(api: AirflowApi, as_of: datetime | None, say: Callable[[str], None] = log.info) -> str:
    """Queue a first build and unpause the DAG; return the run id. Continues an interrupted build instead.

    Unpausing makes Airflow create the scheduled run of the last interval at once. Runs start in the order of
    `run_after`. So ours is dated one day back to be the first.
    """
    run_id = api.unfinished_run(DAG)
    if run_id is None:
        now = datetime.now(UTC)
        run_id = f"first_build__{now:%Y-%m-%dT%H:%M:%S}"
        conf = {"as_of": (as_of or now).isoformat()}
        api.trigger(DAG, run_id, (now - timedelta(hours=25)).isoformat(), conf)
        say(f"Building the first lists through Airflow: {run_address(api, run_id)}")
    else:
        say(f"Continuing the interrupted build: {run_address(api, run_id)}")
    api.unpause(DAG)
    return run_id


def follow(api: AirflowApi, run_id: str, say: Callable[[str], None], alive: Callable[[], None]) -> bool:
    """Print each task as it ends; return True if the run succeeded.

    Otherwise print the last log lines of failed tasks.
    """
    shown = _Shown(say)
    while True:
        alive()
        state = api.run_state(DAG, run_id)
        tasks = api.task_instances(DAG, run_id)
        shown.update(tasks)
        if state in RUN_OVER:
            break
        time.sleep(POLL_S)
    if state == "failed":
        _show_failures(api, run_id, tasks, say)
    return state == "success"


def run_address(api: AirflowApi, run_id: str) -> str:
    return f"{api.seen_at}/dags/{DAG}/runs/{run_id}"


@dataclass
class _Shown:
    """What was printed of a run so far."""

    say: Callable[[str], None]
    over: set[tuple[str, int, int]] = field(default_factory=set)
    done: int = 0
    spoken: float = field(default_factory=time.monotonic)

    def update(self, tasks: list[dict[str, Any]]) -> None:
        total = Counter(t["task_id"] for t in tasks)
        for task in sorted(tasks, key=lambda t: t["end_date"] or ""):
            key = (task["task_id"], task["map_index"], task["try_number"])
            if task["state"] in (*TASK_OVER, "up_for_retry") and key not in self.over:
                self.over.add(key)
                self.done += task["state"] in TASK_OVER
                if task["state"] == "upstream_failed":
                    continue
                self._line(_told(task, total[task["task_id"]]), len(tasks))
        running = [t["task_id"] for t in tasks if t["state"] == "running"]
        if running and time.monotonic() - self.spoken > HEARTBEAT_S:
            self._line(f"still running: {', '.join(sorted(set(running)))}", len(tasks))

    def _line(self, text: str, total: int) -> None:
        self.spoken = time.monotonic()
        self.say(f"  {self.done:>3}/{total}  {text}")


def _told(task: dict[str, Any], instances: int) -> str:
    share = f" [{task['map_index'] + 1} of {instances}]" if task["map_index"] >= 0 else ""
    seconds = "" if task["duration"] is None else f"{task['duration']:.1f} s"
    states = {"success": seconds, "up_for_retry": "failed, will be tried again"}
    said = states.get(task["state"], task["state"].replace("_", " "))
    return f"{task['task_id'] + share:<48} {said}"


def _show_failures(api: AirflowApi, run_id: str, tasks: list[dict[str, Any]], say: Callable[[str], None]) -> None:
    for task in [t for t in tasks if t["state"] == "failed"][:3]:
        say(f"\n{task['task_id']} failed:")
        for line in last_words(api.log_of(DAG, run_id, task)):
            say(f"    {line}")
    behind = sum(t["state"] == "upstream_failed" for t in tasks)
    say(f"\nThe build failed{f', {behind} later tasks did not run' if behind else ''}. See {run_address(api, run_id)}")
