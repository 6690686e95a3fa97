"""Real runs of refresh_ranked_lists, tune_models and the daily build decision: one process, real servers."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from models.settings.settings import Settings
from pipelines.export.export import export_snapshot
from pipelines.postgres import engine, transaction
from pipelines.publish.history import promote
from pipelines.redis_client import current_release
from pipelines.run.run import TUNING, Run, read_decisions
from tests.dags.test_build_run import DAY, marketplace, returned, run_dag, states
from tests.marketplace.tiny import AFTER_ALL, NEWEST, identity
from tests.pipelines.refresh.conftest import built

Build = Callable[..., Any]
HOUR = timedelta(hours=1)
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Using `httpx`"),
]

FIXTURES = (marketplace, run_dag)  # pytest finds the fixtures in this module


@pytest.fixture
def live(marketplace: Settings) -> str:
    """Publish a build without Airflow."""
    release = built(Settings.from_env(), AFTER_ALL)
    promote(Settings.from_env(), release)
    return release


def like(settings: Settings, person: int, startup: int, at: datetime) -> None:
    with transaction(engine(settings)) as connection:
        connection.execute(
            text("INSERT INTO user_interactions VALUES (:u, :s, 'like', :at)"),
            {"u": identity("user", person), "s": identity("startup", startup), "at": at},
        )


def test_a_refresh_waits_for_a_build(marketplace: Settings, run_dag: Build) -> None:
    run = run_dag("refresh_ranked_lists")
    assert set(states(run).values()) == {"skipped"}
    assert "build_recommendations comes first" in returned(run, "look_for_changes")["reason"]


def test_an_hour_with_news_is_refreshed_a_quiet_one_and_a_dry_run_are_pink(
    marketplace: Settings, run_dag: Build, live: str
) -> None:
    like(marketplace, 7, 4, AFTER_ALL + HOUR / 2)
    hour = {"kind": "scheduled", "interval": (AFTER_ALL, AFTER_ALL + HOUR)}
    dry = run_dag("refresh_ranked_lists", **hour, publish=False)
    assert states(dry)["publish"] == "skipped" and "dry run" in returned(dry, "publish")["reason"]
    stored = returned(dry, "merge")["release"]
    assert current_release(marketplace) == live
    run = run_dag("refresh_ranked_lists", **hour)
    assert set(states(run).values()) == {"success"}, states(run)
    done = returned(run, "publish")
    assert done["release"] == current_release(marketplace) == stored
    assert returned(run, "look_for_changes")["as_of"] == (AFTER_ALL + HOUR).isoformat()
    quiet = run_dag("refresh_ranked_lists", kind="scheduled", interval=(AFTER_ALL + HOUR, AFTER_ALL + 2 * HOUR))
    assert set(states(quiet).values()) == {"skipped"}
    assert "nothing happened" in returned(quiet, "look_for_changes")["reason"]
    told = [(d["what"], d["verdict"]) for d in read_decisions(marketplace)]
    assert told == [("refresh", "skip"), ("refresh", "publish"), ("refresh", "skip")]


def test_a_scheduled_run_that_is_not_due_says_why_and_how_to_build_all_the_same(
    marketplace: Settings, run_dag: Build, live: str
) -> None:
    end = NEWEST + timedelta(hours=3)
    run = run_dag(kind="scheduled", interval=(end - DAY, end))
    found = states(run)
    assert found.pop("prepare.choose_cutoff") == "success" and set(found.values()) == {"skipped"}
    told = returned(run, "prepare.look_for_new_data")
    assert "no build is due" in told["reason"] and "Trigger a run" in told["reason"]
    assert told["facts"]["built"] == AFTER_ALL.isoformat()
    assert [(d["what"], d["verdict"]) for d in read_decisions(marketplace)] == [("retrain", "skip")]
    assert current_release(marketplace) == live


def test_settings_are_searched_in_two_rounds_and_another_run_goes_on(marketplace: Settings, run_dag: Build) -> None:
    export_snapshot(Run.start(Settings.from_env(), "snapshot", AFTER_ALL))
    models = ["item_neighbours_v1", "item_neighbours_reverse_v1"]
    run = run_dag("tune_models", trials=5, minutes=10, models=models)
    assert run.state == "success", states(run)
    drawn, near = returned(run, "draw_points"), returned(run, "step_from_best")
    assert ([p["model"] for p in drawn], len(near)) == ([*models, *models], 1)
    found = returned(run, "keep_best")
    assert len(found["trials"]) == found["budget"]["tried"] == 5
    assert {k: found["budget"][k] for k in ("trials", "minutes", "models")} == {
        "trials": 5,
        "minutes": 10,
        "models": models,
    }
    assert set(found["models"]) <= set(models)
    stored = json.loads((marketplace.artifacts / TUNING).read_text())
    assert stored == {k: v for k, v in found.items() if k != "trials"}
    again = run_dag("tune_models", trials=2, minutes=10, models=models)
    tried = [(t["model"], json.dumps(t["values"], sort_keys=True)) for t in returned(again, "keep_best")["trials"]]
    assert len(tried) == len(set(tried)) == 7


def test_no_trial_begins_after_the_budget(marketplace: Settings, run_dag: Build) -> None:
    export_snapshot(Run.start(Settings.from_env(), "snapshot", AFTER_ALL))
    run = run_dag("tune_models", trials=2, minutes=1e-9, models=["item_neighbours_v1"])
    mapped = [ti for ti in run.get_task_instances() if ti.task_id.startswith("try_")]
    assert {str(ti.state) for ti in mapped} == {"skipped"} and run.state == "success"
    assert returned(run, "keep_best")["trials"] == []
    assert not (Settings.from_env().artifacts / "tuning.json").exists()  # an earlier result would have stayed
