"""A server that answers as Airflow's REST API does, with fixed runs and tasks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any
from urllib.parse import quote

from models.run_directory import BUILD_DAG


@contextmanager
def airflow(
    runs: Sequence[dict[str, Any]],
    tasks: Sequence[dict[str, Any]],
    after: Event | None = None,
    failing: Sequence[str] = (),
    queued: list[dict[str, Any]] | None = None,
) -> Iterator[str]:
    """Yield the address. Requests for runs get those of the wanted DAGs and states, all requests for tasks the same.

    after: an event before which it does not answer. failing: DAGs whose last run failed. queued: gets the runs that
    are triggered; one with the same id again is refused.
    """
    dags = [{"dag_id": dag, "description": f"about {dag}"} for dag in failing]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            same = [r for r in queued or [] if self.path.endswith("/" + quote(r["dag_run_id"], safe=""))]
            if same:
                self._answer(same[0])
                return
            self._answer({"task_instances": tasks, "total_entries": len(tasks), "hitl_details": [], "dags": dags})

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path.endswith("/dagRuns") and queued is not None:
                known = asked["dag_run_id"] in [r["dag_run_id"] for r in queued]
                queued.extend([] if known else [{"state": "queued", **asked}])
                self._answer({}, 409 if known else 200)
                return
            states, wanted = asked.get("states"), asked.get("dag_ids")
            found = [r for r in runs if not states or r["state"] in states]
            found = [r for r in found if not wanted or r.get("dag_id", BUILD_DAG) in wanted]
            self._answer({"access_token": "t", "dag_runs": found})

        def _answer(self, body: dict[str, Any], status: int = 200) -> None:
            if after is not None:
                after.wait(10)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
