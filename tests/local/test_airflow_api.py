"""Show a build: each task once, retries as such, and the message of a failed task."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from local import airflow_api as builds
from local.airflow_api import begin, follow
from local.airflow_client import AirflowApi


def task(name: str, state: str, index: int = -1, attempt: int = 1, seconds: float | None = 2.0) -> dict[str, Any]:
    return {
        "task_id": name,
        "state": state,
        "map_index": index,
        "try_number": attempt,
        "duration": seconds,
        "end_date": "2026-01-01T00:00:00Z" if state != "running" else None,
    }


class Scripted(AirflowApi):
    """Imitates the API of a run that shows these (state, tasks), one per request."""

    def __init__(self, *steps: tuple[str, list[dict[str, Any]]], unfinished: str | None = None) -> None:
        super().__init__("http://airflow", "")
        self.steps, self.unfinished = list(steps), unfinished
        self.asked: list[tuple[Any, ...]] = []

    def run_state(self, dag: str, run_id: str) -> str:
        return self.steps[0][0]

    def task_instances(self, dag: str, run_id: str) -> list[dict[str, Any]]:
        return (self.steps.pop(0) if len(self.steps) > 1 else self.steps[0])[1]

    def log_of(self, dag: str, run_id: str, task: Mapping[str, Any]) -> list[str]:
        return [
            "::group::Log message source details",
            "Worker startup parse complete",
            "Task failed with exception\nEmptySnapshot: expected at least one interaction",
            "::group::Post Execute",
            "Retry policy decision",
        ]

    def unfinished_run(self, dag: str) -> str | None:
        return self.unfinished

    def trigger(self, dag: str, run_id: str, run_after: str, conf: Mapping[str, Any], note: str = "") -> bool:
        self.asked.append(("trigger", run_after, conf))
        return True

    def unpause(self, dag: str) -> None:
        self.asked.append(("unpause",))


def shown(api: Scripted, monkeypatch: pytest.MonkeyPatch) -> tuple[bool, list[str]]:
    monkeypatch.setattr(builds, "POLL_S", 0)
    said: list[str] = []
    return follow(api, "first", said.append, lambda: None), said


def test_each_task_is_shown_once_with_its_time_and_its_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = task("prepare", "success")
    good, said = shown(
        Scripted(
            ("running", [prepared, task("score", "running", 0)]),
            ("running", [prepared, task("score", "success", 0), task("score", "running", 1)]),
            ("success", [prepared, task("score", "success", 0), task("score", "success", 1)]),
        ),
        monkeypatch,
    )
    assert good and [" ".join(line.split()) for line in said] == [
        "1/2 prepare 2.0 s",
        "2/3 score [1 of 2] 2.0 s",
        "3/3 score [2 of 2] 2.0 s",
    ]


def test_a_retry_is_shown_and_does_not_count_as_done(monkeypatch: pytest.MonkeyPatch) -> None:
    good, said = shown(
        Scripted(("running", [task("train", "up_for_retry")]), ("success", [task("train", "success", attempt=2)])),
        monkeypatch,
    )
    assert good and [" ".join(line.split()) for line in said] == [
        "0/1 train failed, will be tried again",
        "1/1 train 2.0 s",
    ]


def test_a_failure_is_shown_with_its_message_and_later_tasks_as_a_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good, said = shown(
        Scripted(
            ("failed", [task("export", "failed"), task("train", "upstream_failed"), task("score", "upstream_failed")])
        ),
        monkeypatch,
    )
    text = "\n".join(said)
    assert not good and "    EmptySnapshot: expected at least one interaction" in said
    assert "2 later tasks did not run" in text and "http://airflow/dags/build_recommendations/runs/first" in text
    assert "::" not in text and "Retry policy" not in text and "upstream" not in text


def test_the_first_build_is_queued_before_anything_is_scheduled_and_with_its_cutoff(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api, cutoff = Scripted(), datetime(2013, 4, 5, tzinfo=UTC)
    run_id = begin(api, cutoff)
    (word, run_after, conf), then = api.asked
    assert word == "trigger" and then == ("unpause",) and run_id.startswith("first_build__")
    assert conf == {"as_of": "2013-04-05T00:00:00+00:00"}
    assert (datetime.now(UTC) - datetime.fromisoformat(run_after)).total_seconds() > 24 * 3600, "before any daily run"


def test_an_interrupted_build_goes_on() -> None:
    api = Scripted(unfinished="first_build__yesterday")
    said: list[str] = []
    assert begin(api, None, said.append) == "first_build__yesterday"
    assert api.asked == [("unpause",)] and "interrupted" in said[0]
