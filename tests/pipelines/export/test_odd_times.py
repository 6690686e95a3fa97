"""Export impossible times from a real PostgreSQL: count and reject the row, or read a blank."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pyarrow.parquet as pq
import pytest

from models.errors import EmptySnapshot, SettingsError
from models.schema import Entity
from models.settings.environment import Instant
from models.settings.settings import Settings
from pipelines.cli import first_build as marketplace
from pipelines.export.export import export_snapshot
from pipelines.export.snapshot import Snapshot
from pipelines.export.view_readings import interaction_count
from pipelines.ingest.ingest import import_folder
from pipelines.postgres import engine, newest_event, rows
from pipelines.refresh.changes import arrivals
from pipelines.run.run import Run, just_after, passed
from pipelines.run_build import default_cutoff
from serving.clients.postgres import Database
from tests.databases import execute
from tests.marketplace.tiny import AFTER_ALL, identity, write_tiny_marketplace

#: PostgreSQL's text of times BC, in the year 1, of an unset clock, in the future.
PAST = (
    "-infinity",
    "4713-01-01 BC",
    "0001-01-01",
    "0001-01-01T00:00:00.000001+00",
    "1601-01-01",
    "1899-12-30",
    "1970-01-01",
)
AHEAD = ("2099-01-01", "9999-12-31T23:59:59.999999+00", "20000-01-01", "294276-12-31", "infinity")
WHO, WHAT = identity("user", 23), identity("startup", 3)


@pytest.fixture
def market(settings: Settings, tmp_path: Path) -> Settings:
    import_folder(settings, write_tiny_marketplace(tmp_path / "data"))
    return settings.layered({"rejected_share": 0.5}, "given")


def add(settings: Settings, *at: str) -> None:
    for instant in at:
        execute(
            settings,
            "INSERT INTO user_interactions VALUES (:u, :s, 'like', CAST(:at AS timestamptz))",
            u=WHO,
            s=WHAT,
            at=instant,
        )


def test_the_newest_plausible_event_decides_the_cutoff(market: Settings) -> None:
    before = default_cutoff(market)
    add(market, *PAST, *AHEAD)
    assert before == AFTER_ALL == default_cutoff(market) == marketplace.cutoff(marketplace.newest(market))
    assert newest_event(market) == AFTER_ALL - timedelta(seconds=1)
    now = datetime.now(UTC)
    add(market, now.isoformat())
    assert now <= default_cutoff(market) <= datetime.now(UTC), "a second after what happened just now has not come"


def test_no_cutoff_is_after_now() -> None:
    now = datetime.now(UTC)
    assert just_after(now + timedelta(days=400)) <= datetime.now(UTC) and passed(AFTER_ALL) == AFTER_ALL
    assert passed(now + timedelta(hours=5)) <= datetime.now(UTC)
    with pytest.raises(SettingsError, match="lies in the future"):
        passed(now + timedelta(days=2))


def test_where_only_impossible_events_are_there_are_none(settings: Settings) -> None:
    add(settings, *PAST, *AHEAD)
    with pytest.raises(EmptySnapshot, match="expected at least one interaction, found none"):
        default_cutoff(settings)


def test_odd_events_are_rejected_and_counted_and_all_counts_agree(market: Settings) -> None:
    database = engine(market)
    clean = interaction_count(database, Entity.USER, UUID(WHO), AFTER_ALL)
    chance = random.Random(4)
    odd = [f"{chance.randrange(1, 1989):04d}-{chance.randrange(1, 13):02d}-11" for _ in range(25)]
    add(market, *PAST, *AHEAD, *odd)
    run = Run.start(market, "r", AFTER_ALL)
    snapshot = Snapshot.open(run.artifacts.root / "snapshots" / export_snapshot(run))
    reasons = dict(snapshot.manifest["rejected"])
    assert reasons == {"no time": 1, "before 1990-01-01": len(PAST) - 1 + len(odd)}
    row = int(snapshot.user_ids.rows_of([WHO])[0])
    assert int(snapshot.interactions().counts()[row]) == clean
    assert interaction_count(database, Entity.USER, UUID(WHO), AFTER_ALL) == clean
    live = Database(market).owner(Entity.USER, WHO, AFTER_ALL)
    assert live is not None and live.count(Entity.USER) == clean
    there = Database(market).owner(Entity.STARTUP, WHAT, AFTER_ALL)
    assert there is not None and there.count(Entity.STARTUP) == int(
        snapshot.entities(Entity.STARTUP).count[int(snapshot.startup_ids.rows_of([WHAT])[0])]
    )


@pytest.mark.parametrize("at", [*PAST, *AHEAD])
def test_odd_births_edits_opt_outs_and_withdrawals(at: str, market: Settings) -> None:
    execute(
        market,
        "UPDATE users SET created_at = CAST(:at AS timestamptz), updated_at = CAST(:at AS timestamptz), "
        "opted_out_at = CAST(:at AS timestamptz) WHERE id = :id",
        at=at,
        id=WHO,
    )
    execute(
        market,
        "UPDATE startups SET created_at = CAST(:at AS timestamptz), updated_at = CAST(:at AS timestamptz), "
        "withdrawn_at = CAST(:at AS timestamptz) WHERE id = :id",
        at=at,
        id=WHAT,
    )
    run = Run.start(market, "r", AFTER_ALL)
    path = run.artifacts.root / "snapshots" / export_snapshot(run)
    snapshot, past = Snapshot.open(path), at in PAST
    for entity, ids, one, gone in (
        (Entity.USER, snapshot.user_ids, WHO, "opted_out"),
        (Entity.STARTUP, snapshot.startup_ids, WHAT, "listed"),
    ):
        entities, row = snapshot.entities(entity), int(ids.rows_of([one])[0])
        assert bool(getattr(entities, gone)[row]) is (past if gone == "opted_out" else not past)
        assert bool(entities.created_at[row] < 0) is past, "blank"
    told = pq.read_table(path / "rejected.parquet").to_pylist()
    assert len(told) == (4 if past else 0) and all("taken as blank" in row["reason"] for row in told)
    everybody = snapshot.entities(Entity.USER)
    known = replace(
        everybody,
        **{
            f: getattr(everybody, f)[:0]
            for f in ("role", "listed", "opted_out", "founder", "created_at", "views", "interactions", "count")
        },
        ids=type(everybody.ids).from_ids([]),
        facets={f: c[:0] for f, c in everybody.facets.items()},
    )
    new = {a.id: a for a in arrivals(market, known, [WHO], AFTER_ALL, AFTER_ALL)}
    assert new[WHO].gone is past and (new[WHO].created_us < 0) is past
    assert rows(engine(market), "since/newest_arrival", earliest=market.earliest_at, as_of=datetime.now(UTC))


def test_the_window_is_a_setting(market: Settings) -> None:
    add(market, "1985-06-01")
    run = Run.start(market.layered({"earliest": Instant("1980-01-01")}, "given"), "r", AFTER_ALL)
    snapshot = Snapshot.open(run.artifacts.root / "snapshots" / export_snapshot(run))
    assert snapshot.manifest["rejected"] == {} and snapshot.manifest["oldest_event"].startswith("1985")
    for wrong in ("soon", "1990-13-01", "0001-01-01T00:00:00+14:00"):
        with pytest.raises(SettingsError, match="MATCHBOOK_EARLIEST must be Instant"):
            Settings.from_env({"MATCHBOOK_EARLIEST": wrong})
