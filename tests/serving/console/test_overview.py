"""The overview shows real numbers, leads a first visitor, and loses only the panel of a silent source."""

from __future__ import annotations

import html
import json
import re
import uuid
from dataclasses import replace
from threading import Event
from typing import Any

import pytest
import redis

from models.lists.redis_format import Keys
from models.run_directory import BUILD_DAG
from models.schema import EventType, Role, Surface
from models.settings.environment import Secret
from models.settings.settings import Settings
from serving.console.overview import quality
from serving.console.words import plain
from tests.serving.conftest import Company, Person, Publish, Start
from tests.serving.console.airflow import airflow
from tests.serving.console.kept import build, engagement, keep, words
from tests.serving.proxy import Wires

PANELS = ("live", "answers", "events", "doctor", "builds", "quality", "engagement", "mix", "experiments")


def text(page: str, panel: str) -> str:
    """Return the words of one panel."""
    found = re.search(rf'<section[^>]*aria-labelledby="{panel}">(.*?)</section>', page, re.DOTALL)
    assert found is not None, panel
    return words(found[1])


def charts(page: str) -> list[dict[str, Any]]:
    return [json.loads(html.unescape(found)) for found in re.findall(r'data-chart="([^"]*)"', page)]


def test_the_live_release_and_what_the_gate_said(start: Start, publish: Publish, settings: Settings) -> None:
    release = publish()
    keep(settings, build(release, 10, answer={"chosen": "publish", "by": "ada", "at": "2020-04-10T01:00:00+00:00"}))
    page = start().test_client().get("/").text
    said = text(page, "live")
    assert release in said and "approved by ada" in said and "ada chose publish" in said
    assert "no check failed" in said and "older than allowed" not in said
    assert release in text(page, "builds") and "live" in text(page, "builds")


def test_a_newer_build_that_did_not_go_live_says_so(start: Start, publish: Publish, settings: Settings) -> None:
    keep(settings, build(publish(), 10), build("later", 11, as_of="2099-01-01T00:00:00+00:00"), build("former", 1))
    said = text(start().test_client().get("/").text, "builds")
    assert said.count("newer, not live") == 1 and "later newer, not live" in said
    assert "dry run" not in said


def test_a_newer_build_that_was_a_dry_run_says_so(start: Start, publish: Publish, settings: Settings) -> None:
    newer = {"as_of": "2099-01-01T00:00:00+00:00"}
    keep(settings, build(publish(), 10, dry_run=True), build("dry", 11, dry_run=True, **newer))
    client = start().test_client()
    said = text(client.get("/").text, "builds")
    assert "dry newer, not live: it was a dry run" in said and said.count("dry run") == 1
    assert "Why it is not live Its build was a dry run" in words(client.get("/releases/dry").text)


def test_a_first_visitor_is_led(start: Start) -> None:
    page = start().test_client().get("/")
    assert page.status_code == 200
    assert "no release is live yet" in text(page.text, "live") and 'href="/actions/build"' in page.text
    for panel, lead in (("builds", "Start a build"), ("engagement", "answer_id"), ("doctor", "pipelines doctor")):
        assert lead in text(page.text, panel), panel


def test_quality_is_drawn_from_the_second_build_on_with_a_table(
    start: Start, publish: Publish, settings: Settings
) -> None:
    release = publish()
    keep(settings, build(release, 10))
    client = start().test_client()
    first = client.get("/").text
    assert not charts(first) and "0.410" in text(first, "quality") and "0.400–0.420" in text(first, "quality")
    keep(settings, build("other", 9))
    drawn = charts(client.get("/").text)
    assert [c["title"] for c in drawn] == [plain(s.value) for s in Surface]
    served, popular = drawn[0]["lines"]
    assert served["value"] == [0.409, 0.41] and popular["label"] == "popular" and len(served["high"]) == 2
    assert "better" in text(client.get("/").text, "quality")  # than the release before, on the same events


def test_quality_is_that_of_the_live_release_and_names_it(start: Start, publish: Publish, settings: Settings) -> None:
    release, client = publish(), start().test_client()
    keep(settings, build("later", 20, as_of="2099-01-01T00:00:00+00:00"))
    said = text(client.get("/").text, "quality")
    assert f"{release} has no evaluation: this page knows only the newest" in said and "0.420" not in said
    keep(settings, build(release, 10))
    said = text(client.get("/").text, "quality")
    assert f"Measured when {release} was built" in said and "0.400–0.420" in said and "later" not in said
    keep(settings, build(release, 10, quality={}))
    said = text(client.get("/").text, "quality")
    assert f"{release} has no evaluation: its build was not evaluated" in said and "0.420" not in said


def test_builds_of_one_surface_are_in_the_order_of_their_cutoffs() -> None:
    builds = [build("b", 12), build("a", 3), build("c", 20, quality={})]
    assert [c["labels"] for c in quality(builds)] == [[b["as_of"] for b in (builds[1], builds[0])]] * len(Surface)


def test_engagement_by_day_method_and_arm(start: Start, publish: Publish, settings: Settings) -> None:
    publish()
    keep(settings, earnings=engagement())
    page = start().test_client().get("/").text
    said = text(page, "engagement")
    assert "click-through 20.0%" in said and "als 1 000" in said
    assert "depth/long" in said and "4.0%–6.0%" in said
    (drawn,) = charts(page)
    assert drawn["labels"] == ["2020-04-09", "2020-04-10"] and drawn["form"] == "percent"


def test_findings_of_the_doctor_with_their_time(start: Start, publish: Publish, settings: Settings) -> None:
    publish()
    finding = {"id": "disk", "title": "The disk is full", "state": "found", "says": "2% is free", "cure": "free some"}
    keep(settings, doctor={"made_at": "2020-04-11T00:00:00+00:00", "findings": [finding]})
    said = text(start().test_client().get("/").text, "doctor")
    assert "The disk is full" in said and "free some" in said and "Checked at 2020-04-11 00:00 UTC" in said


def test_answers_and_events_are_counted(
    start: Start, publish: Publish, rows: str, settings: Settings, person: Person, company: Company
) -> None:
    publish()
    client = start().test_client()
    owner = person(Role.DEVELOPER, 4)
    for _ in range(3):
        client.get(f"/api/recommendations/{Surface.STARTUPS_FOR_DEVELOPER}/{owner}")
    event = {"user_id": owner, "startup_id": company(0), "type": EventType.VIEW.value, "event_id": str(uuid.uuid4())}
    assert client.post("/api/events", json={"events": [event]}).status_code == 202
    page = client.get("/").text
    assert "lists served" in text(page, "answers") and "cache" in text(page, "answers")
    assert "p95" in text(page, "answers") and "degraded" in text(page, "answers")
    assert "waiting for the drain 1" in text(page, "events") and "has not run yet" in text(page, "events")
    with redis.Redis.from_url(settings.redis_url.reveal()) as db:
        db.hset(Keys(settings.namespace).drain, mapping={"until": 1_000_000, "drained": 7, "set_aside": 2})
    said = text(client.get("/").text, "events")
    assert "stored in all 7" in said and "Start python -m pipelines.events" in said


@pytest.mark.parametrize("failure", ["down", "frozen"])
def test_without_redis_the_page_is_there_and_says_what_is_silent(
    start: Start, publish: Publish, wires: Wires, failure: str
) -> None:
    release = publish()
    client = start(wires.settings).test_client()
    if failure == "down":
        wires.redis.down()
    else:
        wires.redis.frozen = True
    page = client.get("/")
    assert page.status_code == 200 and release in text(page.text, "live")  # held in memory
    for panel in ("events", "doctor", "builds", "quality", "engagement"):
        assert "Redis does not answer" in text(page.text, panel), panel


def test_a_silent_airflow_costs_builds_that_run_only(start: Start, publish: Publish, settings: Settings) -> None:
    release = publish()
    keep(settings, build(release, 10))
    silent = replace(settings, airflow_url="http://127.0.0.1:1", airflow_password=Secret("secret"))
    page = start(silent).test_client().get("/")
    assert page.status_code == 200 and "Airflow" in page.text and release in text(page.text, "builds")
    assert 'href="http://127.0.0.1:1/matchbook/reports/' in page.text and "secret" not in page.text


def test_the_last_failed_build_names_its_task_and_its_run(
    start: Start, publish: Publish, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.console.overview.AIRFLOW_S", 5.0)
    keep(settings, build(publish(), 10))
    at = "2020-04-09T02:00:00+00:00"
    run = {"dag_run_id": "manual__a/b", "state": "failed", "run_after": at, "end_date": at}
    tasks = [{"task_id": "train.als", "state": "failed"}, {"task_id": "score", "state": "upstream_failed"}]
    with airflow([run], tasks) as address:
        client = start(replace(settings, airflow_url=address, airflow_password=Secret("secret"))).test_client()
        page = client.get("/").text
        said = text(page, "builds")
        assert "at 2020-04-09 02:00 UTC, in train.als." in said and "A later build has ended" in said
        assert f'href="{address}/dags/build_recommendations/runs/manual__a%2Fb"' in page
        keep(settings, build("20200408T000000Z-aaaaaaaa", 8))
        run |= {"end_date": "2099-01-01T00:00:00+00:00"}
        assert "What is live stays" in words(client.get("/building/failed").text)
    with airflow([], []) as address:
        client = start(replace(settings, airflow_url=address, airflow_password=Secret("secret"))).test_client()
        assert "that failed" not in text(client.get("/").text, "builds")


def test_each_dag_whose_last_run_failed_has_a_line(
    start: Start, publish: Publish, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.console.overview.AIRFLOW_S", 5.0)
    publish()
    runs = [
        {"dag_id": dag, "dag_run_id": f"manual__{n}", "state": "failed", "run_after": at, "end_date": at}
        for dag, n, at in (
            ("erase_person", 2, "2020-04-09T02:00:00+00:00"),
            ("erase_person", 1, "2020-04-08T02:00:00+00:00"),
            ("refresh_trending", 3, "2020-04-07T02:00:00+00:00"),
            ("promote_release", 4, "2020-04-07T02:00:00+00:00"),  # a later run succeeded
        )
    ]
    failing = ("refresh_trending", "erase_person", "tune_models", BUILD_DAG)
    with airflow(runs, [], failing=failing) as address:
        client = start(replace(settings, airflow_url=address, airflow_password=Secret("secret"))).test_client()
        page = client.get("/").text
    said = words(page)
    assert "The last run of erase_person failed" in said and "at 2020-04-09 02:00 UTC (about erase_person)" in said
    assert 'href="/actions/runs/erase_person/manual__2"' in page and "manual__1" not in page
    assert f'href="{address}/dags/refresh_trending/runs/manual__3"' in page
    assert "The last run of tune_models failed (about tune_models)" in said  # its run is not among the recent ones
    assert "The last run of promote_release" not in said and f"The last run of {BUILD_DAG}" not in said
    with airflow(runs, []) as address:
        client = start(replace(settings, airflow_url=address, airflow_password=Secret("secret"))).test_client()
        assert "The last run of" not in words(client.get("/building/failing").text)


def test_a_slow_airflow_is_asked_again_for_the_failed_build(start: Start, publish: Publish, settings: Settings) -> None:
    publish()
    awake = Event()
    with airflow([], [], awake) as address:
        client = start(replace(settings, airflow_url=address, airflow_password=Secret("secret"))).test_client()
        page = client.get("/").text
        for address in ("/building", "/building/failed", "/building/failing"):
            assert f'data-renew="{address}"' in page
        awake.set()
        for address in ("/building/failed", "/building/failing"):
            assert "data-renew" not in client.get(address).text


def test_what_another_version_stored_costs_its_panel_only(start: Start, publish: Publish, settings: Settings) -> None:
    publish()
    keep(settings, {"release": "old"}, earnings={"made_at": "2020"}, doctor={})
    page = start().test_client().get("/")
    assert page.status_code == 200
    for panel in ("builds", "engagement", "doctor"):
        assert "another version wrote it" in text(page.text, panel), panel


def test_names_are_escaped(start: Start, publish: Publish, settings: Settings) -> None:
    release = publish()
    evil = "<script>alert(1)</script>"
    keep(
        settings, build(release, 10, reasons=[evil]), build(evil, 9), earnings=engagement() | {"made_at": "2020-04-11"}
    )
    page = start().test_client().get("/").text
    assert "<script>alert" not in page and "&lt;script&gt;" in page


def test_every_panel_is_there(start: Start, publish: Publish) -> None:
    publish()
    page = start().test_client().get("/").text
    for panel in PANELS:
        assert text(page, panel), panel
