"""Give every answer an id. An event with such an id is stored with the facts of the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
import redis
from flask import Flask

from models.experiments import Experiment
from models.lists.answer_id import ShownAnswer
from models.lists.redis_format import Keys
from models.schema import Method, Role, Surface
from models.settings.environment import Secret
from models.settings.settings import Settings
from pipelines.engagement.measure import keep_measured
from pipelines.erase.servers import erase_rows, person_of
from pipelines.events.drain import drain_events
from serving.app import Reader
from tests.databases import at_once
from tests.marketplace.world import World
from tests.serving.conftest import Company, Person, Publish, Start, ask_list, event, ids, post

SURFACE, FOUNDERS = Surface.STARTUPS_FOR_DEVELOPER, Surface.DEVELOPERS_FOR_STARTUP
EXPERIMENT: dict[str, Any] = {
    "name": "ranker",
    "salt": "m08",
    "surfaces": [SURFACE.value, FOUNDERS.value],
    "share": 0.7,
    "arms": [{"name": "on", "weight": 1, "settings": {}}, {"name": "off", "weight": 1, "settings": {"ranker": "off"}}],
}


@pytest.fixture
def sql(settings: Settings) -> Callable[[str], list[Any]]:
    return partial(at_once, settings)


def refusal(app: Flask, *events: dict[str, Any]) -> dict[str, str]:
    answer = app.test_client().post("/api/events", json={"events": events})
    assert answer.status_code == 400, answer.text
    return answer.get_json()["error"]


def test_the_id_says_what_was_shown(start: Start, publish: Publish, person: Person) -> None:
    release, app, owner = publish(), start(), person(Role.DEVELOPER, 9)
    body = ask_list(app, SURFACE, owner)
    shown = ShownAnswer.read(body["answer_id"])
    assert (shown.surface, shown.release, shown.method.value, shown.route.value) == (
        SURFACE,
        release,
        body["method_used"],
        body["route"],
    )
    assert not shown.live and not shown.anyone and body["experiment"] is body["arm"] is None
    popular = ShownAnswer.read(ask_list(app, SURFACE, "popular")["answer_id"])
    assert popular.anyone and popular.method is Method.POPULAR


def test_the_same_list_has_the_same_id_whatever_part_is_asked_for(
    start: Start, publish: Publish, person: Person
) -> None:
    publish()
    app, owner = start(), person(Role.DEVELOPER, 9)
    first = app.test_client().get(f"/api/recommendations/{SURFACE}/{owner}")
    again = app.test_client().get(
        f"/api/recommendations/{SURFACE}/{owner}", headers={"If-None-Match": first.headers["ETag"]}
    )
    assert again.status_code == 304
    many = app.test_client().post(f"/api/recommendations/{SURFACE}/many", json={"ids": [owner]}).get_json()["lists"]
    assert {
        first.get_json()["answer_id"],
        ask_list(app, SURFACE, owner, offset=5)["answer_id"],
        many[owner]["answer_id"],
    } == {first.get_json()["answer_id"]}
    assert ask_list(app, SURFACE, person(Role.DEVELOPER, 8))["answer_id"] != first.get_json()["answer_id"]


def test_all_readers_sign_with_one_key(settings: Settings, start: Start, publish: Publish, person: Person) -> None:
    publish()
    owner = person(Role.DEVELOPER, 9)
    one, other = start(), start()
    body = ask_list(one, SURFACE, owner)
    assert ask_list(other, SURFACE, owner)["answer_id"] == body["answer_id"]
    post(other, event(owner, ids(body)[0], "impression", answer_id=body["answer_id"], position=1))
    stranger = start(replace(settings, answer_key=Secret("another deployment's")))
    error = refusal(stranger, event(owner, ids(body)[0], answer_id=body["answer_id"]))
    assert error["expected"].startswith("events[0].answer_id: ")


def test_an_answer_to_somebody_else_is_not_taken(
    start: Start, publish: Publish, person: Person, client: redis.Redis, keys: Keys
) -> None:
    publish()
    app, owner, other = start(), person(Role.DEVELOPER, 9), person(Role.DEVELOPER, 8)
    body = ask_list(app, SURFACE, owner)
    error = refusal(app, event(owner, ids(body)[0]), event(other, ids(body)[0], answer_id=body["answer_id"]))
    assert (error["code"], error["expected"][:20]) == ("malformed_event", "events[1].answer_id:")
    assert client.xlen(keys.events) == 0, "all or none"
    popular = ask_list(app, SURFACE, "popular")
    post(app, event(other, ids(popular)[0], "impression", answer_id=popular["answer_id"]))


def test_an_event_with_an_answer_id_is_stored_with_the_answer(
    settings: Settings,
    start: Start,
    publish: Publish,
    person: Person,
    company: Company,
    sql: Callable[[str], list[Any]],
) -> None:
    """The database has the facts of the answer. A request for a list writes nothing (J17, O12)."""
    release, app = publish(experiments=[EXPERIMENT | {"share": 1.0}]), start()
    owner, founder = person(Role.DEVELOPER, 9), company(3)
    mine, theirs = ask_list(app, SURFACE, owner), ask_list(app, FOUNDERS, founder)
    post(
        app,
        event(owner, ids(mine)[0], "impression", answer_id=mine["answer_id"], position=1),
        event(owner, ids(mine)[0], "click", answer_id=mine["answer_id"]),
        event(owner, ids(mine)[1]),
        event(ids(theirs)[0], founder, "impression", answer_id=theirs["answer_id"], position=1),
    )
    assert drain_events(settings)["new"] == 4
    assert sql("SELECT type, answer_id, position FROM matchbook_events ORDER BY type, answer_id") == [
        ("click", mine["answer_id"], None),
        ("click", None, None),
        *sorted([("impression", mine["answer_id"], 1), ("impression", theirs["answer_id"], 1)]),
    ]
    edition = Experiment.from_json(EXPERIMENT).edition
    assert sql(
        "SELECT answer_id, surface, release, experiment, edition, arm, live FROM matchbook_answers ORDER BY surface"
    ) == [
        (theirs["answer_id"], FOUNDERS.value, release, "ranker", edition, theirs["arm"], False),
        (mine["answer_id"], SURFACE.value, release, "ranker", edition, mine["arm"], False),
    ]
    assert sql("SELECT DISTINCT day FROM matchbook_answers")[0][0] > date(2026, 1, 1)


def test_an_erased_person_leaves_no_answer(
    settings: Settings, start: Start, publish: Publish, person: Person, sql: Callable[[str], list[Any]]
) -> None:
    publish()
    app, owner, other = start(), person(Role.DEVELOPER, 9), person(Role.DEVELOPER, 8)
    for who in (owner, other):
        body = ask_list(app, SURFACE, who)
        post(app, event(who, ids(body)[0], "impression", answer_id=body["answer_id"]))
    late = ask_list(app, SURFACE, owner)
    drain_events(settings)
    done = erase_rows(settings, person_of(settings, owner))
    assert (done["answers"], done["events"]) == (1, 1)
    post(app, event(owner, ids(late)[1], "impression", answer_id=late["answer_id"]))
    drain_events(settings)
    assert len(sql("SELECT * FROM matchbook_answers")) == 1
    assert sql("SELECT user_id FROM matchbook_events") == [(UUID(other),)]


def test_the_answer_names_the_arm_that_the_hash_draws(
    start: Start, publish: Publish, planted: World, client: redis.Redis
) -> None:
    """Owners outside experiments, opted-out owners and lists without an owner have no arm (O12, R15)."""
    publish(experiments=[EXPERIMENT])
    app, experiment = start(), Experiment.from_json(EXPERIMENT)
    found = set()
    for owner in planted.users.ids.ids[planted.users.owners_of(SURFACE)].tolist():
        arm, body = experiment.arm_of(owner), ask_list(app, SURFACE, owner, limit=1)
        assert (body["experiment"], body["arm"]) == (("ranker", arm.name) if arm else (None, None))
        shown = ShownAnswer.read(body["answer_id"])
        assert (shown.experiment, shown.arm) == (body["experiment"] or "", body["arm"] or "")
        found.add(body["arm"])
    assert found == {"on", "off", None}
    investor = planted.users.ids.ids[planted.users.owners_of(Surface.STARTUPS_FOR_INVESTOR)][0]
    for surface, owner in (
        (SURFACE, "popular"),
        (SURFACE, str(UUID(int=5))),
        (SURFACE, investor),
        (Surface.STARTUPS_FOR_INVESTOR, investor),
    ):
        assert ask_list(app, surface, owner, limit=1)["arm"] is None, (surface, owner)


def test_engagement_with_answers_is_exported_to_prometheus(
    settings: Settings, start: Start, publish: Publish, person: Person
) -> None:
    """By method, route, surface, release and arm; nothing before the first measurement (J01-J10, J17)."""
    publish(experiments=[EXPERIMENT | {"share": 1.0}])
    app, owner = start(), person(Role.DEVELOPER, 9)
    assert "matchbook_earned" not in app.test_client().get("/metrics").text
    body = ask_list(app, SURFACE, owner)
    post(
        app,
        *(event(owner, item, "impression", answer_id=body["answer_id"]) for item in ids(body)[:4]),
        event(owner, ids(body)[0], "click", answer_id=body["answer_id"]),
    )
    drain_events(settings)
    keep_measured(settings, datetime.now(UTC) + timedelta(minutes=1))
    told = app.test_client().get("/metrics").text
    assert f'matchbook_earned_impressions{{by="arm",name="ranker/{body["arm"]}"}} 4.0' in told
    method = body["method_used"]
    assert f'matchbook_earned_rate{{bound="value",by="method",name="{method}",rate="click_through"}} 0.25' in told
    assert f'matchbook_earned_rate{{bound="high",by="surface",name="{SURFACE}",rate="conversion"}} 1.0' in told
    assert "matchbook_experiment_sample_ratio_p{" in told and 'by="day"' not in told


def test_a_list_computed_live_is_made_by_the_arm_of_its_owner(
    rows: str, settings: Settings, start: Start, publish: Publish, planted: World, client: redis.Redis, keys: Keys
) -> None:
    """Without stored lists, owners of the arm "off" still get lists without a ranker (M08)."""
    release = publish(experiments=[EXPERIMENT])
    app, experiment = start(), Experiment.from_json(EXPERIMENT)
    client.delete(keys.lists(release, SURFACE))
    told: dict[str | None, set[bool]] = {}
    for owner in planted.users.ids.ids[planted.users.owners_of(SURFACE)].tolist():
        row = planted.users.ids.rows_of([owner])[0]
        if planted.users.opted_out[row]:
            continue
        arm, body = experiment.arm_of(owner), ask_list(app, SURFACE, owner)
        assert body["source"] == "live" and ShownAnswer.read(body["answer_id"]).live
        told.setdefault(arm.name if arm else None, set()).add(body["reranked"])
        assert (body["ranker"] is not None) == (body["ranker_version"] is not None) == body["reranked"]
    assert told == {"on": {True}, "off": {False}, None: {True}}
    reader: Reader = app.extensions["matchbook"]
    recipes = reader.live.recipes(reader.releases.held)
    assert len(recipes.arms) == 4
