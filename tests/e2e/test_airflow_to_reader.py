"""Run Matchbook through a real Airflow: first build, lists, two days backfilled, one shard cleared."""

from __future__ import annotations

import http.client
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from local.airflow_api import DAG
from pipelines.publish.history import list_releases, promote
from pipelines.redis_client import current_release
from tests.e2e.conftest import FIRST, LONG_S, First, House, Patiently
from tests.marketplace.tiny import NEWEST, identity

pytestmark = pytest.mark.e2e
SURFACES = {
    "startups/for-developer": identity("user", 7),
    "startups/for-investor": identity("user", 8),
    "developers/for-startup": identity("startup", 1),
    "investors/for-startup": identity("startup", 2),
}


def answer(house: House, key: dict[str, str], path: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", house.settings.reader_port, timeout=10)
    try:
        connection.request("GET", path, headers={"X-API-Key": key["key"]})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def runs(house: House, kind: str) -> list[dict[str, Any]]:
    return list(house.api._ask("GET", f"/api/v2/dags/{DAG}/dagRuns?run_type={kind}&limit=50")["dag_runs"])


def over(house: House, kind: str, count: int) -> list[dict[str, Any]]:
    found = runs(house, kind)
    return found if len(found) >= count and all(r["state"] in ("success", "failed") for r in found) else []


def returned(house: House, run: str, task: str, map_index: int = -1) -> Any:
    path = f"/api/v2/dags/{DAG}/dagRuns/{run}/taskInstances/{task}/xcomEntries/return_value?map_index={map_index}"
    return house.api._ask("GET", path)["value"]


def shard_tries(house: House, run: str) -> dict[int, tuple[int, str]]:
    return {
        t["map_index"]: (t["try_number"], t["state"])
        for t in house.api.task_instances(DAG, run)
        if t["task_id"] == "score.score_shard"
    }


def test_the_first_build_is_live_and_served_on_every_surface(
    house: House, key: dict[str, str], first: First, patiently: Patiently
) -> None:
    live = returned(house, first.run, "release.assemble")["release"]
    assert current_release(house.settings) == live
    assert returned(house, first.run, "prepare.choose_cutoff")["as_of"] == FIRST.isoformat()
    for surface, owner in SURFACES.items():
        path = f"/api/recommendations/{surface}/{owner}?limit=5"
        for _ in range(4):  # each reader process follows the switch within 5 seconds
            patiently(house, lambda path=path: answer(house, key, path)[0] == http.client.OK, 6)
        body = answer(house, key, path)[1]
        assert (body["release"], body["source"], body["known"]) == (live, "cache", True)
        items = [item["id"] for item in body["startups" if surface.startswith("startups") else "users"]]
        assert items and len(set(items)) == len(items)


def test_a_scheduled_run_of_today_finds_nothing_new_and_says_so(
    house: House, first: First, patiently: Patiently
) -> None:
    live = current_release(house.settings)
    run = patiently(house, lambda: over(house, "scheduled", 1))[0]
    states = {t["task_id"]: t["state"] for t in house.api.task_instances(DAG, run["dag_run_id"])}
    assert run["state"] == "success"
    assert states["prepare.look_for_new_data"] == states["release.publish"] == "skipped"
    reason = returned(house, run["dag_run_id"], "prepare.look_for_new_data")["reason"]
    assert NEWEST.isoformat() in reason
    assert current_release(house.settings) == live


def test_two_days_backfilled_at_once_leave_the_live_release_alone(
    house: House, key: dict[str, str], first: First, patiently: Patiently
) -> None:
    live = current_release(house.settings)
    house.airflow(
        "backfill",
        "create",
        "--dag-id",
        DAG,
        "--from-date",
        "2024-04-10",
        "--to-date",
        "2024-04-12",
        "--max-active-runs",
        "2",
    )
    done = patiently(house, lambda: over(house, "backfill", 2), LONG_S)
    assert [r["state"] for r in done] == ["success"] * 2
    built = {
        returned(house, r["dag_run_id"], "prepare.choose_cutoff")["as_of"]: returned(
            house, r["dag_run_id"], "release.publish"
        )
        for r in done
    }
    days = [datetime(2024, 4, day, 2, tzinfo=UTC).isoformat() for day in (11, 12)]
    assert sorted(built) == days
    for kept_aside in built.values():
        assert kept_aside["published"] is False and "with a newer cutoff was live" in kept_aside["reason"]
    assert current_release(house.settings) == live
    listed = list_releases(house.settings)
    assert [(r["as_of"], r["state"]) for r in listed] == [
        (FIRST.isoformat(), "live"),
        *[(day, "stored") for day in reversed(days)],
    ]

    promote(house.settings, listed[1]["release"])
    path = f"/api/recommendations/startups/for-developer/{SURFACES['startups/for-developer']}"
    patiently(house, lambda: answer(house, key, path)[1]["release"] == listed[1]["release"], 6)
    promote(house.settings, listed[0]["release"])


def test_a_cleared_shard_alone_runs_again_and_makes_the_same_lists(
    house: House, first: First, patiently: Patiently
) -> None:
    before = shard_tries(house, first.run)
    digest = returned(house, first.run, "score.score_shard", 1)
    house.api._ask(
        "POST",
        f"/api/v2/dags/{DAG}/clearTaskInstances",
        {"dag_run_id": first.run, "task_ids": [["score.score_shard", 1]], "dry_run": False, "only_failed": False},
    )
    patiently(house, lambda: shard_tries(house, first.run)[1] == (before[1][0] + 1, "success"), 60)
    assert returned(house, first.run, "score.score_shard", 1) == digest
    assert {i: t for i, t in shard_tries(house, first.run).items() if i != 1} == {
        i: t for i, t in before.items() if i != 1
    }
    assert len(before) >= 4
