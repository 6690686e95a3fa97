"""Store users everywhere that Matchbook and a real Airflow write, erase them with the DAG, search everywhere."""

from __future__ import annotations

import http.client
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import psycopg2
import pytest
import redis

from local.airflow import airflow_environment
from models.lists.redis_format import Keys, since_value
from models.schema import Entity, EventType, Surface
from pipelines.events.drain import drain_events
from pipelines.redis_client import current_release
from pipelines.retire import retire
from pipelines.run_build import run_build
from tests.e2e.conftest import House, Houses, Patiently
from tests.e2e.everywhere import Wanted, everywhere
from tests.marketplace.tiny import AFTER_ALL, identity
from tests.stored import append, entries

pytestmark = pytest.mark.e2e
DAG, OTHER_DAG = "erase_person", "retire_old_artifacts"
#: A user with a stored list, and a user who came after the build.
KNOWN, NEW = identity("user", 23), identity("user", 777)
PEOPLE = (KNOWN, NEW)
LISTS = f"/api/recommendations/{Surface.STARTUPS_FOR_DEVELOPER}"
OTHER, STARTUP = identity("user", 9), identity("startup", 4)
PLATFORM = ("users", "startups", "user_interactions")


def ask(house: House, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", house.settings.reader_port, timeout=30)
    try:
        connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def metadata(house: House) -> str:
    return airflow_environment(house.settings)["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]


def change(url: str, statement: str, *values: object) -> None:
    connection = psycopg2.connect(url.replace("+psycopg2", ""))
    with connection, connection.cursor() as cursor:
        cursor.execute(statement, values)
    connection.close()


def sought(house: House, id: str) -> list[str]:
    databases = [house.settings.database_url.reveal(), metadata(house)]
    return everywhere(Wanted(id), house.settings.home, house.settings.redis_url.reveal(), databases)


def ours(places: list[str]) -> list[str]:
    """Exclude the platform's own tables, which Matchbook never writes."""
    return [p for p in places if p.rpartition(".")[2] not in PLATFORM or p.startswith("file")]


def event(number: int, kind: str, user: str, **more: Any) -> dict[str, Any]:
    return {"event_id": f"{user}-{number}", "user_id": user, "startup_id": STARTUP, "type": kind, **more}


def ended(house: House, patiently: Patiently, run: str, dag: str = DAG) -> str:
    """Return the final state of a run, with the last log lines of its tasks if it failed."""
    state = str(patiently(house, lambda: (s := house.api.run_state(dag, run)) in ("success", "failed") and s, 300))
    tasks = house.api.task_instances(dag, run) if state == "failed" else []
    return "\n".join([state, *(line for t in tasks for line in house.api.log_of(dag, run, t)[-6:])])


def erase_through_airflow(house: House, patiently: Patiently, id: str, run: str) -> str:
    house.api._ask(
        "POST",
        f"/api/v2/dags/{DAG}/dagRuns",
        {"dag_run_id": run, "logical_date": None, "conf": {"person": id}, "note": f"{id} asked for it"},
    )
    return ended(house, patiently, run)


@pytest.fixture(scope="module")
def house(houses: Houses) -> House:
    """Use a separate installation: the search reads every file and must not find other tests' files."""
    return houses({"MATCHBOOK_SHARDS": "2"})


@pytest.fixture(scope="module")
def planted(house: House, patiently: Patiently) -> House:
    """Insert rows of the platform, also broken ones, before the build, and all other data after it."""
    settings, database = house.settings, house.settings.database_url.reveal()
    change(
        database,
        "INSERT INTO user_interactions SELECT user_id, startup_id, 'waved', created_at "
        "FROM user_interactions WHERE user_id = %s LIMIT 1",
        KNOWN,
    )
    run_build(settings, as_of=AFTER_ALL, fresh=True, force=True)  # another test file may have built it
    change(database, "INSERT INTO users (id, role, created_at, name) VALUES (%s, 'developer', now(), 'New')", NEW)
    for dag in (DAG, OTHER_DAG):
        house.api.unpause(dag)
    ready = f"{LISTS}/{OTHER}"  # reader processes follow within two seconds, so ask until several answers agree
    patiently(house, lambda: all(ask(house, "GET", ready)[0] == http.client.OK for _ in range(12)))
    _ask_for_them(house)
    _post_of_them(house)
    _leave_files(settings.home, settings.artifacts / "runs" / "of-yesterday")
    change(database, "INSERT INTO matchbook_rejected_rows VALUES ('users.csv', 3, 'why', %s)", f"{KNOWN.upper()},x")
    about = f"about-{KNOWN.upper()}"  # runs of other DAGs can hold a user's id in name, parameter and note
    house.api._ask(
        "POST",
        f"/api/v2/dags/{OTHER_DAG}/dagRuns",
        {"dag_run_id": about, "logical_date": None, "conf": {"see": {KNOWN: [NEW.replace("-", "")]}}, "note": KNOWN},
    )
    assert ended(house, patiently, about, OTHER_DAG) == "success"
    return house


def _ask_for_them(house: House) -> None:
    for surface in Surface:
        if surface.owner is Entity.USER:
            for id in PEOPLE:
                for _ in range(3):
                    assert ask(house, "GET", f"/api/recommendations/{surface}/{id}")[0] == http.client.OK


def _post_of_them(house: House) -> None:
    for id in PEOPLE:
        listed = ask(house, "GET", f"{LISTS}/{id}")[1]
        events = [event(kind.code, kind, id) for kind in EventType]
        if listed.get("answer_id"):
            item = {"startup_id": listed["startups"][0]["id"], "answer_id": listed["answer_id"], "position": 1}
            events.append({**event(99, "impression", id), **item})
        assert ask(house, "POST", "/api/events", {"events": events})[0] == http.client.ACCEPTED
    client, keys = redis.Redis.from_url(house.settings.redis_url.reveal()), Keys(house.settings.namespace)
    client.xadd(keys.events, {"event_id": "broken", "user_id": KNOWN.upper(), "type": "stare"})
    drain_events(house.settings)
    waiting = {"events": [event(200, "like", id) for id in PEOPLE]}
    assert ask(house, "POST", "/api/events", waiting)[0] == http.client.ACCEPTED


def _leave_files(home: Path, staging: Path) -> None:
    """Write files of an older version, a crash or an operator."""
    with (home / "logs" / "airflow-scheduler.log").open("a") as log:
        log.write(f"who is {KNOWN.replace('-', '').upper()}?\n")
    (home / "rejected").mkdir(exist_ok=True)
    (home / "rejected" / "x.csv").write_text(f"file,line\nusers.csv,{KNOWN}\nusers.csv,somebody else\n")
    staging.mkdir(parents=True)
    np.savez_compressed(staging / "staged.npz", ids=np.array([KNOWN]))
    folder = home / "airflow" / "logs" / "dag_id=erase_person" / f"run_id=of-{KNOWN}"
    folder.mkdir(parents=True)
    (folder / "attempt=1.log").write_text("done\n")


def test_the_search_finds_what_is_planted_in_every_kind_of_place(planted: House) -> None:
    for id in PEOPLE:
        places = ours(sought(planted, id))
        kinds = {p.split()[0] for p in places}
        assert {"redis", "matchbook", "airflow"} <= kinds, places
    known = "\n".join(ours(sought(planted, KNOWN)))
    for expected in (
        "users.parquet",
        "rejected.parquet",
        "als_v1",
        "content_v1",
        ".npz",
        "airflow-scheduler.log",
        "run_id=of-",
        "rejected/x.csv",
        ":since:",
        ":events'",
        ":startups/for-developer",
        "matchbook_events",
        "matchbook_rejected_rows",
        "matchbook_rejected_events",
        "matchbook_interaction_counts",
        "dag_run",
        "public.log",
        "dag_run_note",
    ):
        assert expected in known, f"nothing planted in {expected}:\n{known}"
    assert any(":live:" in p for p in sought(planted, NEW)), "a live list of the newcomer"


def test_erased_through_airflow_nothing_is_left_after_later_events_and_a_new_build(
    planted: House, patiently: Patiently
) -> None:
    house, settings = planted, planted.settings
    for n, id in enumerate(PEOPLE):
        assert erase_through_airflow(house, patiently, f" {id.upper()} ", f"erase-{n}") == "success"
    for id in PEOPLE:
        assert ours(sought(house, id)) == []
    runs = house.api._ask("GET", f"/api/v2/dags/{DAG}/dagRuns?limit=50")["dag_runs"]
    assert sorted(r["dag_run_id"] for r in runs) == ["erase-0", "erase-1"], "the runs themselves stay"

    _later_events(house, patiently)
    change(
        settings.database_url.reveal(), "INSERT INTO user_interactions VALUES (%s, %s, 'waved', now())", KNOWN, STARTUP
    )
    drain_events(settings, full=True)
    release = run_build(settings, as_of=datetime.now(UTC) + timedelta(seconds=1), force=True)["release"]
    assert current_release(settings) == release
    retire(settings)
    for id in PEOPLE:
        assert ours(sought(house, id)) == []

    for table, column in (("user_interactions", "user_id"), ("users", "id")):  # the platform erases its own rows
        for id in PEOPLE:
            change(settings.database_url.reveal(), f"DELETE FROM {table} WHERE {column} = %s", id)
    assert [sought(house, id) for id in PEOPLE] == [[], []]


def _later_events(house: House, patiently: Patiently) -> None:
    """The platform continues to post and to ask. An old reader accepts one event."""
    client, keys = redis.Redis.from_url(house.settings.redis_url.reveal()), Keys(house.settings.namespace)
    patiently(house, lambda: all(ask(house, "GET", f"{LISTS}/{id}")[1]["known"] is False for id in PEOPLE * 6), 15)
    for id in PEOPLE:
        before = client.xlen(keys.events)
        for n, kind in EventType.by_code().items():
            assert ask(house, "POST", "/api/events", {"events": [event(300 + n, kind, id)]}) == (202, {"accepted": 1})
        assert client.xlen(keys.events) == before
        answer = ask(house, "GET", f"{LISTS}/{id}")[1]
        assert (answer["known"], answer["method_used"]) == (False, "popular") and answer["startups"]
        many = ask(house, "POST", f"{LISTS}/many", {"ids": [id, OTHER]})[1]["lists"]
        assert many[id]["known"] is False and many[OTHER]["known"] is True
        append(client, keys, event(400, "like", id))
        client.xadd(keys.events, {"event_id": "x", "user_id": id.upper(), "type": "stare"})
        client.hset(keys.since(Entity.USER, id), UUID(STARTUP).bytes, since_value(2, 1))
        client.hset(keys.since(Entity.STARTUP, STARTUP), UUID(id).bytes, since_value(2, 1))
    mixed = {"events": [event(500, "like", KNOWN), event(501, "like", OTHER)]}
    assert ask(house, "POST", "/api/events", mixed) == (202, {"accepted": 2})
    kept = [fields[b"event_id"] for fields in entries(client, keys.events)]
    assert f"{OTHER}-501".encode() in kept and f"{KNOWN}-500".encode() not in kept
