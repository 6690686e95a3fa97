"""Real runs of export_lists: skipped without a target, and after a release with one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from models.schema import Surface
from models.settings.settings import Settings
from pipelines.store.artifacts import Artifacts
from tests.dags.test_build_run import marketplace, returned, run_dag, states
from tests.dags.test_refresh_and_tune_runs import live

FIXTURES = (live, marketplace, run_dag)  # pytest finds the fixtures in this module


@pytest.mark.e2e
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Using `httpx`")
def test_the_live_release_is_written_if_there_is_a_target(
    marketplace: Settings, run_dag: Callable[..., Any], live: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = run_dag("export_lists")
    assert set(states(without).values()) == {"skipped"} and "no target" in returned(without, "export")["reason"]
    monkeypatch.setenv("MATCHBOOK_LISTS_EXPORT_TARGET", str(tmp_path / "lists"))
    for _ in range(2):
        run = run_dag("export_lists")
        assert set(states(run).values()) == {"success"}, states(run)
        assert (returned(run, "export")["release"], returned(run, "export")["removed"]) == (live, [])
    assert json.loads((tmp_path / "lists" / "_live.json").read_text()) == {"release": live}
    made = Artifacts(marketplace).release(live)
    for surface in Surface:
        folder = tmp_path / "lists" / f"release={live}" / f"surface={surface.folder}"
        owners = set(pq.read_table(folder / "lists.parquet", partitioning=None)["owner"].to_pylist())
        assert 1 <= len(owners) <= made.lists[surface.value] + 1


def test_it_starts_when_lists_become_live(dags: dict[str, Any]) -> None:
    timetable = dags["export_lists"].timetable
    assert [asset.name for asset in timetable.asset_condition.objects] == ["matchbook_live_lists"]
    sources = {
        (dag.dag_id, task.task_id)
        for dag in dags.values()
        for task in dag.tasks
        if "matchbook_live_lists" in [outlet.name for outlet in task.outlets]
    }
    assert sources == {
        ("build_recommendations", "release.publish"),
        ("refresh_ranked_lists", "publish"),
        ("promote_release", "promote"),
        ("erase_person", "erase"),
    }
