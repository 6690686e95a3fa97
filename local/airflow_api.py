"""The part of Airflow's REST API that `make up` needs, with the standard library only."""

from __future__ import annotations

import json
import logging
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from local.airflow import CHECKOUT
from models.errors import ServiceError

UNAUTHORISED, NOT_FOUND, CONFLICT = 401, 404, 409
PARTS = ("metadatabase", "scheduler")
PATIENCE_S = 30.0  # for one request, because the server is busy at its start

_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open  # no proxy for our own machine


class AirflowApi:
    """A logged-in user of the Airflow at `address`, e.g. http://127.0.0.1:8080. Browsers use `seen_at`."""

    def __init__(self, address: str, password: str, seen_at: str = "") -> None:
        self.address, self.seen_at = address, seen_at or address
        self._password = password
        self._token = ""

    def wait_until_healthy(self, alive: Callable[[], None], patience_s: float = 600.0) -> None:
        """Wait until database and scheduler are healthy. `alive` raises if a process has ended."""
        deadline = time.monotonic() + patience_s
        while not self._healthy():
            alive()
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"Airflow at {self.address} is not healthy after {patience_s:.0f} s; see "
                    "logs/airflow-api-server.log in MATCHBOOK_HOME. Your data stay: run the same command again"
                )
            time.sleep(0.2)

    def dag_known(self, dag: str) -> bool:
        """Return whether the DAG processor has read the DAG. Raises ServiceError for a broken DAG file."""
        if self._ask("GET", f"/api/v2/dags/{quote(dag)}", tolerated=NOT_FOUND) is not None:
            return True
        broken = self._ask("GET", "/api/v2/importErrors")["import_errors"]
        if broken:
            raise ServiceError(f"Airflow cannot read {broken[0]['filename']}:\n{broken[0]['stack_trace']}")
        return False

    def make_pools(self, pools: Mapping[str, Mapping[str, Any]]) -> None:
        """Create missing pools; existing ones keep their slots."""
        for name, pool in pools.items():
            self._ask("POST", "/api/v2/pools", {"name": name, **pool}, tolerated=CONFLICT)

    def unpause(self, dag: str) -> None:
        self._ask("PATCH", f"/api/v2/dags/{quote(dag)}?update_mask=is_paused", {"is_paused": False})

    def paused(self) -> list[str]:
        return [d["dag_id"] for d in self._ask("GET", "/api/v2/dags?limit=100&paused=true")["dags"]]

    def trigger(self, dag: str, run_id: str, run_after: str, conf: Mapping[str, Any]) -> None:
        """Queue a manual run."""
        self._ask(
            "POST",
            f"/api/v2/dags/{quote(dag)}/dagRuns",
            {"dag_run_id": run_id, "logical_date": None, "run_after": run_after, "conf": dict(conf)},
        )

    def unfinished_run(self, dag: str) -> str | None:
        """Return the oldest queued or running manual run, or None."""
        wanted = "state=queued&state=running&run_type=manual&order_by=run_after&limit=1"
        runs = self._ask("GET", f"/api/v2/dags/{quote(dag)}/dagRuns?{wanted}")["dag_runs"]
        return str(runs[0]["dag_run_id"]) if runs else None

    def run_state(self, dag: str, run_id: str) -> str:
        """Return queued, running, success or failed."""
        return str(self._ask("GET", f"{_run(dag, run_id)}")["state"])

    def task_instances(self, dag: str, run_id: str) -> list[dict[str, Any]]:
        """Return the present state of each task instance of a run."""
        found: list[dict[str, Any]] = []
        while True:
            page = self._ask("GET", f"{_run(dag, run_id)}/taskInstances?limit=100&offset={len(found)}")
            found += page["task_instances"]
            if len(found) >= page["total_entries"] or not page["task_instances"]:
                return found

    def log_of(self, dag: str, run_id: str, task: Mapping[str, Any]) -> list[str]:
        """Return the log lines of a task instance's last try."""
        path = f"{_run(dag, run_id)}/taskInstances/{quote(task['task_id'])}/logs/{task['try_number']}"
        content = self._ask("GET", f"{path}?map_index={task['map_index']}&full_content=true")["content"]
        return [_line(entry) for entry in content] if isinstance(content, list) else str(content).splitlines()

    def _healthy(self) -> bool:
        try:
            with _open(f"{self.address}/api/v2/monitor/health", timeout=5) as answer:
                health = json.load(answer)
        except (OSError, ValueError):
            return False
        return all((health.get(part) or {}).get("status") == "healthy" for part in PARTS)

    def wake_execution(self) -> None:
        """Send the execution API its first request, because that takes many seconds."""
        with suppress(OSError):
            _open(f"{self.address}/execution/health", timeout=PATIENCE_S).close()

    def _ask(self, method: str, path: str, body: Any = None, tolerated: int | None = None) -> Any:
        """Return the answer as JSON; None for the tolerated status. Renews an expired token once."""
        for attempt in range(2):
            if not self._token:
                self._token = self._log_in()
            try:
                return self._send(method, path, body, {"Authorization": f"Bearer {self._token}"})
            except urllib.error.HTTPError as error:
                if error.code == tolerated:
                    return None
                if error.code == UNAUTHORISED and attempt == 0:
                    self._token = ""
                    continue
                said = error.read().decode()[:400]
                raise ServiceError(f"Airflow refused {method} {path}: {error.code} {said}") from error
            except OSError as error:
                raise ServiceError(f"Airflow at {self.address} does not answer {method} {path}: {error}") from error
        raise AssertionError("a request ends above")

    def _log_in(self) -> str:
        try:
            answer = self._send("POST", "/auth/token", {"username": "admin", "password": self._password}, {})
        except OSError as error:
            raise ServiceError(
                f"Airflow at {self.address} refused the login: {error}; check whether another Airflow uses that port"
            ) from error
        return str(answer["access_token"])

    def _send(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Any:
        data = None if body is None else json.dumps(body).encode()
        url, headers = self.address + path, {"Content-Type": "application/json", **headers}
        request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 our own http address
        with _open(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)


def _run(dag: str, run_id: str) -> str:
    return f"/api/v2/dags/{quote(dag)}/dagRuns/{quote(run_id)}"


def _line(entry: Any) -> str:
    if not isinstance(entry, dict):
        return str(entry)
    details = "".join(f"\n{e.get('exc_type')}: {e.get('exc_value')}" for e in entry.get("error_detail") or [])
    return f"{entry.get('event', '')}{details}"


log = logging.getLogger(__name__)

DAG = "build_recommendations"
POLL_S = 0.5
HEARTBEAT_S = 15.0
OVER = ("success", "failed", "skipped", "upstream_failed", "removed")
SHOWN_LINES = 12
FAILED, AIRFLOWS_OWN = "Task failed with exception", ("Retry policy decision",)


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
        if state in ("success", "failed"):
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
    states = {"success": seconds, "up_for_retry": "failed, will be tried again"}
    said = states.get(task["state"], task["state"].replace("_", " "))
    return f"{task['task_id'] + share:<48} {said}"


def _show_failures(api: AirflowApi, run_id: str, tasks: list[dict[str, Any]], say: Callable[[str], None]) -> None:
    for task in [t for t in tasks if t["state"] == "failed"][:3]:
        say(f"\n{task['task_id']} failed:")
        for line in _last_words(api.log_of(DAG, run_id, task)):
            say(f"    {line}")
    behind = sum(t["state"] == "upstream_failed" for t in tasks)
    say(f"\nThe build failed{f', {behind} later tasks did not run' if behind else ''}. See {run_address(api, run_id)}")


def _last_words(log: list[str]) -> list[str]:
    """Return a failed task's log lines from its error on, without Airflow's own lines."""
    lines = [line for line in "\n".join(log).splitlines() if not line.startswith("::")]
    if FAILED in lines:
        lines = lines[lines.index(FAILED) + 1 :]
    return [line for line in lines if line not in AIRFLOWS_OWN][:SHOWN_LINES]
