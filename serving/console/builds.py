"""Builds for the console: the summaries that the pipelines keep in Redis, and Airflow's runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from local.airflow_client import TASK_OVER, WAITING
from models.run_directory import BUILD_DAG, directory_of
from serving.clients.airflow import Airflow
from serving.clients.redis import Cache
from serving.console.formats import instant

SHOWN = 8
#: Fields of a summary: see pipelines/report/summary.py.
FIELDS = (
    "release",
    "run",
    "as_of",
    "generated_at",
    "verdict",
    "reasons",
    "answer",
    "champion",
    "against",
    "quality",
    "steps",
)
#: A field that older versions did not write.
DRY_RUN = "dry_run"
#: States of a run that has not ended.
RUNNING = ("queued", "running")
RUNS_MOST = 100


def summaries(cache: Cache) -> list[dict[str, Any]]:
    """Return the summaries of builds, the newest cutoff first.

    Raises ServiceError, and KeyError if another version wrote one.
    """
    stored = map(json.loads, cache.whole(cache.keys.builds).values())
    found = [{field: build[field] for field in FIELDS} | {DRY_RUN: build.get(DRY_RUN, False)} for build in stored]
    return sorted(found, key=lambda b: (b["as_of"], b["generated_at"]), reverse=True)


def verdict(build: Mapping[str, Any]) -> tuple[str, str]:
    """Return what the gate and perhaps a person said about a build, and the kind of its badge."""
    answer, said = build.get("answer"), build.get("verdict")
    if answer:
        passed = answer["chosen"] == "publish"
        return f"{'approved' if passed else 'held'} by {answer['by']}", "good" if passed else "bad"
    known = {"go": ("passed", "good"), "ask": ("waits for a person", "open"), "stop": ("stopped", "bad")}
    return known.get(str(said), ("not compared", ""))


def linked(builds: Sequence[Mapping[str, Any]], airflow: Airflow) -> list[dict[str, Any]]:
    """Return the builds with what the gate said and the addresses of report and run, empty without an Airflow."""
    return [
        {
            **build,
            "said": verdict(build),
            "report_at": airflow.report_address(build["release"]),
            "run_at": f"/builds/{build['run']}" if airflow.known else "",
        }
        for build in builds
    ]


def run_address(directory: str, airflow: Airflow) -> str:
    """Return the address in Airflow of the run with this staging directory; empty if Airflow lists none."""
    ids = (run["dag_run_id"] for run in airflow.runs([BUILD_DAG], RUNS_MOST))
    return next((airflow.run_address(BUILD_DAG, i) for i in ids if directory_of(i) == directory), "")


def progress(
    run: Mapping[str, Any], tasks: Sequence[Mapping[str, Any]], last: Mapping[str, Any] | None, now: datetime
) -> dict[str, Any]:
    """Return how far a running build is.

    {state, done, total, running: task ids, for_s, left_s}; left_s: seconds until it ends if it takes as long as the
    build `last`, None without one.
    """
    began = run.get("start_date")
    done = [t for t in tasks if t["state"] in TASK_OVER]
    return {
        "state": run["state"],
        "done": len(done),
        "total": len(tasks),
        "running": sorted({t["task_id"] for t in tasks if t["state"] in ("running", *WAITING)}),
        "waits": any(t["state"] in WAITING for t in tasks),
        "failed": failed_tasks(tasks),
        "for_s": (now - instant(began)).total_seconds() if began else 0.0,
        "left_s": _left(done, tasks, last, now),
    }


def failed_tasks(tasks: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the ids of the tasks that failed, without those that could not start because of them."""
    return sorted({t["task_id"] for t in tasks if t["state"] == "failed"})


def _left(
    done: Sequence[Mapping[str, Any]],
    tasks: Sequence[Mapping[str, Any]],
    last: Mapping[str, Any] | None,
    now: datetime,
) -> float | None:
    """Place the run on the time line of the last build: after the last step before which every step is done."""
    steps = _offsets(last)
    if not steps or not tasks:
        return None
    whole = max(steps.values())
    ended = {t["task_id"] for t in done}
    open_ = [t["task_id"] for t in tasks if t["state"] not in TASK_OVER]
    next_at = min((steps[name] for name in open_ if name in steps), default=whole)
    reached = [name for name in ended if name in steps and steps[name] <= next_at]
    if not reached:
        return whole
    at = max(steps[name] for name in reached)
    since = max((instant(t["end_date"]) for t in done if t["task_id"] in reached and t["end_date"]), default=now)
    return max(0.0, whole - at - (now - since).total_seconds())


def _offsets(last: Mapping[str, Any] | None) -> dict[str, float]:
    """Return by step the seconds from the start of a build to the end of the step's last instance."""
    steps = (last or {}).get("steps") or ()
    ends: dict[str, datetime] = {}
    starts: list[float] = []
    for s in steps:
        end = instant(s["at"])
        ends[s["step"]] = max(end, ends.get(s["step"], end))
        starts.append(end.timestamp() - s["wall_s"])
    return {name: end.timestamp() - min(starts) for name, end in ends.items()}
