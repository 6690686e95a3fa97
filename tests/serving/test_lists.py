"""Check the body of answers, field by field, for hits and for owners without a list."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import redis
from flask import Flask

import tests.serving.conftest as serving
from models import registry
from models.lists.redis_format import Keys, TrendingList
from models.schema import ListKind, Method, Role, Surface
from models.settings.settings import Settings
from tests.marketplace.world import World
from tests.serving.conftest import Person, Publish, Scored, Start

FIELDS = [
    "scores",
    "surface",
    "method_used",
    "route",
    "model_version",
    "interaction_count",
    "reranked",
    "ranker",
    "ranker_version",
    "generated_at",
    "release",
    "source",
    "stale",
    "degraded",
    "known",
    "total",
    "short",
    "reason",
    "answer_id",
    "experiment",
    "arm",
]
STRANGER = "ffffffff-ffff-4fff-bfff-ffffffffffff"


def ask(app: Flask, surface: ListKind, tail: str, **query: Any) -> dict[str, Any]:
    return serving.ask(app, tail, query, surface)


def test_a_hit_has_exactly_the_documented_fields(
    start: Start, publish: Publish, rows: str, planted: World, person: Person
) -> None:
    release = publish()
    body = ask(start(), Surface.STARTUPS_FOR_DEVELOPER, person(Role.DEVELOPER, 4), limit=3)
    assert list(body) == ["startups", *FIELDS]
    assert [list(s) for s in body["startups"]] == [["id", "score", "reasons", "sources"]] * 3
    assert body["scores"] == {s["id"]: s["score"] for s in body["startups"]}
    assert body["release"] == release
    assert (body["source"], body["known"], body["degraded"], body["stale"], body["short"]) == (
        "cache",
        True,
        False,
        False,
        False,
    )
    assert body["method_used"] == body["route"] == "als"
    assert body["model_version"].startswith("als_v1/20200410T000000Z-")
    row = planted.users.ids.rows_of([person(Role.DEVELOPER, 4)])[0]
    assert body["interaction_count"] == planted.interactions.counts()[row]
    assert body["reranked"] is True and body["ranker"] == "rules"
    assert f" + {body['ranker_version']} + order/" in body["model_version"]
    assert body["reason"] is None
    scores = [s["score"] for s in body["startups"]]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= s <= 1 for s in scores)
    known = {source.name for source in registry.sources()}
    assert all(set(s["sources"]) <= known and s["reasons"] for s in body["startups"])


def test_the_stored_order_is_served(start: Start, publish: Publish, planted: World, scored: Scored, rows: str) -> None:
    publish()
    app = start()
    for surface, (lists, _) in scored.items():
        key = surface.item.value + "s"
        for i in range(0, len(lists), 7):
            owner = planted.entities(surface.owner).ids.ids[lists.owner[i]]
            expected = planted.entities(surface.item).ids.ids[lists.item[lists.row(i)]].tolist()
            body = ask(app, surface, owner, limit=100)
            assert [s["id"] for s in body[key]] == expected
            assert body["method_used"] == Method.of_code(lists.method[i])
            assert body["interaction_count"] == lists.count[i]


def test_reasons_are_sentences_with_numbers(
    start: Start, publish: Publish, rows: str, person: Person, company: Callable[[int], str]
) -> None:
    publish()
    app = start()
    body = ask(app, Surface.STARTUPS_FOR_DEVELOPER, person(Role.DEVELOPER, 4), limit=20)
    told = [reason for place in body["startups"] for reason in place["reasons"]]
    assert any(re.match(r"you (\w+ )+startups? ", reason + " ") for reason in told), told
    assert any(" people with your history " in reason for reason in told)
    founder = ask(app, Surface.INVESTORS_FOR_STARTUP, company(4), limit=20)
    assert any(" in Pittsburgh " in reason for place in founder["users"] for reason in place["reasons"])


@pytest.mark.parametrize("surface", Surface)
def test_an_unknown_id_gets_the_popular_list_marked(
    start: Start, publish: Publish, rows: str, surface: Surface
) -> None:
    publish()
    app = start()
    body = ask(app, surface, STRANGER)
    assert (body["known"], body["method_used"], body["route"]) == (False, "popular", "content_based")
    assert (body["interaction_count"], body["degraded"], body["reranked"]) == (0, False, False)
    assert len(body[surface.item.value + "s"]) == 10
    popular = ask(app, surface, "popular")
    assert popular["scores"] == body["scores"]
    assert popular["method_used"] == popular["route"] == "popular"


def test_a_person_of_another_role_gets_an_empty_list_and_the_reason(
    start: Start, publish: Publish, rows: str, person: Person
) -> None:
    publish()
    body = ask(start(), Surface.STARTUPS_FOR_DEVELOPER, person(Role.INVESTOR, 4))
    assert body["startups"] == []
    assert body["reason"] == "this person is not a developer, so there is no list of startups/for-developer for them"
    assert (body["known"], body["degraded"], body["short"]) == (True, False, True)


def test_an_opted_out_user_gets_the_popular_list(start: Start, publish: Publish, rows: str, person: Person) -> None:
    publish()
    body = ask(start(), Surface.STARTUPS_FOR_DEVELOPER, person(Role.DEVELOPER, 3))
    assert (body["method_used"], body["known"], body["route"], body["source"]) == ("popular", True, "als", "cache")
    assert len(body["startups"]) == 10
    assert not [r for s in body["startups"] for r in s["reasons"] if "you engaged with" in r or "your profile" in r]


@pytest.mark.parametrize(("age", "stale"), [(timedelta(hours=35), False), (timedelta(hours=37), True)])
def test_an_old_release_is_stale(
    start: Start, publish: Publish, rows: str, person: Person, age: timedelta, stale: bool
) -> None:
    publish(generated=datetime.now(UTC) - age)
    assert ask(start(), Surface.STARTUPS_FOR_INVESTOR, person(Role.INVESTOR, 9))["stale"] is stale


def test_trending_lists_are_served_with_their_own_instant(
    start: Start, publish: Publish, rows: str, settings: Settings, planted: World
) -> None:
    publish()
    app, surface = start(), Surface.STARTUPS_FOR_DEVELOPER
    with redis.Redis.from_url(settings.redis_url.reveal()) as client:
        key = Keys(settings.namespace).trending(surface)
        client.delete(key)
        assert ask(app, surface, "trending")["scores"] == ask(app, surface, "popular")["scores"]
        ids = np.array([planted.startups.ids.ids[7], STRANGER, planted.startups.ids.ids[3]])
        client.set(key, TrendingList(ids, np.array([1, 0.5, 0.25]), 1_700_000_000_000_000).encode())
    body = ask(app, surface, "trending")
    assert list(body) == ["startups", *FIELDS]
    assert body["scores"] == {ids[0]: 1.0, ids[2]: 0.25}
    assert (body["generated_at"], body["method_used"], body["reranked"]) == (
        "2023-11-14T22:13:20+00:00",
        "popular",
        False,
    )


def test_many_owners_in_one_request(start: Start, publish: Publish, rows: str, person: Person) -> None:
    publish()
    app = start()
    ids = [person(Role.DEVELOPER, 4), STRANGER, person(Role.INVESTOR, 4), person(Role.DEVELOPER, 9).upper()]
    surface = Surface.STARTUPS_FOR_DEVELOPER
    answer = app.test_client().post(f"/api/recommendations/{surface}/many?limit=5", json={"ids": ids})
    assert answer.status_code == 200
    lists = answer.get_json()["lists"]
    assert list(lists) == [i.lower() for i in ids]
    for i in ids:
        alone = ask(app, surface, i, limit=5)
        assert lists[i.lower()] == alone | {"generated_at": lists[i.lower()]["generated_at"]}


def test_a_newcomer_is_computed_live_from_the_profile(
    start: Start, publish: Publish, rows: str, execute: Callable[..., None], planted: World
) -> None:
    publish()
    app, newcomer = start(), str(uuid.uuid4())
    execute(
        "INSERT INTO users (id, role, interests, location) VALUES (%s, 'developer', 'biotech;genomics', 'Basel')",
        newcomer,
    )
    body = ask(app, Surface.STARTUPS_FOR_DEVELOPER, newcomer, limit=5)
    assert (body["source"], body["method_used"], body["route"]) == ("live", "content_based", "content_based")
    assert (body["known"], body["degraded"], body["interaction_count"]) == (True, False, 0)
    rows_of = planted.startups.ids.rows_of([s["id"] for s in body["startups"]])
    assert set(planted.startup_group[rows_of]) == {1}
    other = ask(app, Surface.STARTUPS_FOR_INVESTOR, newcomer)
    assert other["startups"] == []
    assert "not an investor" in other["reason"]
