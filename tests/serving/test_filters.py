"""Events since the build hide items in the next answer, in all lists of both sides."""

from __future__ import annotations

import uuid

import pytest
import redis
from flask import Flask

from models.lists.redis_format import Keys
from models.schema import Entity, EventType, Role, Surface
from models.settings.settings import Settings
from pipelines.events.drain import drain_events
from pipelines.publish.history import promote, rollback
from serving.clients import redis as cache
from tests.marketplace.world import World
from tests.serving.conftest import Execute, Person, Publish, Start, ask_list, event, ids, post, within_a_second
from tests.serving.proxy import Wires

MINE, THEIRS = Surface.STARTUPS_FOR_DEVELOPER, Surface.DEVELOPERS_FOR_STARTUP


@pytest.fixture
def app(start: Start, publish: Publish, rows: str) -> Flask:
    publish()
    return start()


@pytest.fixture
def owner(person: Person) -> str:
    return person(Role.DEVELOPER, 4)


def test_an_event_makes_the_next_answer_right_on_both_sides(app: Flask, owner: str) -> None:
    before = ids(ask_list(app, MINE, owner))
    startup = next(s for s in before if owner in ids(ask_list(app, THEIRS, s)))
    people = ids(ask_list(app, THEIRS, startup))
    post(app, event(owner, startup, "apply"))
    after = ask_list(app, MINE, owner, limit=10)
    assert ids(after) == [s for s in before if s != startup][:10]
    assert (after["total"], after["short"], after["degraded"], after["source"]) == (19, False, False, "cache")
    assert ids(ask_list(app, THEIRS, startup)) == [p for p in people if p != owner]
    many = app.test_client().post(f"/api/recommendations/{MINE}/many?limit=100", json={"ids": [owner]})
    assert ids(many.get_json()["lists"][owner]) == [s for s in before if s != startup]


@pytest.mark.parametrize("kind", EventType)
@pytest.mark.parametrize("views_are_seen", [True, False])
def test_everything_hides_but_an_impression_a_retraction_and_a_view_where_views_are_not_seen(
    start: Start, publish: Publish, settings: Settings, owner: str, kind: EventType, views_are_seen: bool
) -> None:
    publish()
    app = start(settings.layered({"views_are_seen": views_are_seen}, "given"))
    first = ids(ask_list(app, MINE, owner))[0]
    post(app, event(owner, first, kind.value))
    hides = kind not in (EventType.IMPRESSION, EventType.RETRACT) and (views_are_seen or kind is not EventType.VIEW)
    assert (first in ids(ask_list(app, MINE, owner))) is not hides


def test_live_and_popular_lists_are_filtered_too(app: Flask, execute: Execute) -> None:
    newcomer, stranger = str(uuid.uuid4()), str(uuid.uuid4())
    execute("INSERT INTO users (id, role, interests) VALUES (%s, 'developer', 'biotech;genomics')", newcomer)
    for who, source, known in ((newcomer, "live", True), (stranger, "cache", False)):
        before = ask_list(app, MINE, who)
        assert (before["source"], before["known"]) == (source, known)
        post(app, event(who, ids(before)[0], "dismiss"), event(who, ids(before)[2], "dislike"))
        assert ids(ask_list(app, MINE, who)) == [ids(before)[1], *ids(before)[3:]]


def test_a_list_without_remaining_items_is_short_with_a_reason(app: Flask, owner: str) -> None:
    whole = ids(ask_list(app, MINE, owner))
    post(app, *(event(owner, s) for s in whole[:15]))
    body = ask_list(app, MINE, owner, limit=10)
    assert (ids(body), body["short"]) == (whole[15:], True)
    assert body["reason"] == "the list ends here; left out: 15 met or dismissed since it was made"
    post(app, *(event(owner, s) for s in whole[15:]))
    body = ask_list(app, MINE, owner, limit=10)
    assert (ids(body), body["short"], body["total"]) == ([], True, 0)
    assert body["reason"] == "nothing of the list is left; left out: 20 met or dismissed since it was made"


def test_a_withdrawn_startup_is_gone_from_every_list_within_a_second(
    app: Flask, settings: Settings, execute: Execute, owner: str
) -> None:
    startup = ids(ask_list(app, MINE, owner))[0]
    assert startup in ids(ask_list(app, MINE, "popular"))
    execute("UPDATE startups SET withdrawn_at = CURRENT_TIMESTAMP WHERE id = %s", startup)
    assert drain_events(settings)["hidden"] >= 1
    within_a_second(lambda: startup not in ids(ask_list(app, MINE, owner)))
    for tail in ("popular", "trending", str(uuid.uuid4())):
        assert startup not in ids(ask_list(app, MINE, tail)), tail
    assert "; left out: 1 withdrawn" in ask_list(app, MINE, owner)["reason"]


def test_a_user_who_opts_out_gets_popular_lists_and_is_in_none(
    app: Flask, settings: Settings, execute: Execute, owner: str, planted: World
) -> None:
    """As owner and as item, without a new build. Items met before the build stay hidden (R23, L07)."""
    startup = ids(ask_list(app, MINE, owner))[0]
    assert owner in ids(ask_list(app, THEIRS, startup))
    execute("UPDATE users SET opted_out_at = CURRENT_TIMESTAMP WHERE id = %s", owner)
    drain_events(settings)
    within_a_second(lambda: ask_list(app, MINE, owner)["method_used"] == "popular")
    body = ask_list(app, MINE, owner)
    assert (body["route"], body["known"], body["degraded"]) == ("als", True, False)
    row = planted.users.ids.rows_of([owner])[0]
    met = set(planted.startups.ids.ids[planted.interactions.pairs()[row].indices])
    assert ids(body) and not met & set(ids(body))
    assert owner not in ids(ask_list(app, THEIRS, startup))


def test_a_personal_list_computed_before_the_opt_out_is_not_served(
    app: Flask, settings: Settings, execute: Execute
) -> None:
    newcomer = str(uuid.uuid4())
    execute("INSERT INTO users (id, role, interests) VALUES (%s, 'developer', 'biotech;genomics')", newcomer)
    assert ask_list(app, MINE, newcomer)["method_used"] == "content_based"  # Redis keeps it for half an hour
    execute("UPDATE users SET opted_out_at = CURRENT_TIMESTAMP WHERE id = %s", newcomer)
    drain_events(settings)
    within_a_second(lambda: ask_list(app, MINE, newcomer)["method_used"] == "popular")
    assert ask_list(app, MINE, newcomer)["degraded"] is False


def test_events_written_by_the_platform_count_too(app: Flask, settings: Settings, execute: Execute, owner: str) -> None:
    first, second, third = ids(ask_list(app, MINE, owner))[:3]
    execute("INSERT INTO user_interactions VALUES (%s, %s, 'like', CURRENT_TIMESTAMP)", owner, first)
    execute("UPDATE startups SET founder_id = %s, updated_at = CURRENT_TIMESTAMP WHERE id = %s", owner, second)
    assert first in ids(ask_list(app, MINE, owner))
    assert drain_events(settings)["met"] == 2
    assert ids(ask_list(app, MINE, owner))[0] == third


def test_rolling_back_and_forward_hides_the_same(
    start: Start, publish: Publish, rows: str, settings: Settings, execute: Execute, owner: str
) -> None:
    publish(day=10)
    second = publish(day=11)
    app = start()
    met, withdrawn = ids(ask_list(app, MINE, owner))[:2]
    post(app, event(owner, met))
    execute("UPDATE startups SET withdrawn_at = CURRENT_TIMESTAMP WHERE id = %s", withdrawn)
    drain_events(settings)
    rollback(settings)
    within_a_second(lambda: ask_list(app, MINE, owner)["release"] != second)
    within_a_second(lambda: not {met, withdrawn} & set(ids(ask_list(app, MINE, owner))))
    assert drain_events(settings)["full"] is True
    promote(settings, second)
    within_a_second(lambda: ask_list(app, MINE, owner)["release"] == second)
    assert not {met, withdrawn} & set(ids(ask_list(app, MINE, owner)))


def test_hidden_is_hidden_while_redis_is_down_and_after_it_lost_its_data(
    start: Start,
    publish: Publish,
    rows: str,
    wires: Wires,
    execute: Execute,
    client: redis.Redis,
    keys: Keys,
    owner: str,
) -> None:
    release = publish()
    app = start(wires.settings)
    startup = ids(ask_list(app, MINE, owner))[0]
    execute("UPDATE startups SET withdrawn_at = CURRENT_TIMESTAMP WHERE id = %s", startup)
    drain_events(wires.settings)
    within_a_second(lambda: startup not in ids(ask_list(app, MINE, owner)))
    version = client.get(keys.hidden_version)
    wires.redis.down()
    for tail in (owner, "popular"):
        assert startup not in ids(ask_list(app, MINE, tail))
    assert ask_list(app, MINE, owner)["degraded"] is True
    client.flushdb()
    wires.redis.up()
    app.extensions["matchbook"].lists.hidden.follow()
    assert startup not in ids(ask_list(app, MINE, "popular"))
    promote(wires.settings, release)
    assert drain_events(wires.settings)["hidden"] >= 1
    assert client.get(keys.hidden_version) != version


def test_a_hit_is_one_round_trip_with_every_filter_on(
    start: Start, publish: Publish, rows: str, wires: Wires, settings: Settings, execute: Execute, person: Person
) -> None:
    """Counted between reader and Redis, with rate limit and filters on. Several owners also need one trip."""
    publish()
    app, owners = start(wires.settings), [person(Role.DEVELOPER, p) for p in (4, 5, 9)]
    startup = ids(ask_list(app, MINE, owners[0]))[0]
    execute("UPDATE startups SET withdrawn_at = CURRENT_TIMESTAMP WHERE id = %s", startup)
    drain_events(settings)
    within_a_second(lambda: startup not in ids(ask_list(app, MINE, owners[0])))
    post(app, event(owners[0], ids(ask_list(app, MINE, owners[0]))[0]))
    app.extensions["matchbook"].releases.stop()  # it reads Redis by itself
    before = wires.redis.asked
    for _ in range(10):
        assert ask_list(app, MINE, owners[0])["total"] == 18
    assert wires.redis.asked - before == 10
    many = app.test_client().post(f"/api/recommendations/{MINE}/many", json={"ids": owners})
    assert (many.status_code, wires.redis.asked - before) == (200, 11)


def test_an_owner_who_met_very_many_costs_a_second_round_trip(
    start: Start, publish: Publish, rows: str, wires: Wires, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "SINCE_MOST", 3)
    publish()
    app = start(wires.settings)
    whole = ids(ask_list(app, MINE, owner))
    post(app, *(event(owner, s) for s in whole[2:5]))
    for _ in range(4):  # Redis sends a hash of a few hundred fields whole
        post(app, *(event(owner, str(uuid.uuid4())) for _ in range(200)))
    app.extensions["matchbook"].releases.stop()
    before = wires.redis.asked
    assert ids(ask_list(app, MINE, owner)) == whole[:2] + whole[5:]
    assert wires.redis.asked - before == 2


def test_filters_count_what_they_left_out(app: Flask, owner: str) -> None:
    def counted() -> float:
        text = app.test_client().get("/metrics").text
        lines = [x for x in text.splitlines() if x.startswith('matchbook_left_out_places_total{why="met"}')]
        return float(lines[0].split()[-1]) if lines else 0.0

    post(app, *(event(owner, s) for s in ids(ask_list(app, MINE, owner))[:4]))
    before = counted()
    ask_list(app, MINE, owner)
    assert counted() - before == 4


def test_the_since_hashes_of_both_sides_live_as_long_as_lists_do(
    app: Flask, client: redis.Redis, keys: Keys, settings: Settings, owner: str
) -> None:
    startup = ids(ask_list(app, MINE, owner))[0]
    post(app, event(owner, startup))
    for entity, mine, other in ((Entity.USER, owner, startup), (Entity.STARTUP, startup, owner)):
        assert client.hkeys(keys.since(entity, mine)) == [uuid.UUID(other).bytes]
        assert 0 < client.ttl(keys.since(entity, mine)) <= settings.releases.ttl_hours * 3600
