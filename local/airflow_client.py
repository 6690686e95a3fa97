"""The part of Airflow's REST API that `make up` and the reader's console need, with the standard library only."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from models.errors import ServiceError

UNAUTHORISED, NOT_FOUND, CONFLICT = 401, 404, 409
WAITING = ("awaiting_input", "deferred")  # states of a task that waits for a person; the second before Airflow 3.3
RUN_OVER = ("success", "failed")  # states of a run that has ended
TASK_OVER = (*RUN_OVER, "skipped", "upstream_failed", "removed")  # of a task
SHOWN_LINES = 12  # of the log of a failed task
FAILED, AIRFLOWS_OWN = "Task failed with exception", ("Retry policy decision",)
PARTS = ("metadatabase", "scheduler")
PATIENCE_S = 30.0  # for one request, because the server is busy at its start

_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open  # no proxy for our own machine


class AirflowApi:
    """A logged-in user of the Airflow at `address`, e.g. http://127.0.0.1:8080. Browsers use `seen_at`.

    patience_s: seconds for one request.
    """

    def __init__(
        self,
        address: str,
        password: str,
        seen_at: str = "",
        user: str = "admin",
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.address, self.seen_at = address, seen_at or address
        self._user, self._password, self._patience_s = user, password, patience_s
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

    def is_paused(self, dag: str) -> bool:
        """Return whether runs of the DAG wait until somebody unpauses it."""
        return bool(self._ask("GET", f"/api/v2/dags/{quote(dag)}")["is_paused"])

    def paused(self) -> list[str]:
        return [d["dag_id"] for d in self._ask("GET", "/api/v2/dags?limit=100&paused=true")["dags"]]

    def failing(self, tag: str) -> list[dict[str, Any]]:
        """Return the DAGs with this tag whose last run failed."""
        return list(self._ask("GET", f"/api/v2/dags?limit=100&tags={quote(tag)}&last_dag_run_state=failed")["dags"])

    def trigger(self, dag: str, run_id: str, run_after: str, conf: Mapping[str, Any], note: str = "") -> bool:
        """Queue a manual run. Returns False if a run has this id. note: shown with the run in Airflow."""
        body = {"dag_run_id": run_id, "logical_date": None, "run_after": run_after, "conf": dict(conf)}
        body |= {"note": note} if note else {}
        return self._ask("POST", f"/api/v2/dags/{quote(dag)}/dagRuns", body, tolerated=CONFLICT) is not None

    def runs(self, dags: Sequence[str], most: int, *states: str) -> list[dict[str, Any]]:
        """Return runs of these DAGs, the newest first. states: only these; none: all."""
        wanted = {"dag_ids": [*dags], "states": states or None, "page_limit": most, "order_by": "-run_after"}
        return list(self._ask("POST", "/api/v2/dags/~/dagRuns/list", wanted)["dag_runs"])

    def run(self, dag: str, run_id: str) -> dict[str, Any] | None:
        """Return a run, or None if Airflow does not know it."""
        found: dict[str, Any] | None = self._ask("GET", _run(dag, run_id), tolerated=NOT_FOUND)
        return found

    def note(self, dag: str, run_id: str, note: str) -> None:
        """Replace the note of a run."""
        self._ask("PATCH", f"{_run(dag, run_id)}?update_mask=note", {"note": note})

    def questions(self, dag: str) -> list[dict[str, Any]]:
        """Return the tasks of a DAG that wait for a person's answer, with subject, body and options."""
        states = "".join(f"&state={state}" for state in WAITING)
        path = f"/api/v2/dags/{quote(dag)}/dagRuns/~/hitlDetails?response_received=false&limit=10{states}"
        return list(self._ask("GET", path)["hitl_details"])

    def answer(self, dag: str, run_id: str, task: str, chosen: str, by: str = "") -> bool:
        """Answer a waiting task. Returns False if it was answered before. by: who chose, beside Airflow's user."""
        path = f"{_run(dag, run_id)}/taskInstances/{quote(task)}/-1/hitlDetails"
        body = {"chosen_options": [chosen], "params_input": {"by": by} if by else {}}
        return self._ask("PATCH", path, body, tolerated=CONFLICT) is not None

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

    def result(self, dag: str, run_id: str, task: str) -> Any:
        """Return the return value of a task, also of a skipped one; None if there is none."""
        path = f"{_run(dag, run_id)}/taskInstances/{quote(task)}/xcomEntries/return_value"
        found = self._ask("GET", path, tolerated=NOT_FOUND)
        return None if found is None else found["value"]

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
            answer = self._send("POST", "/auth/token", {"username": self._user, "password": self._password}, {})
        except OSError as error:
            raise ServiceError(
                f"Airflow at {self.address} refused the login: {error}; check whether another Airflow uses that port"
            ) from error
        return str(answer["access_token"])

    def _send(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Any:
        data = None if body is None else json.dumps(body).encode()
        url, headers = self.address + path, {"Content-Type": "application/json", **headers}
        request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 our own http address
        with _open(request, timeout=self._patience_s) as answer:
            return json.load(answer)


def _run(dag: str, run_id: str) -> str:
    return f"/api/v2/dags/{quote(dag)}/dagRuns/{quote(run_id)}"


def _line(entry: Any) -> str:
    if not isinstance(entry, dict):
        return str(entry)
    details = "".join(f"\n{e.get('exc_type')}: {e.get('exc_value')}" for e in entry.get("error_detail") or [])
    return f"{entry.get('event', '')}{details}"


def last_words(log: list[str]) -> list[str]:
    """Return a failed task's log lines from its error on, without Airflow's own lines."""
    lines = [line for line in "\n".join(log).splitlines() if not line.startswith("::")]
    if FAILED in lines:
        lines = lines[lines.index(FAILED) + 1 :]
    return [line for line in lines if line not in AIRFLOWS_OWN][:SHOWN_LINES]
