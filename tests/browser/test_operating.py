"""Operate Airflow's UI: build with and without a date, backfill three days, clear one shard."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

import tests.waiting as waiting
from local.airflow import address, admin_password
from local.airflow_api import DAG
from local.airflow_client import AirflowApi
from models.settings.settings import Settings
from pipelines.cli import first_build as marketplace
from pipelines.publish.history import list_releases
from pipelines.redis_client import current_release
from tests.browser.chromium import Chromium
from tests.browser.test_pages import log_in

pytestmark = pytest.mark.browser
PATIENCE_S = 1800.0  # seconds for a build of the present marketplace
SCORING = "score.score_shard"


@pytest.fixture
def api(up: Settings) -> AirflowApi:
    return AirflowApi(address(up), admin_password(up))


@pytest.fixture
def operator(browser: Chromium, up: Settings) -> Chromium:
    """Open the build's page in a logged-in browser."""
    log_in(browser, up)
    browser.open(f"{address(up)}/dags/{DAG}")
    browser.wait_for(lambda text: "Latest Run" in text and "release" in text)
    return browser


def until(question: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    return waiting.until(question, patience_s, pause=1.0)


def click(browser: Chromium, script: str) -> None:
    """Wait for the element of a JavaScript expression and click it."""
    until(lambda: browser.ask(f"(() => {{ const e = {script}; if (!e) return false; e.click(); return true; }})()"), 30)
    time.sleep(0.7)  # seconds until the page stops moving


def days_ago(up: Settings, days: int) -> datetime:
    """Return a midnight before the newest event."""
    newest = marketplace.newest(up)
    assert newest is not None
    return (newest - timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)


def press(browser: Chromium, key: str) -> None:
    code = {"Enter": 13, "Escape": 27}[key]
    for kind in ("keyDown", "keyUp"):
        browser.tell("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)
    time.sleep(0.7)


def pick(browser: Chromium, place: int, moment: datetime) -> None:
    """Enter an instant in the n-th date field of the dialog."""
    click(browser, f"document.querySelectorAll('[role=dialog] [data-testid=datetime-input]')[{place}]")
    for hint, text in (("YYYY/MM/DD", f"{moment:%Y/%m/%d}"), ("HH:mm", f"{moment:%H:%M}")):
        field = f"[...document.querySelectorAll('input[placeholder=\"{hint}\"]')].at(-1)"
        until(partial(browser.ask, f"{field} !== undefined"), 20)
        browser.ask(f"{field}.focus(), {field}.select()")
        browser.tell("Input.insertText", text=text)
        press(browser, "Enter")
    press(browser, "Escape")


def button(text: str) -> str:
    named = f"b => b.innerText.trim() === {json.dumps(text)}"
    return f"[...document.querySelectorAll('[role=dialog] button')].filter({named}).at(-1)"


def open_trigger(browser: Chromium) -> None:
    click(browser, "document.querySelector('[aria-label=\"Trigger Dag\"]')")
    browser.wait_for(lambda text: "Run Parameters" in text and "As of" in text)


def without_publishing(browser: Chromium) -> None:
    click(browser, "document.querySelector('[role=dialog] input[name=element_publish]')")


def runs(api: AirflowApi, kind: str) -> dict[str, dict[str, Any]]:
    path = f"/api/v2/dags/{DAG}/dagRuns?run_type={kind}&limit=100&order_by=-run_after"
    return {run["dag_run_id"]: run for run in api._ask("GET", path)["dag_runs"]}


def returned(api: AirflowApi, run: str, task: str, map_index: int = -1) -> Any:
    path = f"/api/v2/dags/{DAG}/dagRuns/{run}/taskInstances/{task}/xcomEntries/return_value?map_index={map_index}"
    return api._ask("GET", path)["value"]


def finished(api: AirflowApi, run: str) -> str:
    return until(lambda: api.run_state(DAG, run) in ("success", "failed") and api.run_state(DAG, run))


def tries(api: AirflowApi, run: str) -> dict[tuple[str, int], tuple[int, str]]:
    """Return the number of the last try and its state, by (task, map index)."""
    return {(t["task_id"], t["map_index"]): (t["try_number"], t["state"]) for t in api.task_instances(DAG, run)}


def triggered(api: AirflowApi, before: dict[str, Any]) -> str:
    return until(lambda: next(iter(runs(api, "manual").keys() - before.keys()), None), 30)


def test_a_build_with_a_date_then_one_of_its_shards_cleared(operator: Chromium, up: Settings, api: AirflowApi) -> None:
    as_of = days_ago(up, 20)
    live, before = current_release(up), runs(api, "manual")
    open_trigger(operator)
    pick(operator, 1, as_of)
    without_publishing(operator)
    operator.picture(up.home / "pictures" / "trigger.png")
    click(operator, button("Trigger"))
    run = triggered(api, before)
    assert finished(api, run) == "success"
    assert returned(api, run, "prepare.choose_cutoff")["as_of"] == as_of.isoformat()
    assert "dry run" in returned(api, run, "release.publish")["reason"]
    assert current_release(up) == live

    digest = returned(api, run, SCORING, 0)
    operator.open(f"{address(up)}/dags/{DAG}/runs/{run}/tasks/{SCORING}/mapped/0")
    operator.wait_for(lambda text: "Logs" in text and SCORING in text)
    click(operator, "document.querySelector('[aria-label=\"Press shift+c to clear\"]')")
    operator.wait_for(lambda text: "Affected Tasks: 6" in text)
    click(operator, button("Downstream"))
    operator.wait_for(lambda text: "Affected Tasks: 1" in text)
    operator.picture(up.home / "pictures" / "clear.png")
    click(operator, button("Confirm"))
    until(lambda: tries(api, run)[SCORING, 0] == (2, "success"))
    assert returned(api, run, SCORING, 0) == digest
    assert {number for which, (number, _) in tries(api, run).items() if which != (SCORING, 0)} == {1}


def test_the_report_of_a_build_is_one_click_from_its_run(operator: Chromium, up: Settings, api: AirflowApi) -> None:
    run = max((r for r in runs(api, "manual").values() if r["state"] == "success"), key=lambda r: r["end_date"])
    operator.open(f"{address(up)}/dags/{DAG}/runs/{run['dag_run_id']}")
    operator.wait_for(lambda text: "Report" in text and "Task Instances" in text)
    click(operator, "[...document.querySelectorAll('a')].find(e => e.innerText.trim() === 'Report')")
    framed = "document.querySelector('iframe')?.contentDocument?.body?.innerText ?? ''"
    told = until(lambda: (text := operator.ask(framed)) and "May it go live?" in text and text, 60)
    assert "Everybody's lists" in told and "What the models are worth" in told and "Time and memory" in told
    operator.picture(up.home / "pictures" / "report.png")


def test_a_build_without_a_date_is_as_of_the_present(operator: Chromium, up: Settings, api: AirflowApi) -> None:
    before, live = runs(api, "manual"), current_release(up)
    open_trigger(operator)
    without_publishing(operator)
    asked = datetime.now(UTC)
    click(operator, button("Trigger"))
    run = triggered(api, before)
    cutoff = until(lambda: api.run_state(DAG, run) != "queued" and _cutoff(api, run), 600)
    assert abs(cutoff - asked) < timedelta(minutes=5)
    assert finished(api, run) == "success"
    assert current_release(up) == live


def test_three_days_backfilled_leave_the_live_lists_alone(operator: Chromium, up: Settings, api: AirflowApi) -> None:
    first = days_ago(up, 40)
    before, live = runs(api, "backfill"), current_release(up)
    open_trigger(operator)
    labels = "[...document.querySelectorAll('[role=dialog] label')]"
    click(operator, f"{labels}.find(e => e.innerText.startsWith('Backfill'))")
    operator.wait_for(lambda text: "Date Range" in text)
    pick(operator, 0, first)
    pick(operator, 1, first + timedelta(days=2, hours=12))
    operator.wait_for(lambda text: "3 runs will be triggered" in text)
    operator.picture(up.home / "pictures" / "backfill.png")
    click(operator, button("Run Backfill"))
    until(lambda: len(runs(api, "backfill").keys() - before.keys()) == 3, 60)
    made = sorted(runs(api, "backfill").keys() - before.keys())
    assert [finished(api, run) for run in made] == ["success"] * 3
    assert current_release(up) == live
    stored = {r["as_of"] for r in list_releases(up)}
    assert {(first + timedelta(days=day, hours=2)).isoformat() for day in (1, 2, 3)} <= stored
    operator.open(f"{address(up)}/dags/{DAG}")
    operator.wait_for(lambda text: "Latest Run" in text)
    operator.picture(up.home / "pictures" / "backfilled.png")


def _cutoff(api: AirflowApi, run: str) -> datetime | None:
    if tries(api, run).get(("prepare.choose_cutoff", -1), (0, ""))[1] != "success":
        return None
    return datetime.fromisoformat(returned(api, run, "prepare.choose_cutoff")["as_of"])
