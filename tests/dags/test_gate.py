"""The task `gate` continues, stops, uses an earlier answer, or waits and records who answered."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from models.errors import GateClosed
from models.run_directory import directory_of
from models.schema import Surface
from models.settings.settings import Settings
from pipelines.gate.decision import GATE, read_gate, why_held_back
from pipelines.run.run import Run, read_decisions
from tests.marketplace.tiny import AFTER_ALL

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
CHECK = {
    "name": "rbo",
    "surface": "startups/for-developer",
    "segment": None,
    "value": 0.8,
    "low": None,
    "high": None,
    "limit": 0.7,
    "verdict": "ask",
    "says": "the lists are others",
}


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Run:
    where = {
        "MATCHBOOK_HOME": str(settings.home),
        "MATCHBOOK_NAMESPACE": settings.namespace,
        "DATABASE_URL": settings.database_url.reveal(),
        "REDIS_URL": settings.redis_url.reveal(),
    }
    for name, value in where.items():
        monkeypatch.setenv(name, value)
    return Run.start(settings, directory_of("a/b+c"), AFTER_ALL)


def weighed(run: Run, verdict: str) -> dict[str, Any]:
    gate = {
        "verdict": verdict,
        "release": "new",
        "champion": "live",
        "as_of": run.as_of.isoformat(),
        "notes": [],
        "reasons": ["the lists are others"],
        "checks": [CHECK],
        "answer": {"chosen": "publish", "by": "earlier"},
    }
    run.artifacts.write_json(run.directory / GATE, gate)
    return {"run": run.id, "release": "new", "verdict": verdict}


def gate_of(run: Run, verdict: str) -> Any:
    from matchbook_tasks.gate import Gate

    return Gate(task_id="gate", weighed=weighed(run, verdict))


def context(kind: str = "manual", by: str | None = None, **params: object) -> dict[str, Any]:
    dag_run = SimpleNamespace(
        run_type=kind, triggering_user_name=by, dag_id="build_recommendations", run_id="a/b+c", run_after=AFTER_ALL
    )
    given = {"publish": True, "force": False, "surfaces": [s.value for s in Surface], **params}
    return {
        "dag_run": dag_run,
        "params": given,
        "task_instance": SimpleNamespace(id="1"),
        "ti": SimpleNamespace(task_id="release.gate", map_index=-1),
        "run_id": "a/b+c",
        "dag": SimpleNamespace(dag_id="build_recommendations"),
    }


def test_clear_verdicts_continue_or_stop_at_once(run: Run) -> None:
    assert gate_of(run, "go").execute(context()) is None and why_held_back(run, "new") is None
    with pytest.raises(GateClosed, match=r"new is not published: the lists are others\. It is stored"):
        gate_of(run, "stop").execute(context())
    assert gate_of(run, "stop").execute(context(force=True))["by"] == "force"
    assert gate_of(run, "ask").execute(context("backfill"))["chosen"] == "publish"
    assert gate_of(run, "ask").execute(context(by="dag_test"))["chosen"] == "hold"
    assert "chose to hold it" in str(why_held_back(run, "new"))
    for params in ({"publish": False}, {"surfaces": ["startups/for-investor"]}):
        assert gate_of(run, "stop").execute(context(**params)) is None


def test_it_parks_with_the_reasons_and_writes_down_who_answered(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.providers.standard.operators import hitl
    from airflow.sdk.exceptions import TaskAwaitingInput

    asked: dict[str, Any] = {}
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **given: asked.update(given))
    monkeypatch.setenv("MATCHBOOK_GATE_TIMEOUT_HOURS", "3")
    gate = gate_of(run, "ask")
    with pytest.raises(TaskAwaitingInput) as parked:
        gate.execute(context("scheduled"))
    assert (asked["options"], asked["defaults"], parked.value.timeout.total_seconds()) == (
        ["publish", "hold"],
        ["hold"],
        3 * 3600,
    )
    assert "the lists are others" in asked["body"] and "/runs/a%2Fb%2Bc/plugin/matchbook_report" in asked["body"]
    assert read_gate(run)["answer"] is None and "nobody has answered" in str(why_held_back(run, "new"))

    event = {"chosen_options": ["publish"], "params_input": {}, "responded_at": datetime(2024, 5, 1, tzinfo=UTC)}
    answer = gate.execute_complete(context("scheduled"), {**event, "responded_by_user": {"id": "7", "name": "Ana"}})
    assert (answer["chosen"], answer["by"]) == ("publish", "Ana") and why_held_back(run, "new") is None
    assert (read_decisions(run.settings)[0]["what"], read_decisions(run.settings)[0]["by"]) == ("approval", "Ana")
    keyed = {**event, "params_input": {"by": "by key 4f2a"}, "responded_by_user": {"id": "8", "name": "console"}}
    assert gate.execute_complete(context("scheduled"), keyed)["by"] == "console, by key 4f2a"
    late = gate.execute_complete(context(), {**event, "chosen_options": ["hold"], "responded_by_user": None})
    assert late["by"] == "time-out" and "time-out chose to hold it" in str(why_held_back(run, "new"))
