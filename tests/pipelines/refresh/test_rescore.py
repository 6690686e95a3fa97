"""Rescore, between builds, new owners and owners with new events. Other lists keep their bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
import pytest

from models.experiments import read_experiments
from models.lists.redis_format import POPULAR_FIELD, decode_list, encode_lists
from models.recommender.surface import open_bundles, open_recommender
from models.schema import LIST_KINDS, Entity, Method, Role, Surface
from pipelines.publish.history import promote
from serving.clients.postgres import Database
from serving.live.recommenders import list_of_one
from tests.marketplace.tiny import identity
from tests.pipelines.refresh.conftest import Town

NEW, CAME = "0a0a0a0a-0000-4000-8000-000000000001", "f0f0f0f0-0000-4000-8000-000000000002"
DEVELOPERS, INVESTORS = Surface.STARTUPS_FOR_DEVELOPER, Surface.STARTUPS_FOR_INVESTOR


def crossing(town: Town, threshold: int) -> tuple[str, int]:
    """Return a developer below a threshold, and the number of missing interactions."""
    users = town.entities()[Entity.USER]
    mine = (users.role == Role.DEVELOPER.code) & (users.count < threshold) & (users.count > threshold - 9)
    row = int(np.flatnonzero(mine)[np.argmax(users.count[mine])])
    return str(users.ids.ids[row]), threshold - int(users.count[row])


@pytest.mark.parametrize(("threshold", "route"), [(5, Method.ALS), (20, Method.ENSEMBLE)])
def test_an_owner_who_crosses_a_threshold_changes_route_the_same_day(town: Town, threshold: int, route: Method) -> None:
    owner, missing = crossing(town, threshold)
    before = town.listing(DEVELOPERS, owner)
    others = town.raw(DEVELOPERS)
    for n in range(missing):
        town.met(owner, identity("startup", n), timedelta(minutes=n))
    done = town.refresh()
    after = town.listing(DEVELOPERS, owner)
    assert done["published"] and done["release"] == town.live
    assert (before.route == route, after.route, after.count) == (False, route, threshold)
    assert (before.part, after.part) == (0, 1)
    met = {identity("startup", n) for n in range(missing)}
    assert not met & set(town.items(DEVELOPERS, owner))
    now = town.raw(DEVELOPERS)
    assert {f for f in others if now[f] != others[f]} == {UUID(owner).bytes} and set(now) == set(others)


def test_all_other_lists_are_copied_to_the_byte_with_the_same_meaning(town: Town) -> None:
    ids = {e: x.ids.ids.tolist() for e, x in town.entities().items()}
    before = {kind: town.raw(kind) for kind in LIST_KINDS}
    startup, person = identity("startup", 4), identity("user", 7)
    town.met(person, startup)
    town.opened(NEW, category="Rockets", field="rockets", tags="rockets", description="rockets")
    town.joined(CAME, headline="nobody else", skills="rockets", interests="rockets")
    town.refresh()
    concerned = {UUID(i).bytes for i in (startup, person, NEW, CAME)}
    for kind in LIST_KINDS:
        now = town.raw(kind)
        assert set(before[kind]) <= set(now) and set(now) - set(before[kind]) <= concerned
        assert {f for f in before[kind] if now[f] != before[kind][f]} <= concerned
    for entity, known in town.entities().items():
        new = NEW if entity is Entity.STARTUP else CAME
        assert known.ids.ids.tolist() == [*ids[entity], new] and known.ids.later == 1
        assert known.ids.rows_of([new]).tolist() == [len(ids[entity])]


def test_a_startup_of_this_morning_is_recommended_this_afternoon_and_has_lists_of_its_own(town: Town) -> None:
    town.opened(NEW)
    done = town.refresh()
    assert done["new"] == {"user": 0, "startup": 1} and done["again"] == {"user": 0, "startup": 1}
    found = town.listing_ids(DEVELOPERS, NEW) | town.listing_ids(INVESTORS, NEW)
    gamers = {identity("user", n) for n in range(0, 36, 3)}
    assert len(found & gamers) >= 6, "people of its field see it though they did nothing since"
    reached = sum(m["reached"] for m in done["made"].values())
    assert len(found) <= reached == sum(m["lists"] for m in done["made"].values()) - 3, "and its similar list"
    for surface in (Surface.DEVELOPERS_FOR_STARTUP, Surface.INVESTORS_FOR_STARTUP):
        own = town.listing(surface, NEW)
        assert own.route is Method.CONTENT_BASED and len(own.item) and own.part == 1
    assert town.entities()[Entity.STARTUP].labels["location"][-1] == "Oslo"


def test_nobody_who_did_nothing_is_reached_where_that_is_switched_off(town: Town) -> None:
    shy = Town(town.settings.layered({"refresh_reach": 0}, "given"), town.built)
    shy.opened(NEW)
    done = shy.refresh()
    assert [done["made"][s]["lists"] for s in Surface] == [0, 0, 1, 1]
    assert not shy.listing_ids(DEVELOPERS, NEW)


@pytest.mark.parametrize("who", ["warm", "new", "startup", "investor"])
def test_a_refreshed_list_is_the_one_that_the_live_fallback_would_make(town: Town, who: str) -> None:
    owner, surface = {
        "warm": (crossing(town, 20)[0], DEVELOPERS),
        "new": (CAME, DEVELOPERS),
        "startup": (identity("startup", 2), Surface.DEVELOPERS_FOR_STARTUP),
        "investor": (identity("user", 8), INVESTORS),
    }[who]
    town.joined(CAME)
    for n in range(3):
        mine = (identity("user", 9 + n), owner) if who == "startup" else (owner, identity("startup", 5 * n))
        town.met(*mine, timedelta(minutes=10 + n))
    town.refresh()
    stored = town.raw(surface)[UUID(owner).bytes]
    release = town.release()
    settings = town.settings.with_recorded(release.settings)
    recipe = open_recommender(surface, open_bundles(settings.artifacts, release.bundles, settings), settings)
    database = Database(town.settings)
    record = database.owner(surface.owner, owner, town.at(1))
    assert record is not None
    live = decode_list(encode_lists(list_of_one(recipe, owner, record))[0])
    database.close()
    found = decode_list(stored)
    assert (found.method, found.route, found.count) == (live.method, live.route, live.count)
    assert found.item.tolist() == live.item.tolist()
    np.testing.assert_allclose(found.score, live.score, atol=2e-4)


def test_nothing_new_changes_nothing_and_keeps_the_lists_from_expiring(town: Town) -> None:
    key = town.keys.manifest(town.built)
    town.client.expire(key, 50)
    done = town.refresh()
    assert not done["published"] and "nothing happened since" in done["reason"]
    assert town.client.ttl(key) > 3600 and town.live == town.built
    assert "knows everything" in town.refresh(-1)["reason"]


def test_a_refresh_of_a_refresh_and_its_repetition(town: Town) -> None:
    town.met(identity("user", 7), identity("startup", 4))
    town.joined(CAME)
    first = town.refresh(1)["release"]
    assert "nothing happened" in town.refresh(2)["reason"]
    town.opened(NEW, timedelta(hours=1, minutes=5))
    town.met(CAME, NEW, timedelta(hours=1, minutes=6))
    again = town.refresh(2, publish=False)
    second = town.refresh(2)
    assert again["release"] == second["release"] == town.live, "the same rows and cutoff give the same bytes"
    release = town.release()
    assert [p["as_of"] for p in release.parts] == [town.at(h).isoformat() for h in (0, 1, 2)]
    assert release.parts[0]["release"] == town.built and release.built == town.at(0).isoformat()
    assert (release.as_of, release.replaces) == (town.at(2).isoformat(), first)
    assert town.listing(DEVELOPERS, CAME).part == 2 and town.listing(DEVELOPERS, CAME).count == 1
    assert NEW not in town.items(DEVELOPERS, CAME)
    assert decode_list(town.raw(DEVELOPERS)[POPULAR_FIELD]).part == 0
    kept = identity("user", 7)
    surface = DEVELOPERS if UUID(kept).bytes in town.raw(DEVELOPERS) else INVESTORS
    assert town.listing(surface, kept).part in (1, 2)
    assert release.generated_at == release.parts[2]["generated_at"]
    assert datetime.fromisoformat(release.generated_at) <= datetime.now(UTC)


def test_who_opts_out_gets_popular_lists_and_a_withdrawn_startup_is_in_no_new_one(town: Town) -> None:
    person, startup, other = identity("user", 7), identity("startup", 4), identity("user", 10)
    town.execute("UPDATE users SET opted_out_at = :at WHERE id = :id", id=person, at=town.at(0.1))
    town.execute("UPDATE startups SET withdrawn_at = :at WHERE id = :id", id=startup, at=town.at(0.1))
    town.met(other, identity("startup", 1))
    town.refresh()
    assert town.listing(DEVELOPERS, person).method is Method.POPULAR
    assert startup not in town.items(DEVELOPERS, other)
    town.execute("UPDATE users SET opted_out_at = NULL WHERE id = :id", id=person)
    town.refresh(2)
    assert town.listing(DEVELOPERS, person).method is not Method.POPULAR


def test_a_list_is_made_again_by_its_owners_arm(town: Town) -> None:
    """Between builds, the ranker stays off for owners whose arm disables it (M08)."""
    told = [
        {
            "name": "ranker",
            "salt": "m08",
            "surfaces": [DEVELOPERS.value],
            "share": 1,
            "arms": [{"name": "on", "weight": 1}, {"name": "off", "weight": 1, "settings": {"ranker": "off"}}],
        }
    ]
    trial = replace(town, settings=replace(town.settings, experiments=json.dumps(told)))
    promote(trial.settings, trial.build(2.0))
    users = trial.entities()[Entity.USER]
    hot = users.ids.ids[(users.role == Role.DEVELOPER.code) & (users.count >= 5)].tolist()
    (experiment,) = read_experiments(trial.settings)
    arms = {o: arm.name if (arm := experiment.arm_of(str(o))) else "" for o in hot}
    owners = [next(o for o in hot if arms[o] == name) for name in ("on", "off")]
    for n, owner in enumerate(owners):
        unmet = trial.items(DEVELOPERS, owner)[0]
        trial.met(owner, unmet, timedelta(hours=2, minutes=n + 1))
    assert trial.refresh(3.0)["published"]
    assert [trial.listing(DEVELOPERS, o).part for o in owners] == [1, 1]
    assert [trial.listing(DEVELOPERS, o).reranked for o in owners] == [True, False]
