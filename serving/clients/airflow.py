"""Ask Airflow's REST API for builds and questions, and trigger its DAGs, for the console."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote

from local.airflow_client import AirflowApi, last_words
from models.errors import ServiceError
from models.run_directory import BUILD_DAG
from models.settings.settings import Settings
from serving.clients.breaker import Breaker

PATIENCE_S = 3.0  # seconds for one request: a page waits for it
PAUSE_S = 5.0  # seconds until a silent Airflow is asked again
T = TypeVar("T")


class Airflow:
    """Sends the console's requests. Each raises ServiceError if Airflow does not answer, or none is known."""

    def __init__(self, settings: Settings) -> None:
        self._seen_at = settings.airflow_address
        self._api = AirflowApi(
            settings.airflow_url.rstrip("/"),
            settings.airflow_password.reveal(),
            self._seen_at,
            settings.airflow_user,
            PATIENCE_S,
        )
        self._breaker = Breaker("Airflow", pause_s=PAUSE_S)

    @property
    def known(self) -> bool:
        """Return whether an Airflow is configured."""
        return bool(self._api.address)

    def run_address(self, dag: str, run_id: str) -> str:
        """Return the page of a run in Airflow's UI; empty without an Airflow."""
        return f"{self._seen_at}/dags/{quote(dag)}/runs/{quote(run_id, safe='')}" if self._seen_at else ""

    def report_address(self, release: str) -> str:
        """Return the page of a build's report in Airflow's UI; empty without an Airflow."""
        return f"{self._seen_at}/matchbook/reports/{quote(release)}" if self._seen_at else ""

    def runs(self, dag: str, most: int, *states: str) -> list[dict[str, Any]]:
        """Return runs of a DAG, the newest first."""
        return self._asked(lambda: self._api.runs(dag, most, *states))

    def run(self, dag: str, run_id: str) -> dict[str, Any] | None:
        return self._asked(lambda: self._api.run(dag, run_id))

    def tasks(self, dag: str, run_id: str) -> list[dict[str, Any]]:
        """Return the present state of each task instance of a run."""
        return self._asked(lambda: self._api.task_instances(dag, run_id))

    def outcome(self, dag: str, run_id: str, tasks: Sequence[Mapping[str, Any]]) -> tuple[Any, list[str]]:
        """Return the return value of the last ended task, and the last log lines of a failed one."""
        ended = [t for t in tasks if t["end_date"]]
        last = max(ended, key=lambda t: t["end_date"], default=None)
        failed = next((t for t in ended if t["state"] == "failed"), None)
        result = self._asked(lambda: self._api.result(dag, run_id, last["task_id"])) if last else None
        log = self._asked(lambda: last_words(self._api.log_of(dag, run_id, failed))) if failed else []
        return result, log

    def questions(self) -> list[dict[str, Any]]:
        """Return the gates that wait for a person."""
        return self._asked(lambda: self._api.questions(BUILD_DAG))

    def trigger(self, dag: str, conf: dict[str, Any], by: str) -> str:
        """Queue a run and return its id. by: who asked, for the run's note."""
        now = datetime.now(UTC)
        run_id = f"console__{now:%Y-%m-%dT%H:%M:%S.%f}"
        self._asked(lambda: self._api.trigger(dag, run_id, now.isoformat(), conf, by))
        return run_id

    def answer(self, run_id: str, task: str, chosen: str, by: str) -> bool:
        """Answer a waiting gate and note who did. Returns False if it was answered before."""
        if not self._asked(lambda: self._api.answer(BUILD_DAG, run_id, task, chosen)):
            return False
        self._asked(lambda: self._api.note(BUILD_DAG, run_id, f"{chosen}: {by}"))
        return True

    def _asked(self, question: Callable[[], T]) -> T:
        if not self.known:
            raise ServiceError("no Airflow is known to this reader: set MATCHBOOK_AIRFLOW_URL and its password")
        with self._breaker.guard(ServiceError):
            return question()
