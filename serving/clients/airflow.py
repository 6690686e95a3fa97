"""Ask Airflow's REST API for builds and questions, and trigger its DAGs, for the console."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote

from local.airflow_client import RUN_OVER, AirflowApi, last_words
from models.errors import ServiceError
from models.run_directory import BUILD_DAG, TAG
from models.settings.settings import Settings
from serving.clients.breaker import Breaker

LOOK_S, ACT_S = 5.0, 20.0  # seconds for one request: of a page that shows more than Airflow, and of an action
NOTE_MOST = 1000  # characters of a note
PAUSE_S = 5.0  # seconds until a silent Airflow is asked again
FAILED_MOST = 100  # failed runs among which the last one of each DAG is looked for
T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """A run of a DAG. about, tasks: as Airflow describes them. over: it has ended.

    paused: it waits because its DAG is paused. result: the return value of its last task. log: of a failed task.
    """

    about: dict[str, Any]
    tasks: list[dict[str, Any]]
    over: bool
    paused: bool
    result: Any
    log: list[str]


class Airflow:
    """Sends the console's requests. Each raises ServiceError if Airflow does not answer, or none is known."""

    def __init__(self, settings: Settings) -> None:
        self._seen_at, self.known = settings.airflow_address, bool(settings.airflow_url)
        self._looking, self._acting = (
            (_api(settings, patience_s), Breaker("Airflow", pause_s=PAUSE_S)) for patience_s in (LOOK_S, ACT_S)
        )

    def run_address(self, dag: str, run_id: str) -> str:
        """Return the page of a run in Airflow's UI; empty without an Airflow."""
        return f"{self._seen_at}/dags/{quote(dag)}/runs/{quote(run_id, safe='')}" if self._seen_at else ""

    def report_address(self, release: str) -> str:
        """Return the page of a build's report in Airflow's UI; empty without an Airflow."""
        return f"{self._seen_at}/matchbook/reports/{quote(release)}" if self._seen_at else ""

    def runs(self, dags: Sequence[str], most: int, *states: str) -> list[dict[str, Any]]:
        """Return runs of these DAGs, the newest first. states: only these; none: all."""
        return self._looked(lambda api: api.runs(dags, most, *states))

    def failing(self) -> list[dict[str, Any]]:
        """Return {dag, about, run} of each DAG other than the build whose last run failed; run: None if not found.

        about: the DAG's description. It is one request if nothing has failed, else two.
        """

        def whole(api: AirflowApi) -> list[dict[str, Any]]:
            about = {d["dag_id"]: d["description"] or "" for d in api.failing(TAG) if d["dag_id"] != BUILD_DAG}
            runs = api.runs([*about], FAILED_MOST, "failed") if about else []
            last = {run["dag_id"]: run for run in reversed(runs)}  # of equals the newest stays
            return [{"dag": dag, "about": text, "run": last.get(dag)} for dag, text in sorted(about.items())]

        return self._looked(whole)

    def tasks(self, dag: str, run_id: str) -> list[dict[str, Any]]:
        """Return the present state of each task instance of a run."""
        return self._looked(lambda api: api.task_instances(dag, run_id))

    def questions(self) -> list[dict[str, Any]]:
        """Return the gates that wait for a person."""
        return self._looked(lambda api: api.questions(BUILD_DAG))

    def run(self, dag: str, run_id: str) -> Run | None:
        """Return a run with its outcome, or None if Airflow does not know it."""

        def whole(api: AirflowApi) -> Run | None:
            found = api.run(dag, run_id)
            if found is None:
                return None
            tasks, over = api.task_instances(dag, run_id), found["state"] in RUN_OVER
            paused = found["state"] == "queued" and api.is_paused(dag)
            result, log = _outcome(api, dag, run_id, tasks) if over else (None, [])
            return Run(found, tasks, over, paused, result, log)

        return self._acted(whole)

    def question(self, run_id: str) -> dict[str, Any] | None:
        """Return the question of the gate of a run, or None if it does not wait."""
        found = self._acted(lambda api: api.questions(BUILD_DAG))
        return next((q for q in found if q["task_instance"]["dag_run_id"] == run_id), None)

    def trigger(self, dag: str, conf: dict[str, Any], by: str, form: str = "") -> str:
        """Queue a run and return its id. by: who asked, for the run's note.

        form: tells one form from others. Sent again, it leads to its run unless that has ended.
        """
        now = datetime.now(UTC)
        sent = hashlib.blake2b(json.dumps([form, conf]).encode(), digest_size=8).hexdigest() if form else ""

        def whole(api: AirflowApi) -> str:
            anew = f"console__{now:%Y-%m-%dT%H:%M:%S.%f}"
            first = f"console__{sent}" if sent else anew
            if api.trigger(dag, first, now.isoformat(), conf, by) or api.run_state(dag, first) not in RUN_OVER:
                return first
            api.trigger(dag, anew, now.isoformat(), conf, by)
            return anew

        return self._acted(whole)

    def answer(self, run_id: str, task: str, chosen: str, by: str) -> bool:
        """Answer a waiting gate and add to the run's note who did. Returns False if it was answered before."""

        def whole(api: AirflowApi) -> bool:
            if not api.answer(BUILD_DAG, run_id, task, chosen, by):
                return False
            before = (api.run(BUILD_DAG, run_id) or {}).get("note") or ""
            api.note(BUILD_DAG, run_id, "; ".join(filter(None, [before, f"{chosen} {by}"]))[-NOTE_MOST:])
            return True

        return self._acted(whole)

    def _looked(self, question: Callable[[AirflowApi], T]) -> T:
        return self._asked(*self._looking, question)

    def _acted(self, question: Callable[[AirflowApi], T]) -> T:
        return self._asked(*self._acting, question)

    def _asked(self, api: AirflowApi, breaker: Breaker, question: Callable[[AirflowApi], T]) -> T:
        if not self.known:
            raise ServiceError("no Airflow is known to this reader: set MATCHBOOK_AIRFLOW_URL and its password")
        with breaker.guard(ServiceError):
            return question(api)


def _api(settings: Settings, patience_s: float) -> AirflowApi:
    return AirflowApi(
        settings.airflow_url.rstrip("/"),
        settings.airflow_password.reveal(),
        settings.airflow_address,
        settings.airflow_user,
        patience_s,
    )


def _outcome(api: AirflowApi, dag: str, run_id: str, tasks: Sequence[Mapping[str, Any]]) -> tuple[Any, list[str]]:
    """Return the return value of the last ended task, and the last log lines of a failed one."""
    ended = [t for t in tasks if t["end_date"]]
    last = max(ended, key=lambda t: t["end_date"], default=None)
    failed = next((t for t in ended if t["state"] == "failed"), None)
    result = api.result(dag, run_id, last["task_id"]) if last else None
    return result, last_words(api.log_of(dag, run_id, failed)) if failed else []
