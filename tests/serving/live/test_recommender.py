"""Compute a live list once for many requests, keep it for a time, and omit barred items."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
import redis
from flask import Flask

import tests.serving.conftest as serving
from models.lists.redis_format import Keys, LiveList
from models.popularity import POPULAR
from models.recommender.recommend import recommend
from models.schema import Entity, Role, Standing, Surface
from models.settings.settings import Settings
from serving.app import Reader
from serving.clients.postgres import OwnerRecord
from serving.live.recommenders import Recipes, folded_for, open_recipes
from serving.releases import HeldRelease
from tests.marketplace.world import World
from tests.serving.conftest import Execute, Publish, Start

SURFACE = Surface.STARTUPS_FOR_DEVELOPER


def ask(app: Flask, owner: str, surface: Surface = SURFACE, limit: int = 100) -> dict[str, Any]:
    return serving.ask(app, owner, {"limit": limit}, surface)


def reader(app: Flask) -> Reader:
    return app.extensions["matchbook"]


@pytest.fixture
def newcomer(rows: str, execute: Execute) -> str:
    owner = str(uuid.uuid4())
    execute(
        "INSERT INTO users (id, role, interests, location) VALUES (%s, 'developer', 'biotech;genomics', 'Basel')",
        owner,
    )
    return owner


def test_fifty_requests_for_one_newcomer_compute_one_list(
    start: Start, publish: Publish, newcomer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()
    app, calls, gate = start(), [], threading.Event()
    database = reader(app).database
    real = database.owner

    def slowly(entity: Entity, owner: str, as_of: datetime) -> OwnerRecord | None:
        calls.append(owner)
        gate.wait(10)
        return real(entity, owner, as_of)

    monkeypatch.setattr(database, "owner", slowly)
    with ThreadPoolExecutor(50) as pool:
        asked = [pool.submit(ask, app, newcomer) for _ in range(50)]
        while not len(reader(app).live.flights):
            assert not all(a.done() for a in asked)
        threading.Timer(0.5, gate.set).start()
        bodies = [a.result() for a in asked]
    assert calls == [newcomer]
    assert all(b == bodies[0] for b in bodies)
    assert (bodies[0]["source"], bodies[0]["degraded"]) == ("live", False)


def test_models_are_opened_once_a_release(
    start: Start, publish: Publish, newcomer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The calls of the real function are counted (A17)."""
    opened: list[str] = []

    def counted(settings: Settings, held: HeldRelease) -> Recipes:
        opened.append(held.id)
        return open_recipes(settings, held)

    monkeypatch.setattr("serving.live.recommender.open_recipes", counted)
    release = publish()
    app = start()
    assert ask(app, newcomer)["source"] == "live"
    ask(app, str(uuid.uuid4()))
    assert opened == [release]


def test_a_slow_computation_is_found_by_the_next_request(
    start: Start, publish: Publish, newcomer: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()
    app, gate = start(settings.layered({"live_budget_s": 0.05}, "given")), threading.Event()
    database = reader(app).database
    real = database.owner

    def slowly(entity: Entity, owner: str, as_of: datetime) -> OwnerRecord | None:
        gate.wait(10)
        return real(entity, owner, as_of)

    monkeypatch.setattr(database, "owner", slowly)
    body = ask(app, newcomer)
    assert (body["method_used"], body["degraded"]) == ("popular", True)
    assert len(body["startups"]) > 0
    flight = next(iter(reader(app).live.flights._under_way.values()))
    gate.set()
    flight.result(timeout=10)
    body = ask(app, newcomer)
    assert (body["method_used"], body["source"], body["degraded"]) == ("content_based", "live", False)


def test_too_many_misses_get_answers_without_computation(
    start: Start, publish: Publish, rows: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()
    app, gate = start(settings.layered({"live_budget_s": 0.01}, "given")), threading.Event()
    monkeypatch.setattr(reader(app).database, "owner", lambda *_: gate.wait(20) and None)
    bodies = [ask(app, str(uuid.uuid4()), limit=1) for _ in range(80)]
    assert len(reader(app).live.flights) <= 64
    gate.set()
    assert all(b["method_used"] == "popular" and b["startups"] for b in bodies)


def test_a_computed_list_is_stored_with_its_ttl(
    start: Start, publish: Publish, newcomer: str, settings: Settings
) -> None:
    release = publish()
    app, keys = start(), Keys(settings.namespace)
    first = ask(app, newcomer)
    unknown = str(uuid.uuid4())
    ask(app, unknown)
    with redis.Redis.from_url(settings.redis_url.reveal()) as client:
        key = keys.live(release, SURFACE, newcomer)
        assert 0.8 * 1800 - 60 <= client.ttl(key) <= 1800  # the TTL of live lists (R01, H05)
        stored = LiveList.decode(client.get(key))
        assert stored.known
        assert datetime.fromtimestamp(stored.made_us / 1e6, UTC).isoformat(timespec="seconds") == first["generated_at"]
        assert client.get(keys.count(Entity.USER, newcomer)) == b"0"
        assert 240 <= client.ttl(keys.count(Entity.USER, newcomer)) <= 300  # the TTL of counts (H03)
        assert not LiveList.decode(client.get(keys.live(release, SURFACE, unknown))).known
        assert client.ttl(keys.live(release, SURFACE, unknown)) <= 30
        assert client.get(keys.count(Entity.USER, unknown)) is None
    assert ask(app, newcomer) == first


def test_items_of_events_since_the_build_are_not_shown_again(
    start: Start, publish: Publish, newcomer: str, execute: Execute, planted: World, settings: Settings
) -> None:
    publish()
    app = start()
    before = [s["id"] for s in ask(app, newcomer)["startups"]]
    liked, disliked, viewed, founded = before[:4]
    for startup, kind in ((liked, "like"), (liked, "like"), (disliked, "dislike"), (viewed, "view")):
        execute("INSERT INTO user_interactions VALUES (%s, %s, %s, '2020-05-01T00:00:00Z')", newcomer, startup, kind)
    execute("UPDATE startups SET founder_id = %s WHERE id = %s", newcomer, founded)
    with redis.Redis.from_url(settings.redis_url.reveal()) as client:
        client.delete(Keys(settings.namespace).live(reader(app).releases.held.id, SURFACE, newcomer))
    body = ask(app, newcomer)
    after = [s["id"] for s in body["startups"]]
    assert body["interaction_count"] == 3  # a duplicate counts once (R09)
    assert not set(after) & {liked, disliked, viewed, founded}
    assert len(after) == len(before)  # filled with lower ranks


def test_a_newcomer_with_many_events_is_routed_by_their_number(
    start: Start, publish: Publish, newcomer: str, execute: Execute, planted: World
) -> None:
    publish()
    group = planted.startups.ids.ids[planted.startup_group == 1]
    for n, startup in enumerate(group[:6]):
        execute(
            "INSERT INTO user_interactions VALUES (%s, %s, 'like', %s)", newcomer, str(startup), f"2020-05-0{n + 1}"
        )
    body = ask(start(), newcomer)
    assert (body["route"], body["interaction_count"]) == ("als", 6)
    assert body["method_used"] == "als"  # the model was fitted before this user came, but folds in their events (B06)
    shown = planted.startups.ids.rows_of([s["id"] for s in body["startups"]])
    assert set(planted.startup_group[shown[:4]]) == {1}
    assert "item_neighbours" in {s for item in body["startups"] for s in item["sources"]}


def test_a_user_who_opts_out_gets_nothing_from_their_events(
    start: Start, publish: Publish, newcomer: str, execute: Execute, planted: World
) -> None:
    """This holds live, in the batch and on the page (R23, L07)."""
    publish()
    for n, startup in enumerate(planted.startups.ids.ids[planted.startup_group == 1][:6]):
        execute(
            "INSERT INTO user_interactions VALUES (%s, %s, 'like', %s)", newcomer, str(startup), f"2020-05-0{n + 1}"
        )
    execute("UPDATE users SET opted_out_at = '2020-06-01' WHERE id = %s", newcomer)
    app = start()
    body = ask(app, newcomer, limit=20)
    assert (body["method_used"], body["source"], body["interaction_count"]) == ("popular", "live", 6)
    told = app.test_client().get(f"/api/explain/{SURFACE}/{newcomer}").get_json()
    reasons = [r for s in body["startups"] for r in s["reasons"]]
    impersonal = {POPULAR.reason[0], *(s.words[0] for s in Standing)}
    assert reasons and set(reasons) <= impersonal
    assert {r for place in told["list"] for r in place["reasons"]} <= impersonal


def test_a_new_startup_is_computed_live_for_both_roles(
    start: Start, publish: Publish, rows: str, execute: Execute, planted: World, person: Callable[[Role, int], str]
) -> None:
    publish()
    startup, founder = str(uuid.uuid4()), person(Role.DEVELOPER, 4)
    execute(
        "INSERT INTO startups (id, category, tags, location, founder_id) VALUES (%s, 'games', 'unity', 'Basel', %s)",
        startup,
        founder,
    )
    app = start()
    for surface in (Surface.DEVELOPERS_FOR_STARTUP, Surface.INVESTORS_FOR_STARTUP):
        body = ask(app, startup, surface)
        shown = planted.users.ids.rows_of([u["id"] for u in body["users"]])
        assert (body["source"], body["method_used"], body["known"]) == ("live", "content_based", True)
        assert {Role.of_code(r) for r in planted.users.role[shown]} == {surface.role}
        assert set(planted.user_group[shown[:5]]) == {0}
        assert founder not in body["scores"]


@pytest.mark.parametrize("surface", Surface)
def test_a_batch_of_one_from_rows_is_the_batch_of_the_snapshot(
    start: Start, publish: Publish, rows: str, planted: World, surface: Surface
) -> None:
    """The recommender must see the same owner through a snapshot and through rows of PostgreSQL."""
    publish()
    app = start()
    recipe = reader(app).live.recipes(reader(app).releases.held).by_surface[surface]
    for row in recipe.owners.owners_of(surface)[::9]:
        owner = str(recipe.owners.ids.ids[row])
        record = reader(app).database.owner(surface.owner, owner, datetime.now(UTC))
        assert record is not None
        one, batch = folded_for(recipe, owner, record)[1], recipe.batch(np.array([row]), planted.interactions)
        assert (one.row[0], one.count[0], one.opted_out[0]) == (batch.row[0], batch.count[0], batch.opted_out[0])
        np.testing.assert_allclose(one.history.toarray(), batch.history.toarray(), rtol=1e-6)
        assert (one.barred.toarray() == batch.barred.toarray()).all()
        assert one.kinds is not None and batch.kinds is not None
        assert (one.kinds.toarray() == batch.kinds.toarray()).all()
        lists = [recommend(recipe, owners, 20) for owners in (one, batch)]
        for column in ("ranker", "item", "source", "reason"):
            assert np.array_equal(*(getattr(made, column) for made in lists)), column
