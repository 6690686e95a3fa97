"""One build as Airflow sees it: started, or found under way, and followed task by task until it ends."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from models.errors import ServiceError
from pipelines.local.airflow_api import AirflowApi
from pipelines.local.airflow_process import CHECKOUT

log = logging.getLogger(__name__)

DAG = "build_recommendations"
POLL_S = 0.5
HEARTBEAT_S = 15.0
OVER = ("success", "failed", "skipped", "upstream_failed", "removed")
SHOWN_LINES = 12
FAILED, AIRFLOWS_OWN = "Task failed with exception", ("Retry policy decision",)


def prepare_dags(api: AirflowApi, alive: Callable[[], None], patience_s: float = 120.0) -> None:
    """Wait for Airflow and for our DAG, and make the pools that it names. Raises ServiceError."""
    api.wait_until_healthy(alive)
    api.make_pools(json.loads((CHECKOUT / "dags" / "matchbook_tasks" / "pools.json").read_text()))
    deadline = time.monotonic() + patience_s
    while not api.dag_known(DAG):
        alive()
        if time.monotonic() > deadline:
            raise ServiceError(
                f"Airflow has not read the DAG {DAG} after {patience_s:.0f} s; look into the log of its DAG processor"
            )
        time.sleep(0.5)


def begin(api: AirflowApi, as_of: datetime | None, say: Callable[[str], None] = log.info) -> str:
    """Queue a first build and let it run; returns its run id. A build that was interrupted is taken up again instead.

    Unpausing makes Airflow create the scheduled run of the last interval at once. Runs start in the order of
    `run_after`: ours is dated a day back, so that it is the first.
    """
    run_id = api.unfinished_run(DAG)
    if run_id is None:
        now = datetime.now(UTC)
        run_id = f"first_build__{now:%Y-%m-%dT%H:%M:%S}"
        conf = {"as_of": (as_of or now).isoformat()}
        api.trigger(DAG, run_id, (now - timedelta(hours=25)).isoformat(), conf)
        say(f"Building the first lists through Airflow: {run_address(api, run_id)}")
    else:
        say(f"Going on with the build that was interrupted: {run_address(api, run_id)}")
    api.unpause(DAG)
    return run_id


def follow(api: AirflowApi, run_id: str, say: Callable[[str], None], alive: Callable[[], None]) -> bool:
    """Show each task as it ends; True where the run succeeded, else the last words of what failed are shown."""
    shown = _Shown(say)
    while True:
        alive()
        state = api.run_state(DAG, run_id)
        tasks = api.task_instances(DAG, run_id)
        shown.update(tasks)
        if state in ("success", "failed"):
            break
        time.sleep(POLL_S)
    if state == "failed":
        _show_failures(api, run_id, tasks, say)
    return state == "success"


def run_address(api: AirflowApi, run_id: str) -> str:
    """Where the run is seen in a browser."""
    return f"{api.seen_at}/dags/{DAG}/runs/{run_id}"


@dataclass
class _Shown:
    """What has been printed of a run so far."""

    say: Callable[[str], None]
    over: set[tuple[str, int, int]] = field(default_factory=set)
    done: int = 0
    spoken: float = field(default_factory=time.monotonic)

    def update(self, tasks: list[dict[str, Any]]) -> None:
        total = Counter(t["task_id"] for t in tasks)
        for task in sorted(tasks, key=lambda t: t["end_date"] or ""):
            key = (task["task_id"], task["map_index"], task["try_number"])
            if task["state"] in (*OVER, "up_for_retry") and key not in self.over:
                self.over.add(key)
                self.done += task["state"] in OVER
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
    told = {"success": seconds, "up_for_retry": "failed, will be tried again"}
    said = told.get(task["state"], task["state"].replace("_", " "))
    return f"{task['task_id'] + share:<48} {said}"


def _show_failures(api: AirflowApi, run_id: str, tasks: list[dict[str, Any]], say: Callable[[str], None]) -> None:
    for task in [t for t in tasks if t["state"] == "failed"][:3]:
        say(f"\n{task['task_id']} failed:")
        for line in _last_words(api.log_of(DAG, run_id, task)):
            say(f"    {line}")
    behind = sum(t["state"] == "upstream_failed" for t in tasks)
    say(
        f"\nThe build failed{f', {behind} tasks behind it did not run' if behind else ''}. Look at it here: "
        f"{run_address(api, run_id)}"
    )


def _last_words(log: list[str]) -> list[str]:
    """What a task said when it failed, without Airflow's own lines around it."""
    lines = [line for line in "\n".join(log).splitlines() if not line.startswith("::")]
    if FAILED in lines:
        lines = lines[lines.index(FAILED) + 1 :]
    return [line for line in lines if line not in AIRFLOWS_OWN][:SHOWN_LINES]
