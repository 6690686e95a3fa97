"""The part of Airflow's REST API that `make up` needs, over the standard library."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from models.errors import ServiceError

UNAUTHORISED, NOT_FOUND, CONFLICT = 401, 404, 409
PARTS = ("metadatabase", "scheduler", "dag_processor")
PATIENCE_S = 30.0  # of one request: the server is busy while everything starts

_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open  # never through a proxy to our own machine


class AirflowApi:
    """One logged-in user of the Airflow at `address`, e.g. http://127.0.0.1:8080; a browser finds it at `seen_at`."""

    def __init__(self, address: str, password: str, seen_at: str = "") -> None:
        self.address, self.seen_at = address, seen_at or address
        self._password = password
        self._token = ""

    def wait_until_healthy(self, alive: Callable[[], None], patience_s: float = 180.0) -> None:
        """Until database, scheduler and DAG processor report healthy; `alive` raises where a process has ended."""
        deadline = time.monotonic() + patience_s
        threading.Thread(target=self._wake_execution, args=(deadline,), daemon=True).start()
        while not self._healthy():
            alive()
            if time.monotonic() > deadline:
                raise ServiceError(f"Airflow at {self.address} is not healthy after {patience_s:.0f} s")
            time.sleep(0.3)

    def dag_known(self, dag: str) -> bool:
        """Whether the DAG processor has read the DAG. Raises ServiceError with the error of a broken DAG file."""
        if self._ask("GET", f"/api/v2/dags/{quote(dag)}", tolerated=NOT_FOUND) is not None:
            return True
        broken = self._ask("GET", "/api/v2/importErrors")["import_errors"]
        if broken:
            raise ServiceError(f"Airflow cannot read {broken[0]['filename']}:\n{broken[0]['stack_trace']}")
        return False

    def make_pools(self, pools: Mapping[str, Mapping[str, Any]]) -> None:
        """Create the pools that are not there; one that is there keeps its slots."""
        for name, pool in pools.items():
            self._ask("POST", "/api/v2/pools", {"name": name, **pool}, tolerated=CONFLICT)

    def unpause(self, dag: str) -> None:
        self._ask("PATCH", f"/api/v2/dags/{quote(dag)}?update_mask=is_paused", {"is_paused": False})

    def dags(self) -> list[str]:
        """Every DAG id."""
        return [d["dag_id"] for d in self._ask("GET", "/api/v2/dags?limit=100")["dags"]]

    def trigger(self, dag: str, run_id: str, run_after: str, conf: Mapping[str, Any]) -> None:
        """Queue a manual run."""
        self._ask(
            "POST",
            f"/api/v2/dags/{quote(dag)}/dagRuns",
            {"dag_run_id": run_id, "logical_date": None, "run_after": run_after, "conf": dict(conf)},
        )

    def unfinished_run(self, dag: str) -> str | None:
        """A queued or running manual run, the oldest."""
        wanted = "state=queued&state=running&run_type=manual&order_by=run_after&limit=1"
        runs = self._ask("GET", f"/api/v2/dags/{quote(dag)}/dagRuns?{wanted}")["dag_runs"]
        return str(runs[0]["dag_run_id"]) if runs else None

    def run_state(self, dag: str, run_id: str) -> str:
        """queued, running, success or failed."""
        return str(self._ask("GET", f"{_run(dag, run_id)}")["state"])

    def task_instances(self, dag: str, run_id: str) -> list[dict[str, Any]]:
        """Every task instance of a run as it is now."""
        found: list[dict[str, Any]] = []
        while True:
            page = self._ask("GET", f"{_run(dag, run_id)}/taskInstances?limit=100&offset={len(found)}")
            found += page["task_instances"]
            if len(found) >= page["total_entries"] or not page["task_instances"]:
                return found

    def log_of(self, dag: str, run_id: str, task: Mapping[str, Any]) -> list[str]:
        """The lines of the last try of a task instance."""
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

    def _wake_execution(self, deadline: float) -> None:
        """Let the part that tasks talk to make itself ready meanwhile: at its first request it takes many seconds."""
        while time.monotonic() < deadline:
            try:
                _open(f"{self.address}/execution/health", timeout=PATIENCE_S).close()
            except OSError:
                time.sleep(0.5)
            else:
                return

    def _ask(self, method: str, path: str, body: Any = None, tolerated: int | None = None) -> Any:
        """The answer as JSON, None for the tolerated status. A token that has expired is renewed once."""
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
                f"Airflow at {self.address} does not let us in: {error}; is another Airflow on that port?"
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
