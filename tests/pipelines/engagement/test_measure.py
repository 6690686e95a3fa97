"""Measure engagement from a real PostgreSQL: each event counts once, for one answer (C55-C57, J04-J10)."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import redis
from sqlalchemy import text

from models.experiments import Experiment
from models.lists.redis_format import Keys
from models.lists.release import Release
from models.settings.settings import Settings
from pipelines.engagement.measure import EARNINGS, keep_measured, measure
from pipelines.postgres import engine, transaction
from pipelines.publish.assemble import place_release
from pipelines.store.artifacts import Artifacts

DAY0 = datetime(2026, 3, 1, 9, tzinfo=UTC)
AS_OF = DAY0 + timedelta(days=20)
DEVELOPERS, FOUNDERS = "startups/for-developer", "developers/for-startup"
EXPERIMENT: dict[str, Any] = {
    "name": "ranker",
    "salt": "m08",
    "surfaces": [DEVELOPERS],
    "share": 1.0,
    "arms": [{"name": "off", "weight": 1, "settings": {"ranker": "off"}}, {"name": "on", "weight": 1, "settings": {}}],
}
Row = dict[str, Any]


def user(n: int) -> str:
    return str(uuid.UUID(int=1 << 100 | n))


def startup(n: int) -> str:
    return str(uuid.UUID(int=2 << 100 | n))


class Ledger:
    """Writes what the drain would store: answers, and events that may name one."""

    def __init__(self, settings: Settings) -> None:
        self._engine, self._n = engine(settings), 0

    def answer(self, name: str, surface: str = DEVELOPERS, method: str = "als", day: int = 0, **more: Any) -> str:
        given = {
            "answer_id": name,
            "surface": surface,
            "method": method,
            "route": method,
            "release": "r1",
            "live": False,
            "day": DAY0.date() + timedelta(days=day),
            "experiment": None,
            "edition": None,
            "arm": None,
        } | more
        self._insert("matchbook_answers", given)
        return name

    def event(
        self, u: int, s: int, kind: str, hours: float = 0, answer: str | None = None, place: int | None = None
    ) -> None:
        self._n += 1
        self._insert(
            "matchbook_events",
            {
                "event_id": str(self._n),
                "user_id": user(u),
                "startup_id": startup(s),
                "type": kind,
                "at": DAY0 + timedelta(hours=hours),
                "answer_id": answer,
                "position": place,
            },
        )

    def platform(self, u: int, s: int, kind: str, hours: float) -> None:
        """Write a row of the platform, without an answer id."""
        self._insert(
            "user_interactions",
            {
                "user_id": user(u),
                "startup_id": startup(s),
                "interaction_type": kind,
                "created_at": DAY0 + timedelta(hours=hours),
            },
        )

    def born(self, s: int, days: float) -> None:
        self._insert("startups", {"id": startup(s), "created_at": DAY0 - timedelta(days=days)})

    def _insert(self, table: str, given: Row) -> None:
        columns = ", ".join(given)
        with transaction(self._engine) as connection:
            connection.execute(text(f"INSERT INTO {table} ({columns}) VALUES (:{', :'.join(given)})"), given)


@pytest.fixture
def ledger(settings: Settings) -> Ledger:
    return Ledger(settings)


def counts(settings: Settings, *names: str) -> tuple[int, ...]:
    found = measure(settings, AS_OF)["all"]
    return tuple(found[n] for n in ("impressions", *names))


def test_nothing_shown_is_nothing_measured(settings: Settings, ledger: Ledger) -> None:
    ledger.platform(1, 1, "click", 1)
    found = measure(settings, AS_OF)
    assert found["all"]["impressions"] == 0 and found["all"]["click_through"]["value"] is None
    assert found["by"]["method"] == [] and found["experiments"] == []
    assert found["interactions"] == [{"day": "2026-03-01", "interactions": 1, "people": 1}]
    assert {h["met"] for h in found["expected"]} == {None}


def test_an_item_shown_again_in_the_same_answer_was_shown_once(settings: Settings, ledger: Ledger) -> None:
    a = ledger.answer("a")
    for hours in (0, 1, 2):
        ledger.event(1, 1, "impression", hours, a, 1)
    ledger.event(1, 2, "impression", 0, a, 2)
    assert counts(settings, "clicked", "answers") == (2, 0, 1)


def test_clicks_of_one_item_count_once(settings: Settings, ledger: Ledger) -> None:
    a = ledger.answer("a")
    ledger.event(1, 1, "impression", 0, a)
    for hours in (0.1, 0.2, 3):
        ledger.event(1, 1, "click", hours, a)
    ledger.platform(1, 1, "click", 0.1)  # the same event in the platform's own table
    ledger.platform(1, 1, "click", 0.15)  # and again, with another clock
    assert counts(settings, "clicked") == (1, 1)


def test_an_act_that_names_no_answer_belongs_to_the_last_that_showed_it(settings: Settings, ledger: Ledger) -> None:
    for name, method, hours in (("a", "als", 0), ("b", "ensemble", 24), ("c", "content_based", 72)):
        ledger.event(1, 1, "impression", hours, ledger.answer(name, method=method, day=int(hours / 24)))
    ledger.platform(1, 1, "apply", 30)
    found = {m["name"]: m["converted"] for m in measure(settings, AS_OF)["by"]["method"]}
    assert found == {"als": 0, "ensemble": 1, "content_based": 0}


def test_an_act_that_names_its_answer_belongs_to_it_and_to_no_later_one(settings: Settings, ledger: Ledger) -> None:
    """An event posted and also written by the platform, with another time, counts once."""
    for name, method, hours in (("a", "als", 0), ("b", "ensemble", 24)):
        ledger.event(1, 1, "impression", hours, ledger.answer(name, method=method, day=int(hours / 24)))
    ledger.event(1, 1, "apply", 25, "a")
    ledger.platform(1, 1, "apply", 25.01)
    found = {m["name"]: m["applied"] for m in measure(settings, AS_OF)["by"]["method"]}
    assert found == {"als": 1, "ensemble": 0}


@pytest.mark.parametrize(("hours", "counted"), [(-1, 0), (0, 1), (167, 1), (169, 0)])
def test_what_counts_comes_within_the_window(settings: Settings, ledger: Ledger, hours: float, counted: int) -> None:
    ledger.event(1, 1, "impression", 0, ledger.answer("a"))
    ledger.platform(1, 1, "interest", hours)
    assert counts(settings, "converted") == (1, counted)
    assert counts(settings.layered({"attribution_days": 0.01}, "given"), "converted") == (1, int(hours == 0))


def test_on_the_founders_side_only_what_names_its_answer_counts(settings: Settings, ledger: Ledger) -> None:
    """A user's event without an answer is not a founder's click."""
    ledger.event(1, 1, "impression", 0, ledger.answer("a", FOUNDERS, "als_reverse"))
    ledger.event(2, 1, "impression", 0, "a")
    ledger.platform(1, 1, "apply", 1)
    assert counts(settings, "applied") == (2, 0)
    ledger.event(2, 1, "click", 1, "a")
    found = measure(settings, AS_OF)["by"]["surface"][0]
    assert (found["name"], found["owners"], found["clicked"]) == (FOUNDERS, 1, 1)


def test_an_act_on_what_was_never_shown_counts_nowhere(settings: Settings, ledger: Ledger) -> None:
    ledger.event(1, 1, "impression", 0, ledger.answer("a"))
    ledger.event(1, 2, "click", 1, "a")
    ledger.event(1, 1, "click", 1)
    ledger.platform(2, 1, "click", 1)
    assert counts(settings, "clicked") == (1, 1)
    assert measure(settings, AS_OF)["unshown_acts"] == 1


def test_the_last_opinion_is_the_one_that_counts(settings: Settings, ledger: Ledger) -> None:
    """C57, R07: a like and then a dislike count as a dislike."""
    ledger.answer("a")
    for s, opinions in ((1, ["like"]), (2, ["like", "dislike"]), (3, ["dislike", "like"]), (4, [])):
        ledger.event(1, s, "impression", 0, "a")
        for hours, kind in enumerate(opinions, 1):
            ledger.event(1, s, kind, hours, "a")
    found = measure(settings, AS_OF)["all"]
    assert (found["satisfaction"]["value"], found["satisfaction"]["trials"]) == (pytest.approx(2 / 3), 3)
    assert found["feedback"]["value"] == 0.75


def test_both_readings_of_conversion_stand_side_by_side(settings: Settings, ledger: Ledger) -> None:
    """One counts applies plus interests, the other applications only (C56, R16)."""
    ledger.answer("a")
    for s, kinds in ((1, ["apply", "interest"]), (2, ["interest"]), (3, ["click"]), (4, [])):
        ledger.event(1, s, "impression", 0, "a", 10 + (s == 4))
        for kind in kinds:
            ledger.event(1, s, kind, 1, "a")
    found = measure(settings, AS_OF)["all"]
    assert (found["conversion"]["value"], found["application"]["value"]) == (0.5, 0.25)
    assert (found["precision_at_10"]["value"], found["precision_at_10"]["trials"]) == (1.0, 3)


def test_the_age_of_what_was_shown(settings: Settings, ledger: Ledger) -> None:
    """Items with an unknown birth time do not count (J09, I21)."""
    ledger.answer("a")
    for s, days in ((1, 10), (2, 30)):
        ledger.born(s, days)
        ledger.event(1, s, "impression", 0, "a")
    ledger.event(1, 3, "impression", 0, "a")
    assert measure(settings, AS_OF)["all"]["age_days"]["value"] == 20


def test_interactions_are_counted_by_day(settings: Settings, ledger: Ledger) -> None:
    """Counts interactions of each day and their users, without impressions (J04)."""
    ledger.event(1, 1, "impression", 0)
    for u, s, hours in ((1, 1, 1), (1, 2, 2), (2, 1, 3), (1, 3, 24)):
        ledger.platform(u, s, "click", hours)
    assert measure(settings, AS_OF)["interactions"] == [
        {"day": "2026-03-01", "interactions": 3, "people": 2},
        {"day": "2026-03-02", "interactions": 1, "people": 1},
    ]


def test_shares_of_routes_are_shares_of_answers(settings: Settings, ledger: Ledger) -> None:
    for n, (method, route) in enumerate((("als", "als"), ("als", "ensemble"), ("popular", "als"), ("ensemble",) * 2)):
        ledger.event(n, 1, "impression", n, ledger.answer(f"a{n}", method=method, route=route))
        ledger.event(n, 2, "impression", n, f"a{n}")
    found = measure(settings, AS_OF)
    assert {r["name"]: r["share"] for r in found["by"]["route"]} == {"als": 0.5, "ensemble": 0.5}
    assert next(h for h in found["expected"] if h["id"] == "I11") == {
        "id": "I11",
        "says": "more than 60% of answers use an ALS model",
        "value": 0.75,
        "met": True,
    }


def an_experiment(settings: Settings, ledger: Ledger, off: int, on: int) -> None:
    """Show ten startups each to `off` and `on` owners.

    Owners of "off" click every tenth item, owners of "on" every fourth.
    """
    edition = Experiment.from_json(EXPERIMENT).edition
    release = Release(
        "20260301T000000Z-00000000",
        "2026-03-01T00:00:00+00:00",
        "2026-03-01T00:00:00+00:00",
        "",
        "",
        {},
        {},
        [],
        {},
        experiments=[EXPERIMENT],
    )
    place_release(Artifacts(settings), release, lambda _: None)
    statement = (
        "WITH owner AS (SELECT n, CASE WHEN n <= :off THEN 'off' ELSE 'on' END AS arm "
        "FROM generate_series(1, :all) n), "
        "a AS (INSERT INTO matchbook_answers SELECT 'x' || n, :surface, 'als', 'als', 'r1', false, DATE '2026-03-01', "
        "'ranker', :edition, arm FROM owner) "
        "INSERT INTO matchbook_events (event_id, user_id, startup_id, type, at, answer_id) "
        "SELECT concat_ws('-', k, n, s), md5(n::text)::uuid, md5('s' || s)::uuid, k, :at, 'x' || n "
        "FROM owner, generate_series(1, 10) s, unnest(ARRAY['impression', 'click']) k "
        "WHERE k = 'impression' OR (n * 10 + s) % (CASE WHEN arm = 'off' THEN 10 ELSE 4 END) = 0"
    )
    with transaction(engine(settings)) as connection:
        connection.execute(
            text(statement), {"off": off, "all": off + on, "surface": DEVELOPERS, "edition": edition, "at": DAY0}
        )


def test_click_through_of_als_is_compared_with_that_of_content(settings: Settings, ledger: Ledger) -> None:
    for n, (method, clicked) in enumerate(
        (("als", True), ("als", True), ("content_based", True), ("content_based", False))
    ):
        ledger.event(n, 1, "impression", n, ledger.answer(f"a{n}", method=method))
        if clicked:
            ledger.event(n, 1, "click", n + 0.1, f"a{n}")
    found = next(h for h in measure(settings, AS_OF)["expected"] if h["id"] == "I10")
    assert (found["value"], found["met"]) == (2.0, True)


def test_arms_are_compared_and_their_sizes_checked(settings: Settings, ledger: Ledger) -> None:
    """Metrics by arm of an experiment (O03, O12, J17, M08)."""
    an_experiment(settings, ledger, 200, 210)
    found = measure(settings, AS_OF)
    (e,) = found["experiments"]
    assert [(a["name"], a["owners"], a["settings"]) for a in e["arms"]] == [
        ("off", 200, {"ranker": "off"}),
        ("on", 210, {}),
    ]
    assert e["sample_ratio"]["even"] is True and e["sample_ratio"]["p"] > 0.5
    clicks = next(d for d in e["differences"] if d["rate"] == "click_through")
    assert clicks["difference"] == pytest.approx(0.15, abs=0.01) and clicks["low"] > 0.09
    assert clicks["says"].startswith("on has the higher click through than off")
    assert next(d for d in e["differences"] if d["rate"] == "conversion")["low"] < 0
    assert [(a["name"], a["impressions"]) for a in found["by"]["arm"]] == [("ranker/off", 2000), ("ranker/on", 2100)]
    lift = next(h for h in found["expected"] if h["id"] == "I09")
    assert lift["value"] == pytest.approx(1.5, abs=0.1) and lift["met"] is True


def test_arms_that_lose_owners_are_found_out(settings: Settings, ledger: Ledger) -> None:
    an_experiment(settings, ledger, 260, 160)
    done = keep_measured(settings, AS_OF)
    assert done["uneven"] == ["ranker"]
    (e,) = measure(settings, AS_OF)["experiments"]
    assert e["sample_ratio"]["even"] is False and "trust no difference" in e["sample_ratio"]["says"]


def test_what_is_kept_is_the_newest_and_counts_again_alike(settings: Settings, ledger: Ledger) -> None:
    ledger.event(1, 1, "impression", 0, ledger.answer("a"))
    assert keep_measured(settings, AS_OF)["kept"] and keep_measured(settings, AS_OF)["kept"]
    assert keep_measured(settings, AS_OF - timedelta(hours=1))["kept"] is False
    file = json.loads((settings.artifacts / EARNINGS).read_text())
    assert file["made_at"] == AS_OF.isoformat() and file == measure(settings, AS_OF)
    with redis.Redis.from_url(settings.redis_url.reveal()) as client:
        assert json.loads(client.get(Keys(settings.namespace).earnings)) == file


def test_nothing_that_names_anybody_is_kept(settings: Settings, ledger: Ledger) -> None:
    ledger.event(1, 1, "impression", 0, ledger.answer("a"))
    keep_measured(settings, AS_OF)
    written = (settings.artifacts / EARNINGS).read_text()
    assert user(1) not in written and startup(1) not in written and user(1).replace("-", "") not in written


def test_days_are_the_answers_own(settings: Settings, ledger: Ledger) -> None:
    """An answer shown before midnight and clicked after it belongs to one day."""
    ledger.event(1, 1, "impression", 14.9, ledger.answer("a", day=0))
    ledger.event(1, 2, "impression", 15.1, "a")
    assert [(d["name"], d["answers"]) for d in measure(settings, AS_OF)["by"]["day"]] == [(str(date(2026, 3, 1)), 1)]
