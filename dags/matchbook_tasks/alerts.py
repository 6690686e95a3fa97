"""Callbacks of every task and run: a failure sends one notice per run and cause.

Airflow logs errors of callbacks and continues, so no callback can fail a task.
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
    "task_failure": "one of its tasks failed",
    "timed_out": "it exceeded its time limit (dagrun_timeout)",
    "all_tasks_deadlocked": "none of its tasks can start",
}


def task_failed(context: Context) -> None:
    """Send a notice for a task that failed after its last try: one per run and type of error."""
    ti, error = context["ti"], context.get("exception")
    cause = type(error).__name__ if error is not None else "Killed"
    said = str(error).splitlines()[0] if str(error or "") else "its process ended or never started"
    about = {"task": ti.task_id, "index": ti.map_index, "error": cause}
    says = f"{ti.dag_id}, task {ti.task_id} failed: {cause}: {said}"
    _notify(context, "task_failed", says, cause, ti.log_url, about)


def run_failed(context: Context) -> None:
    """Send a notice for a run that failed otherwise: a time-out, or a killed task without a notice."""
    reason = str(context.get("reason") or "failed")
    says = f"{_dag_of(context)}, run {context['run_id']} failed: {_REASONS.get(reason, reason)}"
    _notify(
        context,
        "run_failed",
        says,
        "" if reason == "task_failure" else reason,
        run_address(context),
        {"reason": reason},
    )


def gate_asks(context: Context, reasons: Sequence[str]) -> None:
    """Send a notice that a person must decide whether a release goes live."""
    says = f"{_dag_of(context)} asks whether its release may go live: {'; '.join(reasons)}"
    _notify(context, "gate_asks", says, "gate", run_address(context), {"reasons": list(reasons)})


def late(release: str, says: str) -> None:
    """Send a notice that the live lists are too old: one per release."""
    _send("late", says, ("late", release), conf.get("api", "base_url", fallback=""), {"release": release})


def run_address(context: Context) -> str:
    base = str(conf.get("api", "base_url", fallback="http://localhost:8080")).rstrip("/")
    return f"{base}/dags/{quote(_dag_of(context))}/runs/{quote(context['run_id'])}"


def _notify(context: Context, what: str, says: str, cause: str, link: str, about: dict[str, Any]) -> None:
    """Send one notice per run and cause, and again after a clear. Scheduled runs share one notice an hour.

    cause: "" if the run failed because of a task, which sent its own notice.
    """
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
