"""Export any small marketplace at any instant: columns agree with a count row by row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from models.data.entities import UNKNOWN_TIME
from models.schema import INTERACTION_TYPES, Entity, EventType
from pipelines.export.checks import Parts
from pipelines.export.snapshot import Snapshot

USERS = [f"0000000{i}-0000-4000-8000-000000000000" for i in range(4)]
STARTUPS = [f"a000000{i}-0000-4000-8000-000000000000" for i in range(4)]
START = datetime(2024, 1, 1, tzinfo=UTC)
AS_OF = 12

#: Hours since START. Border cases have the time of another instant.
hours = st.integers(0, 15)
perhaps = st.none() | hours
events_of = st.lists(
    st.tuples(st.sampled_from(USERS), st.sampled_from(STARTUPS), st.sampled_from(INTERACTION_TYPES), hours),
    max_size=30,
)
people = st.lists(st.tuples(perhaps, perhaps, perhaps), min_size=4, max_size=4)


def iso(hour: int | None) -> str:
    return "" if hour is None else (START + timedelta(hours=hour)).isoformat()


def us(hour: int) -> int:
    return int((START + timedelta(hours=hour)).timestamp()) * 1_000_000


def snapshot_of(events: list[Any], users: list[Any], startups: list[Any]) -> Snapshot:
    user_rows = [(i, iso(born), iso(left)) for i, (born, left, _) in zip(USERS, users, strict=True)]
    startup_rows = [(i, iso(born), iso(gone)) for i, (born, gone, _) in zip(STARTUPS, startups, strict=True)]
    read = [(i, iso(at), 7) for i, (_, _, at) in zip(STARTUPS, startups, strict=True) if at is not None]
    return Snapshot.from_frames(
        pd.DataFrame(user_rows, columns=["user_id", "created_at", "opted_out_at"]),
        pd.DataFrame(startup_rows, columns=["startup_id", "created_at", "withdrawn_at"]),
        pd.DataFrame(
            [(u, s, kind.value, iso(hour)) for u, s, kind, hour in events],
            columns=["user_id", "startup_id", "interaction_type", "occurred_at"],
        ),
        iso(AS_OF),
        readings=pd.DataFrame(read, columns=["startup_id", "read_at", "views"]),
    )


@settings(max_examples=60, deadline=None)
@given(events_of, people, people, st.integers(0, AS_OF))
def test_every_column_at_every_instant(events: list[Any], users: list[Any], startups: list[Any], instant: int) -> None:
    snapshot = snapshot_of(events, users, startups)
    distinct = {e for e in events if e[3] < AS_OF}
    before = {e for e in distinct if e[3] < instant}
    for entity, place, ids, facts in ((Entity.USER, 0, USERS, users), (Entity.STARTUP, 1, STARTUPS, startups)):
        table = snapshot.entities(entity, us(instant))
        there = [
            i
            for i, f in zip(ids, facts, strict=True)
            if f[0] is None or f[0] < AS_OF or any(e[place] == i for e in distinct)
        ]
        assert table.ids.ids.tolist() == there
        for row, one in enumerate(there):
            born, left, read = facts[ids.index(one)]
            mine = [e for e in before if e[place] == one]
            gone = left is not None and left < instant
            assert table.count[row] == (len(mine) if entity is Entity.USER else len({e[0] for e in mine}))
            views = sum(e[2] is EventType.VIEW for e in mine)
            assert table.interactions[row] == len(mine) - views
            counted = entity is Entity.STARTUP and read is not None and read < instant
            counted &= snapshot.views_from == "readings"
            assert table.views[row] == (7 if counted else views)
            assert table.listed[row] == ((born is None or born < instant or bool(mine)) and not gone)
            assert table.opted_out[row] == (entity is Entity.USER and gone)
            assert table.created_at[row] == (UNKNOWN_TIME if born is None else us(born))


@settings(max_examples=60, deadline=None)
@given(events_of, st.randoms())
def test_the_order_of_arrival_does_not_matter(events: list[Any], random: Any) -> None:
    nobody = [(None, None, None)] * 4
    shuffled = random.sample(events, len(events)) + events[:1]
    first, second = snapshot_of(events, nobody, nobody), snapshot_of(shuffled, nobody, nobody)
    assert first.events.equals(second.events)


def test_parts_keep_every_event_whatever_the_number_of_users(tmp_path: Any) -> None:
    draw = np.random.default_rng(5)
    for users in (1, 63, 64, 65, 1000):
        rows = [draw.integers(0, top, 3000) for top in (users, 9, 7, 50)]
        user, startup, kind, at = (
            r.astype(t) for r, t in zip(rows, (np.int32, np.int32, np.int8, np.int64), strict=True)
        )
        parts = Parts(tmp_path / str(users), users, 9)
        for piece in np.array_split(np.arange(3000), 7):
            parts.add(user[piece], startup[piece], kind[piece], at[piece])
        kept, again = zip(*parts.in_order(), strict=True)
        found = [
            tuple(int(v) for v in row)
            for part in kept
            for row in zip(part.user, part.startup, part.at, part.kind, strict=True)
        ]
        assert found == sorted({(int(u), int(s), int(a), int(k)) for u, s, k, a in zip(*rows, strict=True)})
        assert len(found) + sum(len(part.at) for part in again) == 3000
        assert not list((tmp_path / str(users)).iterdir())
        assert np.array_equal(np.flatnonzero(parts.met_users), np.unique(user))
