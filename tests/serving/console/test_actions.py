"""Actions say what will happen and need a form of this console. tests/e2e/test_console.py runs them in Airflow."""

from __future__ import annotations

import re
import uuid
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from models.errors import RequestError
from models.run_directory import BUILD_DAG
from models.schema import Role
from models.settings.environment import Secret
from models.settings.settings import Settings
from pipelines.publish.history import rollback
from serving.console.actions import _build_options, _told
from tests.serving.conftest import Company, Execute, Person, Publish, Start
from tests.serving.console.airflow import airflow
from tests.serving.console.kept import build, keep, words
from tests.serving.console.test_sign_in import OURS, token

ACTIONS = ("/actions/build", "/actions/rollback", "/actions/erase", "/actions/opt-out")


def hidden(page: str) -> dict[str, str]:
    """Return the hidden fields of a page's forms."""
    return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page))


@pytest.fixture
def client(start: Start) -> FlaskClient:
    return start().test_client()


def test_a_promotion_says_which_release_and_whether_it_is_older(
    publish: Publish, start: Start, settings: Settings
) -> None:
    first, second = publish(day=10), publish(day=11)
    keep(settings, build("20200401T000000Z-aaaaaaaa", 1, verdict="stop", reasons=["surely worse"]))
    client = start().test_client()
    older = words(client.get(f"/actions/promote/{first}").text)
    assert (
        f"{first} becomes live" in older and f"It replaces {second}" in older and "1 d older than the live one" in older
    )
    assert "lists, which know events until 2020-04-10" in older and "it goes live at once" in older
    assert "It is live already" in words(client.get(f"/actions/promote/{second}").text)
    again = client.post(
        f"/actions/promote/{second}", data={"form_token": token(client.get("/actions/build").text)}, headers=OURS
    )
    assert again.status_code == 400 and "a release that is not live" in words(again.text)
    stopped = words(client.get("/actions/promote/20200401T000000Z-aaaaaaaa").text)
    assert "stopped" in stopped and "surely worse" in stopped and "loaded into Redis first" in stopped
    assert client.get("/actions/promote/none").status_code == 404


def test_a_rollback_names_the_build_before(
    client: FlaskClient, publish: Publish, start: Start, settings: Settings
) -> None:
    assert "No release is live yet" in client.get("/actions/rollback").text
    first, second = publish(day=10), publish(day=11)
    client = start().test_client()
    page = client.get("/actions/rollback").text
    assert (
        f"<h1>Roll back to {first}</h1>" in page
        and f"{first} becomes live" in words(page)
        and f"It replaces {second}" in words(page)
    )
    rollback(settings)
    said = words(client.get("/actions/rollback").text)
    assert "Nothing to roll back to" in said and f"Promote {second} 1 d newer" in said and "becomes live" not in said


def test_a_rollback_that_was_overtaken_is_refused(publish: Publish, start: Start) -> None:
    publish(day=10)
    second = publish(day=11)
    client = start().test_client()
    page = client.get("/actions/rollback").text
    publish(day=12)
    seen = re.findall(r'name="release" value="([^"]+)"', page)[0]
    answer = client.post("/actions/rollback", data={"form_token": token(page), "release": seen}, headers=OURS)
    assert seen != second and answer.status_code == 400 and "Another release went live meanwhile" in answer.text


def test_a_form_that_is_sent_twice_starts_one_run(
    publish: Publish, rows: str, start: Start, settings: Settings, person: Person
) -> None:
    first, _ = publish(day=10), publish(day=11)
    somebody = person(Role.INVESTOR, 4)
    queued: list[dict[str, Any]] = []
    with airflow([], [], queued=queued) as address:
        client = start(replace(settings, airflow_url=address)).test_client()
        for path, more in (
            ("/actions/rollback", {}),
            (f"/actions/promote/{first}", {}),
            ("/actions/build", {"publish": "on"}),
            ("/actions/opt-out", {}),
            ("/actions/erase", {"typed": somebody}),
        ):
            sent = hidden(client.get(path, query_string={"id": somebody}).text) | more
            answers = [client.post(path, data=sent, headers=OURS) for _ in range(2)]
            assert [a.status_code for a in answers] == [303, 303], answers[0].text
            assert answers[0].location == answers[1].location
        assert len(queued) == 5
        assert queued[0]["conf"] == {"release": "previous", "back_to": first, "by": "without a key"}
        build = hidden(client.get("/actions/build").text)
        for more in ({}, {"fresh": "on"}):
            client.post("/actions/build", data=build | more, headers=OURS)
        assert len(queued) == 7, "other values are another run"
        queued[-1]["state"] = "failed"
        client.post("/actions/build", data=build | more, headers=OURS)
        assert len(queued) == 8, "a run that has ended is not in the way"


def test_a_promotion_of_another_release_than_promised_is_refused(publish: Publish, start: Start) -> None:
    first, _ = publish(day=10), publish(day=11)
    client = start().test_client()
    sent = hidden(client.get(f"/actions/promote/{first}").text)
    answer = client.post(f"/actions/promote/{first}", data={**sent, "release": "nope"}, headers=OURS)
    assert answer.status_code == 400 and "the release of the confirmation" in words(answer.text)


def test_an_erasure_shows_who_it_is_and_asks_for_the_id_again(
    publish: Publish, rows: str, start: Start, execute: Execute, person: Person
) -> None:
    publish()
    owner, nobody = person(Role.INVESTOR, 4), str(uuid.uuid4())
    execute("UPDATE users SET name = '<b>Ada' WHERE id = %s", owner)
    client = start().test_client()
    page = client.get(f"/actions/erase?id={owner.upper()}").text
    assert "&lt;b&gt;Ada" in page and owner in page and "cannot be undone" in page
    assert "Nobody with this id is known" not in page and "Erase for good" in page
    assert client.get("/actions/erase?id=42").status_code == 400
    form = {"form_token": token(page), "id": owner, "typed": nobody}
    answer = client.post("/actions/erase", data=form, headers=OURS)
    assert answer.status_code == 400 and "type the id to confirm" in answer.text


def test_an_erasure_of_nobody_says_so_and_removes_what_remains(
    publish: Publish, rows: str, start: Start, execute: Execute, person: Person, settings: Settings
) -> None:
    publish()
    removed, nobody = person(Role.INVESTOR, 4), str(uuid.uuid4())
    execute("DELETE FROM users WHERE id = %s", removed)
    client = start().test_client()
    said = words(client.get(f"/actions/erase?id={removed}").text)
    assert "the platform does not have this person any more, the live release does" in said and "Erase for good" in said
    said = words(client.get(f"/actions/erase?id={nobody}").text)
    assert "Nobody with this id is known: neither the platform nor the live release" in said
    assert "Search and erase what remains" in said and "choose another one above" in said
    silent = start(settings.layered({"database_url": "", "reader_database_url": ""}, "given")).test_client()
    said = words(silent.get(f"/actions/erase?id={nobody}").text)
    assert "no PostgreSQL is known" in said and "Nobody with this id" not in said and "any more" not in said


def test_opting_out_leads_to_the_platform_and_shows_what_follows(
    publish: Publish, rows: str, start: Start, execute: Execute, person: Person, company: Company
) -> None:
    publish()
    owner = person(Role.INVESTOR, 4)
    client, path = start().test_client(), f"/actions/opt-out?id={owner}"
    assert path in client.get(f"/people/{owner}").text
    said = words(client.get(path).text)
    assert "The platform not opted out Answers personal lists" in said
    assert f"UPDATE users SET opted_out_at = now() WHERE id = '{owner}'" in said
    execute("UPDATE users SET opted_out_at = '2026-01-01' WHERE id = %s", owner)
    said = words(client.get(path).text)
    assert "opted out at 2026-01-01 00:00 UTC" in said and "not yet this reader has not seen it" in said
    assert "UPDATE" not in said and "Read the platform now" in said
    client = start().test_client()  # without ids in Redis it reads PostgreSQL
    said = words(client.get(path).text)
    assert "Answers opted out popular lists only" in said and "the next build leaves them out" in said
    for nobody in (uuid.uuid4(), company(2)):
        said = words(client.get(f"/actions/opt-out?id={nobody}").text)
        assert "has nobody with the id" in said and "Answers" not in said and "UPDATE" not in said


def test_recent_runs_are_in_the_order_of_when_they_were_queued(start: Start, settings: Settings) -> None:
    runs = [
        {"dag_id": BUILD_DAG, "dag_run_id": f"r{hour}", "state": "success", "run_type": "manual", "note": f"at {hour}",
         "run_after": "2026-01-02T00:00:00Z", "queued_at": f"2026-01-01T{hour:02d}:00:00Z"}
        for hour in (4, 9, 6)
    ]  # fmt: skip
    with airflow(runs, []) as address:
        page = words(start(replace(settings, airflow_url=address)).test_client().get("/actions").text)
    assert re.findall(r"at (\d)", page) == ["9", "6", "4"]


@pytest.mark.parametrize("path", [*ACTIONS, "/actions/gate/some__run"])
def test_an_action_needs_a_form_of_this_console(client: FlaskClient, path: str) -> None:
    assert client.post(path, headers=OURS).status_code == 403
    assert client.post(path, data={"form_token": token(client.get("/actions/build").text)}).status_code == 403


def test_without_airflow_the_page_says_what_to_set(client: FlaskClient) -> None:
    page = client.get("/actions")
    assert page.status_code == 200 and "MATCHBOOK_AIRFLOW_URL" in page.text
    form = {"form_token": token(client.get("/actions/build").text), "publish": "on"}
    answer = client.post("/actions/build", data=form, headers=OURS)
    assert answer.status_code == 503 and "<h1>" in answer.text


def test_a_silent_airflow_is_said_and_its_password_is_not(start: Start, settings: Settings) -> None:
    silent = replace(settings, airflow_url="http://127.0.0.1:1", airflow_password=Secret("hush-hush"))
    page = start(silent).test_client().get("/actions")
    assert page.status_code == 200 and "does not answer" in page.text and "hush-hush" not in page.text


def test_an_unknown_dag_has_no_page(client: FlaskClient) -> None:
    assert client.get("/actions/runs/other_dag/some__run").status_code == 404


def test_a_build_is_given_its_cutoff_in_utc() -> None:
    assert _build_options({"publish": "on"}) == ({"publish": True, "fresh": False}, None)
    given, _ = _build_options({"as_of": "2025-06-02T08:30", "fresh": "on"})
    assert given == {"publish": False, "fresh": True, "as_of": "2025-06-02T08:30:00+00:00"}
    with pytest.raises(RequestError, match="has passed"):
        _build_options({"as_of": "2999-01-01T00:00"})


def test_a_build_needs_an_event_before_its_cutoff(
    publish: Publish, rows: str, start: Start, settings: Settings
) -> None:
    publish()
    queued: list[dict[str, Any]] = []
    with airflow([], [], queued=queued) as address:
        known = replace(settings, airflow_url=address)
        client = start(known).test_client()
        sent = hidden(client.get("/actions/build").text)
        for early in ("1900-01-01T00:00", "0001-01-01T00:00"):
            answer = client.post("/actions/build", data={**sent, "as_of": early}, headers=OURS)
            assert answer.status_code == 400 and "with an event before it" in words(answer.text) and not queued
        assert (
            client.post("/actions/build", data={**sent, "as_of": "2024-01-01T00:00"}, headers=OURS).status_code == 303
        )
        silent = start(known.layered({"database_url": "", "reader_database_url": ""}, "given")).test_client()
        sent = hidden(silent.get("/actions/build").text)
        answer = silent.post("/actions/build", data={**sent, "as_of": early}, headers=OURS)
        assert answer.status_code == 303, "the run itself checks it"


def test_a_result_is_shown_without_its_nested_parts() -> None:
    given = {"published": True, "reason": "rolled back", "previous": "r1", "lists": 5296, "bytes_per_list": 761.0}
    assert _told({**given, "by": "ada", "warning": "", "more": {}}) == [
        ("made live", "yes"),
        ("reason", "rolled back"),
        ("previous release", "r1"),
        ("lists", "5\u202f296"),
    ]
    assert _told(None) == []
