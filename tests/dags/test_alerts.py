"""Send alerts from Airflow's context: one per run and kind of error, and again for a cleared run."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from models.errors import BundleCorrupt, DataError
from pipelines.run import alerts as notices

RUN = "manual__2024-05-01"
MINUTE = datetime(2024, 5, 1, 3, 7, tzinfo=UTC)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[notices.Alert]:
    found: list[notices.Alert] = []
    monkeypatch.setattr(notices, "send_alert", lambda _, notice: found.append(notice))
    return found


def context(
    error: Exception | None = None,
    kind: str = "manual",
    at: datetime = MINUTE,
    cleared: int = 0,
    run_id: str = RUN,
    **more: Any,
) -> dict[str, Any]:
    run = SimpleNamespace(run_type=kind, run_after=at, clear_number=cleared, run_id=run_id)
    ti = SimpleNamespace(dag_id="build_recommendations", task_id="train.als", map_index=-1, log_url="http://here/als")
    given = {"exception": error} if error else {}
    return {"dag": SimpleNamespace(dag_id=ti.dag_id), "dag_run": run, "run_id": run_id, "ti": ti, **given, **more}


def test_equal_errors_of_a_run_are_one_matter_and_others_are_not(told: list[notices.Alert]) -> None:
    from matchbook_tasks.alerts import task_failed

    cases: list[tuple[Exception | None, dict[str, Any]]] = [
        (DataError("first\nsecond"), {}),
        (DataError("other"), {}),
        (BundleCorrupt("x"), {}),
        (DataError("again"), {"cleared": 1}),
        (None, {}),
    ]
    for error, more in cases:
        task_failed(context(error, **more))
    first, same, another, cleared, killed = told
    assert first.matter == same.matter and len({n.matter for n in (first, another, cleared, killed)}) == 4
    assert first.says == "build_recommendations, task train.als failed: DataError: first"
    assert first.part_of == another.part_of != cleared.part_of and killed.about["error"] == "Killed"
    assert (first.link, first.about["task"], first.about["run"]) == ("http://here/als", "train.als", RUN)


def test_a_frequent_schedule_is_reported_once_an_hour(told: list[notices.Alert]) -> None:
    from matchbook_tasks.alerts import task_failed

    for minute, hour in ((7, 3), (8, 3), (7, 4)):
        at = MINUTE.replace(minute=minute, hour=hour)
        task_failed(context(DataError("x"), "scheduled", at, run_id=f"scheduled__{at}"))
    assert told[0].matter == told[1].matter != told[2].matter


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("timed_out", "exceeded its time limit"),
        ("all_tasks_deadlocked", "can start"),
        ("task_failure", "one of its tasks failed"),
    ],
)
def test_a_run_that_fails_without_a_message_is_reported(told: list[notices.Alert], reason: str, words: str) -> None:
    from matchbook_tasks.alerts import run_failed, task_failed

    run_failed(context(reason=reason))
    task_failed(context(DataError("x")))
    assert words in told[0].says and told[0].link.endswith(f"/dags/build_recommendations/runs/{RUN}")
    assert (told[0].matter == told[1].part_of) is (reason == "task_failure")


def test_a_run_without_context_is_reported(told: list[notices.Alert]) -> None:
    from matchbook_tasks.alerts import run_failed

    run_failed({"dag": SimpleNamespace(dag_id="d"), "run_id": "r", "reason": "timed_out"})
    assert told[0].matter == ("d", "r", "timed_out")


def test_an_operator_who_must_decide_gets_the_reason(told: list[notices.Alert]) -> None:
    from matchbook_tasks.alerts import gate_asks, late

    gate_asks(context(), ["worse by 0.02", "half of the owners on popular"])
    late("20240501T000000Z-abcdef01", "the live lists are old")
    assert "worse by 0.02; half of the owners on popular" in told[0].says
    assert told[1].matter == ("late", "20240501T000000Z-abcdef01")
