"""Similar startups and similar people: stored, live, filtered, without padding and without who left."""

from __future__ import annotations

import uuid

import pytest
from flask import Flask

from models.experiments import Arm, Experiment
from models.lists.redis_format import Keys
from models.schema import Entity, Method, Role, Similar, Surface
from models.settings.settings import Settings
from pipelines.events.drain import drain_events
from tests.marketplace.world import STRANGER, World
from tests.own_redis import OwnRedis
from tests.serving.conftest import (
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

BOTH = pytest.mark.parametrize("kind", list(Similar))


@pytest.fixture
def app(start: Start, publish: Publish, rows: str) -> Flask:
    publish()
    return start()


@pytest.fixture
def owners(person: Person, company: Company) -> dict[Similar, str]:
    return {Similar.STARTUPS: company(4), Similar.USERS: person(Role.INVESTOR, 4)}


@BOTH
def test_a_stored_list_says_what_made_it(app: Flask, owners: dict[Similar, str], kind: Similar) -> None:
    body = ask_list(app, kind, owners[kind], limit=5)
    assert len(ids(body)) == 5 and owners[kind] not in ids(body)
    assert (body["source"], body["known"], body["degraded"], body["method_used"]) == ("cache", True, False, "similar")
    assert body["scores"][ids(body)[0]] == 1 and body["route"] == "similar" and body["ranker"] is None
    neighbours = "item_neighbours_v1" if kind is Similar.STARTUPS else "item_neighbours_reverse_v1"
    assert body["model_version"].startswith(f"{neighbours}/") and " + content_v1/" in body["model_version"]
    assert " + order/" in body["model_version"] and (body["experiment"], body["arm"]) == (None, None)
    told = [reason for place in ask_list(app, kind, owners[kind])[f"{kind.item}s"] for reason in place["reasons"]]
    assert any(reason.startswith("the same ") for reason in told)
    counted = any(" of the same people " in reason for reason in told)
    assert counted is (kind is Similar.STARTUPS)


def test_people_are_of_the_same_role(app: Flask, planted: World, person: Person) -> None:
    for role in Role:
        found = ids(ask_list(app, Similar.USERS, person(role, 4)))
        assert found and {int(r) for r in planted.users.role[planted.users.ids.rows_of(found)]} == {role.code}


@BOTH
def test_an_unknown_id_gets_an_empty_list_with_a_reason(app: Flask, kind: Similar) -> None:
    body = ask_list(app, kind, STRANGER)
    assert (ids(body), body["known"], body["short"], body["degraded"]) == ([], False, True, False)
    assert body["reason"] == f"no {'startup' if kind is Similar.STARTUPS else 'person'} with this id is known"
    assert body["method_used"] == "similar"


def test_filters_and_pages_are_those_of_every_list(app: Flask, planted: World, owners: dict[Similar, str]) -> None:
    mine = owners[Similar.STARTUPS]
    whole = ids(ask_list(app, Similar.STARTUPS, mine))
    assert ids(ask_list(app, Similar.STARTUPS, mine, limit=3, offset=2)) == whole[2:5]
    assert ids(ask_list(app, Similar.STARTUPS, mine, exclude=whole[0])) == whole[1:]
    place = planted.startups.labels["location"][0]
    rows = planted.startups.ids.rows_of(ids(ask_list(app, Similar.STARTUPS, mine, location=place)))
    assert len(rows) and (planted.startups.facets["location"][rows] == 0).all()
    answer = app.test_client().get(f"/api/recommendations/{Similar.STARTUPS}/{mine}?limit=0")
    assert answer.status_code == 400


@BOTH
def test_many_owners_get_the_lists_that_each_gets_alone(app: Flask, owners: dict[Similar, str], kind: Similar) -> None:
    answer = app.test_client().post(
        f"/api/recommendations/{kind}/many?limit=100", json={"ids": [owners[kind], STRANGER]}
    )
    lists = answer.get_json()["lists"]
    assert ids(lists[owners[kind]]) == ids(ask_list(app, kind, owners[kind])) and ids(lists[STRANGER]) == []


@BOTH
@pytest.mark.parametrize("tail", ["popular", "trending"])
def test_there_is_no_list_for_everyone(app: Flask, kind: Similar, tail: str) -> None:
    assert app.test_client().get(f"/api/recommendations/{kind}/{tail}").status_code == 400


def test_what_the_owner_met_stays_because_nobody_is_asked(app: Flask, planted: World, company: Company) -> None:
    before = ids(ask_list(app, Similar.STARTUPS, company(4)))
    person = str(planted.users.ids.ids[0])
    post(app, *(event(person, startup, "dislike") for startup in before[:2]), event(person, company(4), "apply"))
    assert ids(ask_list(app, Similar.STARTUPS, company(4))) == before


def test_the_withdrawn_and_the_opted_out_vanish_within_a_second(
    app: Flask, settings: Settings, execute: Execute, owners: dict[Similar, str]
) -> None:
    first = {kind: ids(ask_list(app, kind, owner))[0] for kind, owner in owners.items()}
    execute("UPDATE startups SET withdrawn_at = '2020-04-10' WHERE id = %s", first[Similar.STARTUPS])
    execute("UPDATE users SET opted_out_at = '2020-04-10' WHERE id = %s", first[Similar.USERS])
    drain_events(settings)
    for kind, owner in owners.items():
        within_a_second(lambda kind=kind, owner=owner: first[kind] not in ids(ask_list(app, kind, owner)))  # type: ignore[misc]
    gone = ask_list(app, Similar.USERS, first[Similar.USERS])
    assert ids(gone) == [] and gone["reason"] == "nothing is known that is similar to this person"
    assert ids(ask_list(app, Similar.STARTUPS, first[Similar.STARTUPS])), "a withdrawn startup still has similar ones"


def test_who_opted_out_before_the_build_has_an_empty_list(app: Flask, person: Person) -> None:
    body = ask_list(app, Similar.USERS, person(Role.DEVELOPER, 3))
    assert (ids(body), body["known"], body["short"]) == ([], True, True) and body["reason"]


def test_newcomers_are_compared_by_content_at_once(app: Flask, planted: World, execute: Execute) -> None:
    startup, user, other = (str(uuid.uuid4()) for _ in range(3))
    execute(
        "INSERT INTO startups (id, created_at, category, tags, description) VALUES (%s, '2020-04-11', %s, %s, %s)",
        startup,
        "biotech",
        "genomics",
        "wet lab for genomics",
    )
    for id, role in ((user, "investor"), (other, "visitor")):
        execute(
            "INSERT INTO users (id, role, created_at, headline, skills) VALUES (%s, %s, '2020-04-11', %s, %s)",
            id,
            role,
            "biotech",
            "genomics",
        )
    found = ask_list(app, Similar.STARTUPS, startup)
    assert (found["source"], found["method_used"], found["known"]) == ("live", Method.CONTENT_BASED, True)
    assert {planted.startup_group[r] for r in planted.startups.ids.rows_of(ids(found)[:3])} == {1}
    people = ask_list(app, Similar.USERS, user)
    assert people["source"] == "live"
    assert {int(planted.users.role[r]) for r in planted.users.ids.rows_of(ids(people))} == {Role.INVESTOR.code}
    none = ask_list(app, Similar.USERS, other)
    assert ids(none) == [] and "is not a developer or an investor" in none["reason"]


@BOTH
def test_a_release_of_an_older_version_has_live_lists(
    start: Start, publish: Publish, rows: str, owners: dict[Similar, str], kind: Similar
) -> None:
    publish()
    stored = ask_list(start(), kind, owners[kind])
    publish(day=11, kinds=list(Surface))
    live = ask_list(start(), kind, owners[kind])
    assert (live["source"], live["degraded"], stored["source"]) == ("live", False, "cache")
    assert ids(live) == ids(stored) and live["scores"] == stored["scores"]


def test_a_new_release_takes_over_without_a_restart(app: Flask, publish: Publish, owners: dict[Similar, str]) -> None:
    before = ids(ask_list(app, Similar.STARTUPS, owners[Similar.STARTUPS]))
    publish(day=12, backwards=True)
    within_a_second(lambda: ids(ask_list(app, Similar.STARTUPS, owners[Similar.STARTUPS])) == before[::-1])


@BOTH
def test_without_redis_the_files_or_the_models_answer(
    wires: Wires, start: Start, publish: Publish, rows: str, owners: dict[Similar, str], kind: Similar
) -> None:
    publish()
    app = start(wires.settings)
    before = ids(ask_list(app, kind, owners[kind]))
    wires.redis.down()
    body = ask_list(app, kind, owners[kind])
    assert ids(body) == before and body["degraded"]


def test_similar_lists_are_in_no_experiment(
    start: Start, publish: Publish, rows: str, owners: dict[Similar, str]
) -> None:
    arms = tuple(Arm(name, 1.0) for name in ("a", "b"))
    e = Experiment("every", "salt", tuple(Surface), 1.0, arms)
    publish(experiments=[e.as_json() | {"edition": "0a0b"}])
    app = start()
    for kind, owner in owners.items():
        assert ask_list(app, kind, owner)["experiment"] is None
    assert ask_list(app, Surface.STARTUPS_FOR_INVESTOR, owners[Similar.USERS])["experiment"] == "every"


def test_an_event_may_name_the_similar_list_that_showed_the_startup(
    app: Flask, person: Person, owners: dict[Similar, str]
) -> None:
    body = ask_list(app, Similar.STARTUPS, owners[Similar.STARTUPS])
    post(app, event(person(Role.DEVELOPER, 4), ids(body)[0], answer_id=body["answer_id"], position=1))


def test_lists_that_redis_lost_are_reported(
    start: Start, publish: Publish, settings: Settings, rows: str, server: OwnRedis
) -> None:
    name = publish()
    app = start()
    held = app.extensions["matchbook"].releases
    cache = app.extensions["matchbook"].cache
    cache._client().delete(Keys(settings.namespace).lists(name, Similar.USERS))
    within_a_second(lambda: Similar.USERS in held.gone)
    assert Similar.STARTUPS not in held.gone and held.held.items[Entity.USER]
