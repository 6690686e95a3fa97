"""Blanks at a cutoff must not predict later events. Find and name every column in which they do."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest

from models.data.bundle import Bundle
from models.errors import LeakFound
from models.schema import Entity
from pipelines.export.layout import STARTUPS, USERS
from pipelines.export.snapshot import Snapshot
from pipelines.run.run import microseconds, parse_instant
from pipelines.train.leakage import UNREAD, blanks, check_missing
from pipelines.train.train import TrainingData, fit
from tests.marketplace.traps import folded
from tests.pipelines.train.market import AS_OF, rows, small

pytestmark = pytest.mark.slow

CUT = "2024-02-17"
CUT_US = microseconds(parse_instant(CUT))
SETTINGS = small()
#: An owner with such an event before the cutoff may not be shown. A later event is not known yet.
HIDES = ("opted_out_at", "withdrawn_at")
FILLED = {"created_at": "2023-01-01", "role": "developer"}


@cache
def market() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Make a market so sparse that half of both sides have no events after the cutoff."""
    return rows(people=900, startups=900, events=4500)


def checked(users: pd.DataFrame, startups: pd.DataFrame, events: pd.DataFrame) -> str:
    snapshot = Snapshot.from_frames(users, startups, events, AS_OF, SETTINGS.recorded())
    bundles: dict[str, Bundle] = {
        name: fit(name, snapshot, SETTINGS, CUT_US) for name in ("catalogue_v1", "popularity_v1", "activity_v1")
    }
    return check_missing(snapshot, SETTINGS, CUT_US, bundles)


COLUMNS = [
    (place, name)
    for place, schema in enumerate((USERS, STARTUPS))
    for name in schema.names
    if name not in (*UNREAD, *HIDES)
]


def test_every_column_is_looked_at() -> None:
    """Each column of the snapshot is checked, or listed as one that no model reads."""
    snapshot = Snapshot.from_frames(*market(), AS_OF, SETTINGS.recorded())
    lesson = TrainingData(snapshot, SETTINGS, CUT_US)
    looked_at = {name for who in (lesson.users, lesson.startups) for name in blanks(lesson, who)}
    assert {*USERS.names, *STARTUPS.names} - {*UNREAD} == looked_at - {"views"}


def test_honest_rows_pass() -> None:
    assert "do not reveal later interactions" in checked(*market())


@pytest.mark.parametrize("blank_where_met", [True, False])
@pytest.mark.parametrize(("place", "column"), COLUMNS)
def test_a_column_written_because_of_later_events_is_found(place: int, column: str, blank_where_met: bool) -> None:
    tables = [table.copy() for table in market()]
    table, key = tables[place], ("user_id", "startup_id")[place]
    later = set(tables[2][tables[2].occurred_at >= CUT][key])
    blank = table[key].isin(later) == blank_where_met
    filled = table[column] if column in table and column != "role" else FILLED.get(column, "something")
    if column == "founder_id":
        filled = tables[0].user_id.iloc[0]
    table[column] = np.where(blank, "", filled)
    with pytest.raises(LeakFound, match=rf"column {column} of {'startups' if place else 'users'} is blank because"):
        checked(*tables)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_blanks_by_chance_and_blanks_of_the_unpopular_pass(share: float) -> None:
    """Earlier facts explain it: startups with more earlier events fill their profiles more often."""
    users, startups, events = (table.copy() for table in market())
    rng = np.random.default_rng(3)
    before = events[events.occurred_at < CUT].groupby("startup_id").size().reindex(startups.startup_id).fillna(0)
    startups["description"] = np.where(rng.random(len(startups)) < share, "", "words")
    startups["tags"] = np.where(before.to_numpy() > rng.poisson(2, len(startups)), "words", "")
    startups["created_at"] = np.where(before.to_numpy() > 0, startups.created_at, "")
    checked(users, startups, events)


def test_a_counter_that_counts_only_where_it_was_written_before_the_cut_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The old rule: use the platform's counter if written before the instant, else view events."""
    users, startups, events = market()
    startups, events = folded(startups, events, AS_OF)
    checked(users, startups, events)

    def counter(self: Snapshot, viewed: np.ndarray, instant: int) -> np.ndarray:
        mine = startups.set_index("startup_id").loc[self.startup_ids.ids.tolist()]
        written = np.array([microseconds(parse_instant(t)) for t in mine.updated_at])
        return np.where(written < instant, mine.views.astype(int).to_numpy(), viewed)

    monkeypatch.setattr(Snapshot, "_counter", counter)
    with pytest.raises(LeakFound, match=r"column views of startups is blank because of later events"):
        checked(users, startups, events)
    assert Snapshot.from_frames(users, startups, events, AS_OF).entities(Entity.STARTUP).views.any()
