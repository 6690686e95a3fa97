"""Callbacks of every task and run: what failed is told once a run and cause.

Airflow logs what goes wrong in a callback and goes on: none of these can fail a task.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from airflow.sdk.configuration import conf

log = logging.getLogger(__name__)
Context = Mapping[str, Any]
_REASONS = {
    "task_failure": "a task of it failed",
    "timed_out": "it took longer than it may (dagrun_timeout)",
    "all_tasks_deadlocked": "no task of it can begin any more",
}


def task_failed(context: Context) -> None:
    """Tell of a task that failed for good: once for each run and kind of error, however many tasks it fells."""
    ti, error = context["ti"], context.get("exception")
    cause = type(error).__name__ if error is not None else "Killed"
    said = str(error).splitlines()[0] if str(error or "") else "its process was ended, or never began"
    about = {"task": ti.task_id, "index": ti.map_index, "error": cause}
    says = f"{ti.dag_id}, task {ti.task_id} failed: {cause}: {said}"
    _tell(context, "task_failed", says, cause, ti.log_url, about)


def run_failed(context: Context) -> None:
    """Tell of a run that failed in any other way: it took too long, or a task of it was killed and could not tell."""
    reason = str(context.get("reason") or "failed")
    says = f"{_dag_of(context)}, run {context['run_id']} failed: {_REASONS.get(reason, reason)}"
    _tell(
        context,
        "run_failed",
        says,
        "" if reason == "task_failure" else reason,
        run_address(context),
        {"reason": reason},
    )


def gate_asks(context: Context, reasons: Sequence[str]) -> None:
    """Tell that a person has to decide whether a release goes live."""
    says = f"{_dag_of(context)} asks whether its release may go live: {'; '.join(reasons)}"
    _tell(context, "gate_asks", says, "gate", run_address(context), {"reasons": list(reasons)})


def late(release: str, says: str) -> None:
    """Tell that the live lists are too old: once for each release."""
    _send("late", says, ("late", release), conf.get("api", "base_url", fallback=""), {"release": release})


def run_address(context: Context) -> str:
    """Where the run is seen in a browser."""
    base = str(conf.get("api", "base_url", fallback="http://localhost:8080")).rstrip("/")
    return f"{base}/dags/{quote(_dag_of(context))}/runs/{quote(context['run_id'])}"


def _tell(context: Context, what: str, says: str, cause: str, link: str, about: dict[str, Any]) -> None:
    """Once a run and cause, once more where the run was cleared; of a schedule that comes round quickly once an hour.

    cause: "" for a run that failed because a task did, which needs no telling where the task told."""
    from matchbook_tasks.rules import kind_of

    run, dag = context.get("dag_run"), _dag_of(context)
    which = context["run_id"]
    if run is not None:
        which = f"{run.run_after:%Y-%m-%dT%H}" if kind_of(context) == "scheduled" else which
        which = f"{which} {getattr(run, 'clear_number', 0) or 0}"
    failed = (dag, which)
    part_of = failed if what == "task_failed" else ()
    matter = (*failed, cause) if cause else failed
    _send(what, says, matter, link, {"dag": dag, "run": context["run_id"], **about}, part_of)


def _send(
    what: str, says: str, matter: tuple[str, ...], link: str, about: dict[str, Any], part_of: tuple[str, ...] = ()
) -> None:
    from models.settings.settings import Settings
    from pipelines.run.alerts import Alert, send_alert

    send_alert(Settings.from_env(), Alert(what, says, matter, link, part_of, about))


def _dag_of(context: Context) -> str:
    return str(context["dag"].dag_id)
