"""Interaction counts: stored at a cutoff or not, a count is what a full scan would say (N07, R09)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import Engine, text

from models.data.entities import UNKNOWN_TIME, Entities, IdMap
from models.schema import FACETS, INTERACTION_TYPES, Entity
from models.settings.settings import Settings
from pipelines.export.counts import interaction_count, store_counts
from pipelines.postgres import engine, rows, transaction

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
USERS, STARTUPS = [UUID(int=n) for n in range(1, 5)], [UUID(int=n) for n in range(11, 15)]
Event = tuple[UUID, UUID, str, datetime]


def events() -> list[Event]:
    """Random events of few people within few instants: many repeat, some are of an unknown type."""
    random = np.random.default_rng(3)
    kinds = [*(t.value for t in INTERACTION_TYPES), "share"]
    drawn = zip(*(random.integers(0, n, 300).tolist() for n in (4, 4, len(kinds), 12)), strict=True)
    return [(USERS[u], STARTUPS[s], kinds[k], BEGIN + timedelta(hours=h)) for u, s, k, h in drawn]


def scanned(known: list[Event], entity: Entity, id: UUID, as_of: datetime) -> int:
    mine = {e for e in known if e[3] < as_of and e[2] != "share" and e[entity is Entity.STARTUP] == id}
    return len(mine) if entity is Entity.USER else len({e[0] for e in mine})


def counted(known: list[Event], entity: Entity, as_of: datetime) -> Entities:
    ids = USERS if entity is Entity.USER else STARTUPS
    n, zeros = len(ids), np.zeros(len(ids), np.int64)
    counts = np.array([scanned(known, entity, id, as_of) for id in ids], np.int32)
    facet = zeros.astype(np.int32)
    return Entities(
        entity,
        IdMap.from_ids(map(str, ids)),
        zeros.astype(np.int8),
        zeros == 0,
        zeros > 0,
        facet,
        np.full(n, UNKNOWN_TIME),
        zeros,
        zeros,
        counts,
        dict.fromkeys(FACETS, facet),
        dict.fromkeys(FACETS, ("x",)),
    )


@pytest.fixture
def db(settings: Settings) -> Engine:
    database = engine(settings)
    with transaction(database) as connection:
        columns = [list(column) for column in zip(*events(), strict=True)]
        connection.execute(
            text(
                "CREATE TEMPORARY TABLE e ON COMMIT DROP AS SELECT * FROM unnest(CAST(:u AS uuid[]), "
                "CAST(:s AS uuid[]), :k, :t) WITH ORDINALITY AS e (u, s, k, t, n)"
            ),
            dict(zip("uskt", columns, strict=True)),
        )
        # some reach Matchbook first, some of those the platform too
        connection.execute(text("INSERT INTO matchbook_events SELECT n, u, s, k, t, t FROM e WHERE n % 5 = 0"))
        connection.execute(text("INSERT INTO user_interactions SELECT u, s, k, t FROM e WHERE n % 5 > 0 OR n % 2 = 1"))
    return database


def test_a_count_is_that_of_a_full_scan_wherever_the_stored_cutoff_lies(db: Engine) -> None:
    known = events()
    for stored in (None, 0, 5, 11, 99):
        if stored is not None:
            cutoff = BEGIN + timedelta(hours=stored)
            assert store_counts(db, cutoff, counted(known, Entity.USER, cutoff), counted(known, Entity.STARTUP, cutoff))
        for hour in (0, 3, 5, 6, 11, 12, 99):
            as_of = BEGIN + timedelta(hours=hour)
            for entity, ids in ((Entity.USER, USERS), (Entity.STARTUP, STARTUPS)):
                assert [interaction_count(db, entity, id, as_of) for id in ids] == [
                    scanned(known, entity, id, as_of) for id in ids
                ], (stored, entity, hour)
        assert interaction_count(db, Entity.USER, UUID(int=99), as_of) == 0


def test_an_older_cutoff_does_not_replace_a_newer_one(db: Engine) -> None:
    new, old = BEGIN + timedelta(hours=9), BEGIN + timedelta(hours=2)
    assert store_counts(db, new, counted(events(), Entity.USER, new))
    assert not store_counts(db, old, counted(events(), Entity.USER, old))
    assert store_counts(db, new, counted(events(), Entity.USER, new))  # again is the same
    assert interaction_count(db, Entity.USER, USERS[0], new) == scanned(events(), Entity.USER, USERS[0], new)


def test_the_types_that_count_are_those_of_the_view(db: Engine) -> None:
    with transaction(db) as connection:
        view = connection.scalar(text("SELECT pg_get_viewdef('matchbook_interactions')"))
    assert all(f"'{kind}'::text" in view for kind in INTERACTION_TYPES) and view.count("::text") == len(
        INTERACTION_TYPES
    )
    found = rows(db, "interactions", as_of=BEGIN + timedelta(hours=99))
    assert {r.interaction_type for r in found} >= set(INTERACTION_TYPES)
