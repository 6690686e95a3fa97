"""Export a marketplace of three users and three startups, every number by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from models.data.entities import UNKNOWN_TIME
from models.errors import DataError
from models.schema import Entity, EventType, Surface
from pipelines.export.snapshot import Snapshot
from pipelines.run.run import EPOCH, parse_instant

ANA, BEN, CY = (f"0000000{i}-0000-4000-8000-000000000000" for i in "123")
ACME, BOLT, CORE = (f"a000000{i}-0000-4000-8000-000000000000" for i in "123")
AS_OF = "2024-03-01T00:00:00Z"


def us(instant: str) -> int:
    return int((parse_instant(instant) - EPOCH).total_seconds()) * 1_000_000


USERS = pd.DataFrame(
    [
        {
            "user_id": CY,
            "role": " Investor",
            "created_at": "2024-06-01",
            "location": "Bern",
        },  # created later, but acted before
        {"user_id": ANA, "role": "developer", "created_at": "", "skills": "rust", "opted_out_at": "2024-02-10"},
        {"user_id": BEN, "role": "founder", "created_at": "2024-01-01", "location": "Aarau"},
    ]
).fillna("")
STARTUPS = pd.DataFrame(
    [
        {
            "startup_id": BOLT,
            "name": "Bolt",
            "category": "energy",
            "stage": "seed",
            "created_at": "2024-02-20",
            "founder_id": BEN,
            "updated_at": "2024-02-25",
            "withdrawn_at": "2024-02-28",
        },
        {
            "startup_id": ACME,
            "name": "Acme",
            "category": "air",
            "stage": "angel",
            "created_at": "2023-01-01",
            "founder_id": "",
            "updated_at": "",
            "withdrawn_at": "",
        },
        {
            "startup_id": CORE,
            "name": "Core",
            "category": "",
            "stage": "seed",
            "created_at": "2024-03-01",
            "founder_id": CY,
            "updated_at": "",
            "withdrawn_at": "",
        },
    ]
)
EVENTS = pd.DataFrame(
    [
        (ANA, ACME, "view", "2024-01-01T00:00:00Z"),
        (ANA, ACME, "view", "2024-01-01T00:00:00Z"),  # the same row twice
        (ANA, ACME, "view", "2024-01-02T00:00:00Z"),
        (BEN, ACME, "dislike", "2024-01-05T00:00:00Z"),
        (CY, BOLT, "interest", "2024-02-21T00:00:00.000001Z"),
        (BEN, BOLT, "like", "2024-02-29T23:59:59.999999Z"),
        (BEN, BOLT, "apply", "2024-03-01T00:00:00Z"),  # an event at the cutoff is not before the cutoff
    ],
    columns=["user_id", "startup_id", "interaction_type", "occurred_at"],
)


@pytest.fixture
def snapshot() -> Snapshot:
    return Snapshot.from_frames(USERS, STARTUPS, EVENTS, AS_OF)


def test_interactions_hold_each_event_before_the_cutoff_once_in_order(snapshot: Snapshot) -> None:
    events = snapshot.interactions()
    assert events.owners.ids.tolist() == [ANA, BEN, CY]
    assert events.items.ids.tolist() == [ACME, BOLT]  # Core is created at the cutoff, not before it
    assert events.owner.tolist() == [0, 0, 1, 1, 2]
    assert events.item.tolist() == [0, 0, 0, 1, 1]
    assert [EventType.of_code(k) for k in events.kind] == ["view", "view", "dislike", "like", "interest"]
    assert events.at[3] == us("2024-02-29T23:59:59Z") + 999_999


def test_users_at_the_cutoff(snapshot: Snapshot) -> None:
    users = snapshot.entities(Entity.USER)
    assert users.count.tolist() == [2, 2, 1]  # R09: rows, with a duplicate once
    assert users.views.tolist() == [2, 0, 0]
    assert users.interactions.tolist() == [0, 2, 1]
    assert users.role.tolist() == [0, -1, 1]
    assert users.opted_out.tolist() == [True, False, False]
    assert users.listed.tolist() == [False, True, True]
    assert users.created_at.tolist() == [UNKNOWN_TIME, us("2024-01-01"), us("2024-06-01")]
    assert users.labels["location"] == ("Aarau", "Bern")
    assert users.facets["location"].tolist() == [-1, 0, 1]
    assert users.facets["category"].tolist() == [-1, -1, -1]
    assert users.items_of(Surface.INVESTORS_FOR_STARTUP).tolist() == [2]


def test_startups_at_the_cutoff(snapshot: Snapshot) -> None:
    startups = snapshot.entities(Entity.STARTUP)
    assert startups.count.tolist() == [2, 2]  # R09: distinct users
    assert startups.views.tolist() == [2, 0]
    assert startups.interactions.tolist() == [1, 2]
    assert startups.listed.tolist() == [True, False]
    assert startups.founder.tolist() == [-1, 1]
    assert startups.labels["category"] == ("air", "energy")
    assert startups.facets["category"].tolist() == [0, 1]


def test_an_earlier_instant_keeps_the_rows_and_forgets_what_came_later(snapshot: Snapshot) -> None:
    instant = us("2024-02-10")
    users, startups = (snapshot.entities(e, instant) for e in (Entity.USER, Entity.STARTUP))
    assert users.ids.ids.tolist() == [ANA, BEN, CY]
    assert users.opted_out.tolist() == [False, False, False]  # opted out at that instant, not before it
    assert users.listed.tolist() == [True, True, False]  # Cy has no events yet
    assert users.count.tolist() == [2, 1, 0]
    assert startups.listed.tolist() == [True, False]  # Bolt is not created yet
    assert startups.views.tolist() == [2, 0]


def read(*rows: tuple[str, str, int]) -> Snapshot:
    return Snapshot.from_frames(
        USERS,
        STARTUPS,
        EVENTS,
        AS_OF,
        {"holdout_share": 0.2},
        readings=pd.DataFrame(rows, columns=["startup_id", "read_at", "views"]),
    )


def test_a_counter_is_the_newest_reading_before_an_instant() -> None:
    """Four of five events are before the temporal validation split. The first reading is earlier (R05)."""
    later, unborn = (BOLT, "2024-03-01", 90), (CORE, "2024-01-01", 9)
    snapshot = read((ACME, "2024-02-09", 40), (ACME, "2024-01-03", 30), later, unborn)
    assert snapshot.manifest["views"] == {"from": "readings", "since": "2024-01-03T00:00:00+00:00", "readings": 2}
    for instant, acme in (("2024-01-03", 2), ("2024-01-03T00:00:01", 30), ("2024-02-09", 30), ("2024-02-28", 40)):
        assert snapshot.entities(Entity.STARTUP, us(instant)).views.tolist() == [acme, 0], instant
    assert snapshot.entities(Entity.USER).views.tolist() == [2, 0, 0]


@pytest.mark.parametrize(("first", "counts"), [("2024-02-25T23:59:59.999999", True), ("2024-02-26", False)])
def test_readings_count_where_they_reach_back_before_the_week_of_the_inner_cut(first: str, counts: bool) -> None:
    """Otherwise view events count at every instant, so that a ranker serves with the evaluated kind of number."""
    snapshot = read((ACME, first, 30))
    assert snapshot.views_from == ("readings" if counts else "events")
    assert snapshot.entities(Entity.STARTUP).views.tolist() == [30 if counts else 2, 0]


def test_withdrawn_from_the_next_instant_on(snapshot: Snapshot) -> None:
    assert snapshot.entities(Entity.STARTUP, us("2024-02-28")).listed.tolist() == [True, True]
    assert snapshot.entities(Entity.STARTUP, us("2024-02-28") + 1).listed.tolist() == [True, False]


def test_profiles_stand_beside_the_rows(snapshot: Snapshot) -> None:
    assert snapshot.profiles(Entity.USER)["skills"] == ["rust", "", ""]
    assert snapshot.profiles(Entity.STARTUP)["name"] == ["Acme", "Bolt"]
    assert "role" not in snapshot.profiles(Entity.USER)


def test_a_stage_may_be_kept_blank_until_the_first_event() -> None:
    snapshot = Snapshot.from_frames(USERS, STARTUPS, EVENTS, AS_OF, settings={"stage_known": "first_event"})
    assert snapshot.profiles(Entity.STARTUP)["stage"] == ["angel", "seed"]
    assert snapshot.profiles(Entity.STARTUP, us("2024-02-21"))["stage"] == ["angel", ""]
    early = snapshot.entities(Entity.STARTUP, us("2024-02-21"))
    assert early.facets["stage"].tolist() == [0, -1]
    assert Snapshot.from_frames(USERS, STARTUPS, EVENTS, AS_OF).profiles(Entity.STARTUP, us("2024-02-21"))["stage"] == [
        "angel",
        "seed",
    ]


def test_where_only_startups_with_events_have_a_stage_it_is_taken_for_the_first_rounds() -> None:
    auto, unmet = {"stage_known": "auto"}, EVENTS[EVENTS["startup_id"] == EVENTS["startup_id"].iloc[0]]
    assert Snapshot.from_frames(USERS, STARTUPS, EVENTS, AS_OF, settings=auto).stage_known == "first_event"
    assert Snapshot.from_frames(USERS, STARTUPS, unmet, AS_OF, settings=auto).stage_known == "always"
    blank = STARTUPS.assign(stage="")
    assert Snapshot.from_frames(USERS, blank, unmet, AS_OF, settings=auto).stage_known == "first_event"


def test_the_time_after_the_cutoff_is_refused(snapshot: Snapshot) -> None:
    with pytest.raises(DataError, match="holds nothing from"):
        snapshot.entities(Entity.USER, us(AS_OF) + 1)


def test_an_event_without_a_user_is_refused() -> None:
    stray = pd.DataFrame([(CORE, ACME, "view", "2024-01-01")], columns=EVENTS.columns)
    with pytest.raises(DataError, match="every user of the events"):
        Snapshot.from_frames(USERS, STARTUPS, stray, AS_OF)


def test_a_marketplace_without_events_has_all_entities() -> None:
    snapshot = Snapshot.from_frames(USERS, STARTUPS, EVENTS.iloc[:0], AS_OF)
    assert snapshot.user_ids.ids.tolist() == [ANA, BEN]
    assert not np.any(snapshot.entities(Entity.STARTUP).count)
