"""A dismissed pair is in no list of both sides, after any loss in Redis."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from flask import Flask

from models.schema import Entity, Surface
from pipelines.events.drain import drain_events
from pipelines.publish.history import promote, rollback
from pipelines.store.artifacts import Artifacts
from serving.app import create_app
from tests.marketplace.tiny import identity
from tests.pipelines.refresh.conftest import Town, built, mould, town
from tests.serving.conftest import ask_list, event, ids, post

MINE, THEIRS = Surface.STARTUPS_FOR_DEVELOPER, Surface.DEVELOPERS_FOR_STARTUP
NEWCOMER = "0b6f5d9a-7c10-4c57-8e21-3f2b8c1e9d4a"
Reader = Callable[[], Flask]

FIXTURES = (mould, town)  # pytest finds the fixtures in this module


@pytest.fixture
def reader(town: Town) -> Iterator[Reader]:
    """Start a new reader that holds nothing in memory."""
    apps: list[Flask] = []

    def begin() -> Flask:
        apps.append(create_app(town.settings.layered({"live_budget_s": 20.0}, "given")))
        parts = apps[-1].extensions["matchbook"]
        parts.live.recipes(parts.releases.held, patience_s=30)
        return apps[-1]

    yield begin
    for app in apps:
        app.extensions["matchbook"].close()


@pytest.fixture
def pair(town: Town) -> tuple[str, str]:
    """Return a developer and a startup that are in each other's lists."""
    users = town.entities()[Entity.USER]
    for owner in users.ids.ids[users.owners_of(MINE)].tolist():
        for startup in town.items(MINE, owner):
            if owner in town.items(THEIRS, startup):
                return owner, startup
    raise AssertionError("no such pair in the marketplace")


def forget(town: Town, release: str) -> None:
    """Delete everything in Redis and make a release live again, without a drain."""
    town.client.flushdb()
    promote(town.settings, release)


def apart(app: Flask, user: str, startup: str) -> None:
    """Check that neither is in any list of the other."""
    for surface, owner, other in ((MINE, user, startup), (THEIRS, startup, user)):
        body = ask_list(app, surface, owner)
        assert other not in ids(body), (surface, body["source"], body["method_used"])
        many = app.test_client().post(f"/api/recommendations/{surface}/many?limit=100", json={"ids": [owner]})
        assert other not in ids(many.get_json()["lists"][owner])
        assert ids(body), "an empty list proves nothing"


def dismissed(town: Town, app: Flask, user: str, startup: str) -> None:
    post(app, event(user, startup, "dismiss"))
    assert drain_events(town.settings)["new"] == 1


def test_a_build_leaves_it_out_on_both_sides_and_so_does_every_way_back(
    town: Town, reader: Reader, pair: tuple[str, str]
) -> None:
    assert pair[1] in ids(ask_list(reader(), MINE, pair[0])) and pair[0] in ids(ask_list(reader(), THEIRS, pair[1]))
    dismissed(town, reader(), *pair)
    again = built(town.settings, datetime.now(UTC))
    forget(town, again)
    assert pair[1] not in town.items(MINE, pair[0]) and pair[0] not in town.items(THEIRS, pair[1])
    apart(reader(), *pair)
    rollback_to = town.built
    promote(town.settings, rollback_to)
    promote(town.settings, again)
    town.client.delete(*[k for e in Entity for k in town.client.scan_iter(f"{town.keys.namespace}:since:{e}:*")])
    rollback(town.settings)
    assert town.live == rollback_to and pair[1] in town.items(MINE, pair[0])
    apart(reader(), *pair)
    forget(town, rollback_to)
    apart(reader(), *pair)


def test_a_list_computed_live_leaves_it_out(town: Town, reader: Reader, pair: tuple[str, str]) -> None:
    town.joined(NEWCOMER)
    dismissed(town, reader(), *pair)
    dismissed(town, reader(), NEWCOMER, pair[1])
    forget(town, town.built)  # this release knows neither
    for key in town.client.scan_iter(f"{town.keys.namespace}:since:*"):
        town.client.delete(key)
    for surface, owner in ((MINE, pair[0]), (THEIRS, pair[1])):
        town.client.hdel(town.keys.lists(town.built, surface), UUID(owner).bytes)
    app = reader()
    for surface, owner in ((MINE, pair[0]), (THEIRS, pair[1]), (MINE, NEWCOMER)):
        assert ask_list(app, surface, owner)["source"] == "live"
    apart(app, *pair)
    assert pair[1] not in ids(ask_list(app, MINE, NEWCOMER))


def test_a_user_who_opts_out_is_not_shown_it_in_the_popular_list(
    town: Town, reader: Reader, pair: tuple[str, str]
) -> None:
    dismissed(town, reader(), *pair)
    town.execute("UPDATE users SET opted_out_at = :at WHERE id = :id", at=datetime.now(UTC), id=pair[0])
    forget(town, town.built)
    drain_events(town.settings)
    body = ask_list(reader(), MINE, pair[0])
    assert body["method_used"] == "popular" and pair[1] not in ids(body) and ids(body)


def test_a_refresh_leaves_it_out_and_brings_it_back_once_it_is_retracted(
    town: Town, reader: Reader, pair: tuple[str, str]
) -> None:
    base = built(town.settings, datetime.now(UTC))
    promote(town.settings, base)
    dismissed(town, reader(), *pair)
    hours = (datetime.now(UTC) - town.at(0)) / timedelta(hours=1)
    done = town.refresh(hours)
    assert done["published"] and done["again"] == {"user": 1, "startup": 1}
    assert pair[1] not in town.items(MINE, pair[0]) and pair[0] not in town.items(THEIRS, pair[1])
    forget(town, town.live)
    apart(reader(), *pair)
    post(reader(), event(*pair, "retract"))
    drain_events(town.settings)
    assert town.refresh((datetime.now(UTC) - town.at(0)) / timedelta(hours=1))["published"]
    assert pair[1] in ids(ask_list(reader(), MINE, pair[0])) and pair[0] in ids(ask_list(reader(), THEIRS, pair[1]))


def test_a_dismissal_is_not_training_data_and_does_not_count(town: Town, reader: Reader, pair: tuple[str, str]) -> None:
    before = town.entities()
    dismissed(town, reader(), *pair)
    release = built(town.settings, datetime.now(UTC))
    for entity, everybody in town.entities(release).items():
        assert everybody.count.tolist() == before[entity].count.tolist()
    stores, (one, other) = Artifacts(town.settings), (town.release(r).bundles for r in (town.built, release))
    rows = [
        {n: stores.open_bundle(n, v).config.get("rows") for n, v in bundles.items() if n in other}
        for bundles in (one, other)
    ]
    assert rows[0] == rows[1] and any(rows[1].values())


def test_an_owner_with_a_new_role_gets_a_list_on_the_new_surface(town: Town, reader: Reader) -> None:
    owner = identity("user", 8)
    assert not ids(ask_list(reader(), MINE, owner))
    town.client.delete(*town.client.scan_iter(f"{town.keys.namespace}:live:*"))
    town.execute("UPDATE users SET role = 'developer' WHERE id = :id", id=owner)
    body = ask_list(reader(), MINE, owner)
    assert ids(body) and (body["source"], body["known"], body["degraded"]) == ("live", True, False)
    stranger = str(uuid.UUID(int=77))
    assert ask_list(reader(), MINE, stranger)["known"] is False
