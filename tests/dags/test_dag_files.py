"""Check every DAG file: fast parsing, no heavy imports, a description, bounded time until failure."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest

from tests.paths import ROOT

DAGS = ROOT / "dags"
FILES = sorted(p.name for p in DAGS.glob("matchbook_*.py"))
HEAVY = ("torch", "implicit", "pandas", "sklearn", "numpy", "scipy", "pyarrow", "redis", "psycopg2", "pipelines")
EXPECTED = {
    "build_recommendations",
    "drain_events",
    "erase_person",
    "export_lists",
    "measure_answers",
    "promote_release",
    "refresh_ranked_lists",
    "refresh_trending",
    "retire_old_artifacts",
    "tune_models",
}


def test_the_folder_holds_these_dags_and_no_others(dags: dict[str, Any]) -> None:
    assert set(dags) == EXPECTED


def test_every_python_file_of_the_folder_has_an_unmistakable_name() -> None:
    assert sorted(p.name for p in DAGS.glob("*.py")) == FILES


def test_reading_the_files_imports_nothing_heavy_and_takes_about_a_second() -> None:
    # import airflow.sdk first and count only the other modules
    words = f"""
import importlib, sys, time
sys.path[:0] = [{str(DAGS)!r}, {str(ROOT)!r}]
import airflow.sdk
before = set(sys.modules)
for file in {FILES!r}:
    start = time.perf_counter()
    importlib.import_module(file.removesuffix(".py"))
    print(f"{{file}}: read in {{time.perf_counter() - start:.2f}} s")
print(*sorted({{m.partition('.')[0] for m in set(sys.modules) - before}}))
"""
    answer = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    *timings, modules = answer.stdout.splitlines()
    print(*timings, sep="\n")  # printed, not asserted: a slow machine is no error
    assert not set(modules.split()) & set(HEAVY)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_newcomer_can_read_what_a_dag_and_each_of_its_tasks_do(dags: dict[str, Any], name: str) -> None:
    dag = dags[name]
    assert dag.doc_md and dag.doc_md.startswith("###") and len(dag.doc_md) > 300
    assert dag.description and "matchbook" in dag.tags
    for task in dag.tasks:
        assert task.doc_md and len(task.doc_md) > 30, task.task_id


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_every_task_is_tried_again_and_ends_in_bounded_time(dags: dict[str, Any], name: str) -> None:
    dag = dags[name]
    assert dag.dagrun_timeout and dag.max_active_runs == 1 and dag.catchup is False
    for task in dag.tasks:
        assert task.retries >= 1 and task.retry_exponential_backoff > 1, task.task_id
        assert task.execution_timeout and task.execution_timeout <= timedelta(hours=4), task.task_id
        assert task.retry_policy is not None, task.task_id


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_failures_are_reported_and_callbacks_do_nothing_else(dags: dict[str, Any], name: str) -> None:
    assert callbacks(dags[name].on_failure_callback) == ["run_failed"]
    for task in dags[name].tasks:
        assert callbacks(task.on_failure_callback) == ["task_failed"], task.task_id
        others = (task.on_execute_callback, task.on_success_callback, task.on_skipped_callback, task.on_retry_callback)
        assert [callbacks(given or []) for given in others] == [[], [], [], []], task.task_id


def callbacks(given: Any) -> list[str]:
    """Return names in matchbook_tasks/alerts.py. A mapped task may hold one function, others hold a list."""
    found = list(given) if isinstance(given, list | tuple) else [given]
    assert all(f.__module__ == "matchbook_tasks.alerts" for f in found)
    return [f.__name__ for f in found]


def test_every_pool_that_a_task_names_is_made_by_the_pools_file(dags: dict[str, Any]) -> None:
    made = json.loads((DAGS / "matchbook_tasks" / "pools.json").read_text())
    used = {task.pool for dag in dags.values() for task in dag.tasks} - {"default_pool"}
    assert used == set(made)
    assert {name: pool["slots"] for name, pool in made.items()} == {
        "matchbook_training": 2,
        "matchbook_scoring": 2,
        "matchbook_publish": 1,
    }


def test_no_file_asks_for_the_time_or_the_environment() -> None:
    for file in FILES:
        text = (DAGS / file).read_text()
        assert not re.search(r"\b(now|utcnow|today)\(|os\.environ|getenv", text), file


def test_an_operator_finds_every_dag_in_the_manual(dags: dict[str, Any]) -> None:
    manual = (ROOT / "docs" / "guides" / "operate.md").read_text()
    for dag in dags.values():
        assert f"`{dag.dag_id}`" in manual
        for param in dag.params:
            assert f"`{param}`" in manual
