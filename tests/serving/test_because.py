""" "Because you engaged with X": the latest engagements first, nothing met, hidden, own or shown twice."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from models.schema import EventType, Role, Similar, Surface
from models.settings.settings import Settings
from pipelines.events.drain import drain_events
from tests.marketplace.world import STRANGER, World
from tests.serving.conftest import (
    Body,
    Company,
    Execute,
    Person,
    Publish,
    Start,
    ask_list,
    event,
    ids,
    post,
    within_a_second,
)
from tests.serving.proxy import Wires

MINE = Surface.STARTUPS_FOR_INVESTOR


@pytest.fixture
def app(start: Start, publish: Publish, rows: str) -> Flask:
    publish()
    return start()


@pytest.fixture
def owner(person: Person) -> str:
    return person(Role.INVESTOR, 4)


def because(app: Flask, owner: str, surface: Surface = MINE, **query: Any) -> Body:
    answer = app.test_client().get(f"/api/recommendations/{surface}/{owner}/because", query_string=query)
    assert answer.status_code == 200 and answer.headers["Cache-Control"] == "no-store", answer.text
    return answer.get_json()


def shown(body: Body) -> list[str]:
    return [i for row in body["because"] for i in ids(row["list"])]


def met(planted: World, owner: str) -> set[str]:
    row = planted.users.ids.rows_of([owner])[0]
    return set(planted.startups.ids.text(planted.interactions.item[planted.interactions.owner == row]).tolist())


def test_rows_come_from_engagements_and_show_only_new_items_once(app: Flask, planted: World, owner: str) -> None:
    body = because(app, owner, limit=4)
    assert list(body) == ["because", "release", "degraded", "reason"]
    assert 1 <= len(body["because"]) <= 3 and body["reason"] is None and body["degraded"] is False
    seen = met(planted, owner)
    for row in body["because"]:
        assert row["id"] in seen and row["type"] in {t.value for t in EventType if t.trained}
        whole = [i for i in ids(ask_list(app, Similar.STARTUPS, row["id"])) if i not in seen]
        assert set(ids(row["list"])) <= set(whole) and row["list"]["release"] == body["release"]
    assert len(shown(body)) == len(set(shown(body))) and not set(shown(body)) & seen


def test_the_last_opinion_leads_and_a_retraction_takes_it_back(
    app: Flask, settings: Settings, owner: str, planted: World, company: Company
) -> None:
    fresh = ids(ask_list(app, MINE, owner))[0]
    post(app, event(owner, fresh, "interest"))
    body = because(app, owner)
    assert (body["because"][0]["id"], body["because"][0]["type"]) == (fresh, "interest")
    assert fresh not in shown(body)
    drain_events(settings)
    assert because(app, owner)["because"][0]["id"] == fresh, "the same from PostgreSQL"
    post(app, event(owner, fresh, "retract"))
    drain_events(settings)
    assert fresh not in [row["id"] for row in because(app, owner)["because"]]


@pytest.mark.parametrize("kind", ["dislike", "dismiss"])
def test_a_refusal_makes_no_row_and_hides_the_item(app: Flask, owner: str, kind: str) -> None:
    body = because(app, owner)
    row, item = body["because"][0]["id"], ids(body["because"][0]["list"])[0]
    post(app, event(owner, row, kind), event(owner, item, kind))
    after = because(app, owner)
    assert row not in [r["id"] for r in after["because"]] and item not in shown(after)


def test_rows_limit_and_filters_are_query_parameters(app: Flask, owner: str, planted: World) -> None:
    assert len(because(app, owner, rows=1)["because"]) == 1
    assert all(len(ids(row["list"])) <= 2 for row in because(app, owner, limit=2)["because"])
    place = planted.startups.labels["location"][0]
    rows = planted.startups.ids.rows_of(shown(because(app, owner, location=place)))
    assert (planted.startups.facets["location"][rows] == 0).all()
    for wrong in ("rows=0", "rows=11", "limit=x"):
        assert app.test_client().get(f"/api/recommendations/{MINE}/{owner}/because?{wrong}").status_code == 400
    assert app.test_client().get(f"/api/recommendations/{MINE}/42/because").status_code == 400


def test_a_founder_gets_people_of_the_surface(app: Flask, planted: World, company: Company) -> None:
    for surface in (Surface.DEVELOPERS_FOR_STARTUP, Surface.INVESTORS_FOR_STARTUP):
        body = because(app, company(4), surface)
        people = [*shown(body), *(row["id"] for row in body["because"])]
        assert shown(body)
        assert {int(r) for r in planted.users.role[planted.users.ids.rows_of(people)]} == {surface.role.code}


@pytest.mark.parametrize("who", ["stranger", "silent", "opted out"])
def test_who_engaged_with_nothing_or_opted_out_has_no_rows(app: Flask, person: Person, who: str) -> None:
    owner = {"stranger": STRANGER, "silent": person(Role.DEVELOPER, 1), "opted out": person(Role.DEVELOPER, 3)}[who]
    body = because(app, owner, Surface.STARTUPS_FOR_DEVELOPER)
    assert body["because"] == [] and body["reason"] == "nothing is known that this owner engaged with"


def test_who_opts_out_now_has_no_rows_within_a_second(
    app: Flask, settings: Settings, execute: Execute, owner: str
) -> None:
    assert because(app, owner)["because"]
    execute("UPDATE users SET opted_out_at = '2020-04-10' WHERE id = %s", owner)
    drain_events(settings)
    within_a_second(lambda: because(app, owner)["because"] == [])


def test_without_postgresql_events_since_the_build_make_rows(
    wires: Wires, start: Start, publish: Publish, rows: str, owner: str
) -> None:
    publish()
    app = start(wires.settings)
    fresh = ids(ask_list(app, MINE, owner))[0]
    post(app, event(owner, fresh, "like"))
    wires.postgres.down()
    body = because(app, owner)
    assert [row["id"] for row in body["because"]] == [fresh] and body["degraded"]


def test_without_redis_the_platform_makes_rows(
    wires: Wires, start: Start, publish: Publish, rows: str, owner: str
) -> None:
    publish()
    app = start(wires.settings)
    before = [row["id"] for row in because(app, owner)["because"]]
    wires.redis.down()
    body = because(app, owner)
    assert [row["id"] for row in body["because"]] == before and body["degraded"]
