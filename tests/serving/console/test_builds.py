"""Place a running build on the time line of the last one, and link builds to their runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.airflow_client import WAITING
from models.settings.settings import Settings
from serving.clients.airflow import Airflow
from serving.console.builds import linked, progress, verdict
from tests.serving.console.kept import build

START = datetime(2020, 4, 10, tzinfo=UTC)
#: A build of 100 seconds: two parallel steps, then two after them.
STEPS = [("prepare", 0, 10), ("train.a", 10, 30), ("train.b", 10, 60), ("score", 60, 90), ("publish", 90, 100)]


def at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat()


LAST = {"steps": [{"step": n, "index": None, "wall_s": end - begin, "at": at(end)} for n, begin, end in STEPS]}


def run(now: float, **ends: float | None) -> dict[str, Any]:
    """Return the progress of a run that is as fast as the last one. ends: by task, None: not ended."""
    tasks = [
        {
            "task_id": name.replace("_", "."),
            "state": "running" if end is None else "success",
            "end_date": None if end is None else at(end),
        }
        for name, end in ends.items()
    ]
    started = {"state": "running", "start_date": at(0)}
    return progress(started, tasks, LAST, START + timedelta(seconds=now))


@pytest.mark.parametrize(
    ("now", "ends", "left"),
    [
        (5, {"prepare": None, "train_a": None, "train_b": None, "score": None, "publish": None}, 100),
        (15, {"prepare": 10, "train_a": None, "train_b": None, "score": None, "publish": None}, 85),
        (40, {"prepare": 10, "train_a": 30, "train_b": None, "score": None, "publish": None}, 60),
        (95, {"prepare": 10, "train_a": 30, "train_b": 60, "score": 90, "publish": None}, 5),
        (400, {"prepare": 10, "train_a": 30, "train_b": None, "score": None, "publish": None}, 0),
    ],
)
def test_the_time_left_follows_the_last_build(now: float, ends: dict[str, float | None], left: float) -> None:
    found = run(now, **ends)
    assert found["left_s"] == pytest.approx(left)
    assert found["done"] == sum(end is not None for end in ends.values()) and found["total"] == 5


@pytest.mark.parametrize("state", WAITING)
def test_a_gate_that_waits_for_a_person_is_running(state: str) -> None:
    tasks = [{"task_id": "release.gate", "state": state, "end_date": None}]
    found = progress({"state": "running", "start_date": at(0)}, tasks, LAST, START)
    assert found["waits"] and found["running"] == ["release.gate"]


def test_without_an_earlier_build_the_time_left_is_unknown() -> None:
    queued = {"state": "queued", "start_date": None}
    nothing: dict[str, Any] = {"steps": []}
    for last in (None, nothing):
        assert progress(queued, [], last, START) == {
            "state": "queued",
            "done": 0,
            "total": 0,
            "running": [],
            "waits": False,
            "failed": [],
            "for_s": 0.0,
            "left_s": None,
        }


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"verdict": "go"}, ("passed", "good")),
        ({"verdict": "ask"}, ("waits for a person", "open")),
        ({"verdict": "stop"}, ("stopped", "bad")),
        ({"verdict": "ask", "answer": {"chosen": "hold", "by": "ada"}}, ("held by ada", "bad")),
        ({"verdict": "ask", "answer": {"chosen": "publish", "by": "ada"}}, ("approved by ada", "good")),
        ({"verdict": None}, ("not compared", "")),
    ],
)
def test_what_the_gate_said_in_words(more: dict[str, Any], said: tuple[str, str]) -> None:
    assert verdict(build("r", 1, **more)) == said


def test_a_build_leads_to_its_run_and_its_report() -> None:
    airflow = Airflow(Settings(airflow_url="http://inside:8080/", airflow_seen_at="https://airflow.example/"))
    (first,) = linked([build("r", 10)], airflow)
    assert first["run_at"] == "/builds/run-10" and first["said"] == ("passed", "good")
    assert first["report_at"] == "https://airflow.example/matchbook/reports/r"
    assert airflow.run_address("d", "manual__2020-04-10T00:00:00+00:00") == (
        "https://airflow.example/dags/d/runs/manual__2020-04-10T00%3A00%3A00%2B00%3A00"
    )
    (without,) = linked([build("r", 10)], Airflow(Settings()))
    assert without["run_at"] == without["report_at"] == ""
