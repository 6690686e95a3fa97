"""Read the platform's view counter: every export stores few readings, an erasure removes them (R05)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from sqlalchemy import Engine, text

from models.data.bundle import sha256_of
from models.schema import INTERACTION_TYPES, Entity
from models.settings.settings import Settings
from pipelines.erase.files import rewrite_snapshots
from pipelines.erase.servers import erase_rows, person_of
from pipelines.export.export import export_snapshot
from pipelines.export.layout import READINGS, STARTUPS, USERS
from pipelines.export.snapshot import Snapshot, digest_of
from pipelines.export.view_readings import GONE_DAYS, MOST, interaction_count, keep_readings, store_counts
from pipelines.postgres import engine, rows, transaction
from pipelines.run.run import Run, parse_instant
from tests.databases import execute

ANA, ACME, BOLT, CORE = (f"00000000-0000-4000-8000-00000000000{n}" for n in (1, 5, 6, 7))
AS_OF = parse_instant("2024-03-01")


def kept(settings: Settings) -> list[tuple[str, int]]:
    with transaction(engine(settings)) as connection:
        rows = connection.execute(text("SELECT startup_id, views FROM matchbook_view_readings ORDER BY 1, read_at"))
        return [(str(row.startup_id), row.views) for row in rows]


def older(settings: Settings, hours: int = 24) -> None:
    execute(settings, f"UPDATE matchbook_view_readings SET read_at = read_at - interval '{hours} hours'")


@pytest.fixture
def market(settings: Settings) -> Settings:
    execute(
        settings,
        f"INSERT INTO users (id, role) VALUES ('{ANA}', 'developer')",
        f"INSERT INTO startups (id, views) VALUES ('{ACME}', 100), ('{BOLT}', 0), ('{CORE}', NULL)",
        f"""INSERT INTO user_interactions (user_id, startup_id, interaction_type, created_at)
            SELECT '{ANA}', '{ACME}', 'view', timestamptz '2024-01-01+00' + n * interval '1 day'
            FROM generate_series(0, 49) AS n""",
    )
    return settings


def exported(settings: Settings, run_id: str, fresh: bool = False) -> Snapshot:
    run = Run.start(settings, run_id, AS_OF)
    return Snapshot.open(settings.artifacts / "snapshots" / export_snapshot(run, fresh))


def test_an_export_reads_every_counter_that_moved_by_a_tenth_once_a_day(market: Settings) -> None:
    exported(market, "r")
    assert kept(market) == [(ACME, 100), (BOLT, 0)]
    execute(market, "UPDATE startups SET views = views + 5000")
    exported(market, "r")  # the snapshot exists, but the counter is still read
    assert kept(market) == [(ACME, 100), (BOLT, 0)]  # read less than a day ago
    older(market)
    execute(
        market,
        f"UPDATE startups SET views = 109 WHERE id = '{ACME}'",
        f"UPDATE startups SET views = 1 WHERE id = '{BOLT}'",
        f"UPDATE startups SET views = 3 WHERE id = '{CORE}'",
    )
    assert keep_readings(engine(market)) == 2
    assert kept(market) == [(ACME, 100), (BOLT, 0), (BOLT, 1), (CORE, 3)]
    older(market)
    execute(
        market,
        f"UPDATE startups SET views = 9223372036854775807 WHERE id = '{ACME}'",
        f"UPDATE startups SET views = -1 WHERE id = '{CORE}'",
    )
    assert keep_readings(engine(market)) == 1
    assert kept(market)[1] == (ACME, 9223372036854775807)


def test_readings_are_bounded(market: Settings) -> None:
    """After many changes a counter is not read again. Its first readings stay."""
    execute(
        market,
        f"""INSERT INTO matchbook_view_readings
        SELECT '{ACME}', timestamptz '2023-01-01+00' + n * interval '1 day', n FROM generate_series(1, {MOST}) AS n""",
    )
    assert keep_readings(engine(market)) == 1  # the reading of Bolt
    assert [views for id, views in kept(market) if id == ACME] == list(range(1, MOST + 1))


def test_readings_of_a_deleted_startup_are_removed_in_the_end(market: Settings) -> None:
    keep_readings(engine(market))
    execute(market, f"DELETE FROM startups WHERE id = '{BOLT}'")
    older(market, 24 * GONE_DAYS - 1)
    keep_readings(engine(market))
    assert BOLT in dict(kept(market))
    older(market, 2)
    keep_readings(engine(market))
    assert {id for id, _ in kept(market)} == {ACME}


def test_a_snapshot_holds_what_was_read_before_its_cutoff(market: Settings) -> None:
    execute(
        market,
        f"""INSERT INTO matchbook_view_readings VALUES
        ('{BOLT}', '2024-02-29 23:59:59.999999+00', 8), ('{ACME}', '2024-01-20+00', 40),
        ('{ACME}', '2024-01-02+00', 30), ('{ACME}', '2024-03-01+00', 99), ('{ANA}', '2024-01-01+00', 5)""",
    )
    snapshot = exported(market, "r")
    assert snapshot.readings["views"].to_pylist() == [30, 40, 8]
    assert snapshot.manifest["views"] == {"from": "readings", "since": "2024-01-02T00:00:00+00:00", "readings": 3}
    assert snapshot.entities(Entity.STARTUP).views.tolist() == [40, 8, 0]
    again = exported(market, "second", fresh=True)  # this adds readings of now
    assert (again.name, again.manifest["digest"]) == (snapshot.name, snapshot.manifest["digest"])


def test_readings_that_began_too_late_leave_the_counter_out(market: Settings) -> None:
    execute(market, f"INSERT INTO matchbook_view_readings VALUES ('{ACME}', '2024-02-10+00', 30)")
    snapshot = exported(market, "r")
    assert snapshot.manifest["views"] == {"from": "events", "since": "2024-02-10T00:00:00+00:00", "readings": 1}
    assert snapshot.entities(Entity.STARTUP).views.tolist() == [50, 0, 0]


def test_an_erased_startup_leaves_no_reading_and_is_read_no_more(market: Settings) -> None:
    execute(
        market,
        f"""INSERT INTO matchbook_view_readings VALUES
        ('{ACME}', '2024-01-02+00', 30), ('{BOLT}', '2024-01-03+00', 8)""",
    )
    before = exported(market, "r")
    person = person_of(market, ACME)
    assert erase_rows(market, person)["view_readings"] >= 1
    keep_readings(engine(market))
    assert {id for id, _ in kept(market)} == {BOLT}
    run = Run.start(market, "erasing", AS_OF)
    (successor,) = rewrite_snapshots(run.artifacts, person).values()
    after = Snapshot.open(market.artifacts / successor)
    assert len(before.readings) == 2 and after.readings["views"].to_pylist() == [8]
    assert after.readings["startup"].to_pylist() == [1]  # row numbers stay
    assert after.manifest["views"] == {**before.manifest["views"], "readings": 1}


def test_a_snapshot_of_format_1_still_opens(market: Settings) -> None:
    """It has the counter of the export and no readings: view events count."""
    path = market.artifacts / "snapshots" / exported(market, "r").name
    startups = pq.read_table(path / "startups.parquet")
    pq.write_table(
        startups.append_column("views", pa.array([1000] * len(startups), pa.int64())), path / "startups.parquet"
    )
    for later in ("readings.parquet", "dismissals.parquet"):
        (path / later).unlink()
    manifest = json.loads((path / "manifest.json").read_text())
    del manifest["views"], manifest["sha256"]["readings.parquet"], manifest["sha256"]["dismissals.parquet"]
    manifest |= {"format": 1}
    manifest["sha256"]["startups.parquet"] = sha256_of(path / "startups.parquet")
    (path / "manifest.json").write_text(json.dumps({**manifest, "digest": digest_of(manifest)}))
    old = Snapshot.open(path)
    assert old.readings.equals(READINGS.empty_table())
    assert old.entities(Entity.STARTUP).views.tolist() == [50, 0, 0]
    person = person_of(market, ACME)
    (successor,) = rewrite_snapshots(Run.start(market, "erasing", AS_OF).artifacts, person).values()
    assert Snapshot.open(market.artifacts / successor).manifest["format"] == 1


def test_a_field_that_a_format_lacks_is_blank(market: Settings) -> None:
    """New columns of a later format are blank, in their places of the layout."""
    path = market.artifacts / "snapshots" / exported(market, "r").name
    manifest = json.loads((path / "manifest.json").read_text())
    for file, lacks in (("users", ["location", "opted_out_at"]), ("startups", ["category", "withdrawn_at"])):
        pq.write_table(pq.read_table(path / f"{file}.parquet").drop_columns(lacks), path / f"{file}.parquet")
        manifest["sha256"][f"{file}.parquet"] = sha256_of(path / f"{file}.parquet")
    (path / "manifest.json").write_text(json.dumps({**manifest, "digest": digest_of(manifest)}))
    old = Snapshot.open(path)
    assert old.users.schema == USERS and old.startups.schema == STARTUPS
    assert set(old.users["location"].to_pylist()) == {""} and old.startups["withdrawn_at"].null_count == len(
        old.startups
    )
    assert (old.entities(Entity.STARTUP).facets["category"] == -1).all()


BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
USER_IDS, STARTUP_IDS = [UUID(int=n) for n in range(1, 5)], [UUID(int=n) for n in range(11, 15)]
Event = tuple[UUID, UUID, str, datetime]
Counts = dict[Entity, tuple[list[str], NDArray[np.int64]]]


def events() -> list[Event]:
    """Make random events of few people at few instants: many repeat, some have an unknown type."""
    random = np.random.default_rng(3)
    kinds = [*(t.value for t in INTERACTION_TYPES), "share"]
    drawn = zip(*(random.integers(0, n, 300).tolist() for n in (4, 4, len(kinds), 12)), strict=True)
    return [(USER_IDS[u], STARTUP_IDS[s], kinds[k], BEGIN + timedelta(hours=h)) for u, s, k, h in drawn]


def scanned(known: list[Event], entity: Entity, id: UUID, as_of: datetime) -> int:
    mine = {e for e in known if e[3] < as_of and e[2] != "share" and e[entity is Entity.STARTUP] == id}
    return len(mine) if entity is Entity.USER else len({e[0] for e in mine})


def counted(known: list[Event], entity: Entity, as_of: datetime) -> Counts:
    ids = USER_IDS if entity is Entity.USER else STARTUP_IDS
    return {entity: ([str(id) for id in ids], np.array([scanned(known, entity, id, as_of) for id in ids]))}


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
        # some reach Matchbook first, then some of those the platform
        connection.execute(text("INSERT INTO matchbook_events SELECT n, u, s, k, t, t FROM e WHERE n % 5 = 0"))
        connection.execute(text("INSERT INTO user_interactions SELECT u, s, k, t FROM e WHERE n % 5 > 0 OR n % 2 = 1"))
    return database


def test_a_count_is_that_of_a_full_scan_wherever_the_stored_cutoff_lies(db: Engine) -> None:
    known = events()
    for stored in (None, 0, 5, 11, 99):
        if stored is not None:
            cutoff = BEGIN + timedelta(hours=stored)
            assert store_counts(
                db, cutoff, counted(known, Entity.USER, cutoff) | counted(known, Entity.STARTUP, cutoff)
            )
        for hour in (0, 3, 5, 6, 11, 12, 99):
            as_of = BEGIN + timedelta(hours=hour)
            for entity, ids in ((Entity.USER, USER_IDS), (Entity.STARTUP, STARTUP_IDS)):
                assert [interaction_count(db, entity, id, as_of) for id in ids] == [
                    scanned(known, entity, id, as_of) for id in ids
                ], (stored, entity, hour)
        assert interaction_count(db, Entity.USER, UUID(int=99), as_of) == 0


def test_an_older_cutoff_does_not_replace_a_newer_one(db: Engine) -> None:
    new, old = BEGIN + timedelta(hours=9), BEGIN + timedelta(hours=2)
    assert store_counts(db, new, counted(events(), Entity.USER, new))
    assert not store_counts(db, old, counted(events(), Entity.USER, old))
    assert store_counts(db, new, counted(events(), Entity.USER, new))  # again without a change
    assert interaction_count(db, Entity.USER, USER_IDS[0], new) == scanned(events(), Entity.USER, USER_IDS[0], new)


def test_the_types_that_count_are_those_of_the_view(db: Engine) -> None:
    with transaction(db) as connection:
        view = connection.scalar(text("SELECT pg_get_viewdef('matchbook_interactions')"))
    assert all(f"'{kind}'::text" in view for kind in INTERACTION_TYPES) and view.count("::text") == len(
        INTERACTION_TYPES
    )
    found = rows(db, "interactions", as_of=BEGIN + timedelta(hours=99))
    assert {r.interaction_type for r in found} >= set(INTERACTION_TYPES)
