"""Export from a real PostgreSQL: a marketplace by hand, broken rows, cutoffs, repeats, kills."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Connection, text

from models.errors import ContractError, DataError, EmptySnapshot
from models.schema import Entity
from models.settings.environment import Instant
from models.settings.settings import Settings
from pipelines.export import layout
from pipelines.export.copy_rows import copy_events
from pipelines.export.export import export_snapshot
from pipelines.export.snapshot import Snapshot
from pipelines.postgres import engine, transaction
from pipelines.run.run import Run, parse_instant
from tests.databases import execute
from tests.paths import GOLDEN

ANA, BEN, CY = (f"0000000{i}-0000-4000-8000-000000000000" for i in "123")
ACME, BOLT = (f"a000000{i}-0000-4000-8000-000000000000" for i in "12")
STRAY = "ffffffff-0000-4000-8000-000000000000"
AS_OF = parse_instant("2024-03-01T00:00:00Z")


@pytest.fixture
def market(settings: Settings) -> Settings:
    """Three users, two startups, six events before the cutoff, one at it, one after it."""
    execute(
        settings,
        f"""INSERT INTO users (id, role, created_at, location, headline, opted_out_at) VALUES
            ('{ANA}', 'developer', NULL, 'Bern, CH', 'two' || chr(10) || 'lines, "quoted"', '2024-02-10+00'),
            ('{BEN}', 'investor', '2024-01-01+00', NULL, '', '2024-03-01+00'),
            ('{CY}', 'investor', '2024-06-01+00', NULL, NULL, NULL)""",
        f"""INSERT INTO startups (id, name, category, created_at, founder_id, views, updated_at) VALUES
            ('{ACME}', 'Acme', 'air', '2023-01-01 00:00:00.000001+00', '{BEN}', 50, NULL),
            ('{BOLT}', 'Bolt', '', '2024-03-01+00', '{CY}', 90, '2024-02-25+00')""",
        f"""INSERT INTO user_interactions (user_id, startup_id, interaction_type, created_at) VALUES
            ('{BEN}', '{BOLT}', 'like', '2024-02-29 23:59:59.999999+00'), ('{ANA}', '{ACME}', 'view', '2024-01-01+00'),
            ('{ANA}', '{ACME}', 'click', '2024-01-01+00'), ('{BEN}', '{ACME}', 'dislike', '1999-12-31 23:00:00+00'),
            ('{BEN}', '{ACME}', 'apply', '1969-07-20 20:17:40+00'),
            ('{ANA}', '{BOLT}', 'favorite', '2024-02-02 02:02:02+00'),
            ('{BEN}', '{ACME}', 'interest', '2024-03-01+00'), ('{CY}', '{ACME}', 'view', '2024-07-01+00')""",
    )
    return settings.layered({"earliest": Instant("1960-01-01")}, "given")


def exported(settings: Settings, run_id: str = "r", as_of: str = "2024-03-01", fresh: bool = False) -> Snapshot:
    run = Run.start(settings, run_id, parse_instant(as_of))
    return Snapshot.open(settings.artifacts / "snapshots" / export_snapshot(run, fresh))


def test_a_marketplace_worked_out_by_hand(market: Settings) -> None:
    snapshot = exported(market)
    events = snapshot.interactions()
    assert events.owners.ids.tolist() == [ANA, BEN]  # Cy is created and acts later
    assert events.items.ids.tolist() == [ACME, BOLT]  # Bolt is created at the cutoff but has earlier events
    assert list(zip(events.owner.tolist(), events.item.tolist(), events.kind.tolist(), strict=True)) == [
        (0, 0, 0), (0, 0, 1), (0, 1, 4), (1, 0, 5), (1, 0, 3), (1, 1, 2)]  # fmt: skip
    assert events.at[3] == -(365 * 86_400 - 200 * 86_400 - 73_060) * 1_000_000  # the 201st day of 1969
    startups = snapshot.entities(Entity.STARTUP)
    assert startups.views.tolist() == [1, 0]
    assert startups.count.tolist() == [2, 2]
    assert startups.founder.tolist() == [1, -1]
    assert startups.created_at[0] % 1_000_000 == 1
    users = snapshot.entities(Entity.USER)
    assert users.opted_out.tolist() == [True, False]  # Ben opts out at the cutoff instant, not before it
    assert snapshot.profiles(Entity.USER)["headline"] == ['two\nlines, "quoted"', ""]
    assert users.labels["location"] == ("Bern, CH",)


def test_the_manifest_lists_the_content(market: Settings) -> None:
    manifest = dict(exported(market).manifest)
    assert manifest["counts"] == {
        "users": 2, "startups": 2, "interactions": 6, "dismissals": 0, "rejected": 0,
        "later_interactions": 2}  # fmt: skip
    assert manifest["events_per_week"] == {
        "1969-07-14": 1, "1999-12-27": 1, "2024-01-01": 2, "2024-01-29": 1, "2024-02-26": 1}  # fmt: skip
    assert (manifest["oldest_event"], manifest["newest_event"]) == (
        "1969-07-20T20:17:40+00:00", "2024-02-29T23:59:59.999999+00:00")  # fmt: skip
    assert manifest["dislike_share"] == pytest.approx(1 / 6, abs=1e-6)
    assert manifest["settings"] == market.recorded()
    assert (manifest["slug"], manifest["profiles_as_of"]) == ("20240301T000000Z", "export time")


def test_the_layout_is_the_recorded_one(market: Settings) -> None:
    snapshot = exported(market)
    folder = market.artifacts / "snapshots" / snapshot.name
    schemas = {f: {c.name: str(c.type) for c in pq.read_schema(folder / f)} for f in sorted(layout.FILES)}
    found = {"manifest": sorted(snapshot.manifest), "counts": sorted(snapshot.manifest["counts"]), "files": schemas}
    assert found == json.loads((GOLDEN / f"snapshot_{layout.FORMAT}.json").read_text())
    assert {p.stat().st_mode & 0o777 for p in folder.iterdir()} == {0o600}  # only the owner may read (L03)


def test_the_cutoff_is_exact_to_the_microsecond(market: Settings) -> None:
    assert exported(market, as_of="2024-02-29T23:59:59.999999Z").manifest["counts"]["interactions"] == 5
    assert exported(market, as_of="2024-03-01T00:00:00.000001Z").manifest["counts"]["interactions"] == 7


def test_later_rows_leave_the_digest_of_a_cutoff_alone(market: Settings) -> None:
    first = exported(market)
    execute(
        market,
        """INSERT INTO users (id, role, created_at) VALUES
            ('00000000-0000-4000-8000-000000000009', 'developer', '2024-03-02+00')""",
        f"INSERT INTO user_interactions VALUES ('{ANA}', '{ACME}', 'view', '2024-03-05+00')",
        "CREATE TABLE aside AS SELECT * FROM user_interactions ORDER BY created_at DESC, interaction_type",
        "TRUNCATE user_interactions",
        "INSERT INTO user_interactions SELECT * FROM aside",  # and the same rows in another order
    )
    again = exported(market, "second", fresh=True)
    assert again.name == first.name
    assert again.manifest["digest"] == first.manifest["digest"]


def test_a_stored_cutoff_is_reused_unless_fresh(market: Settings) -> None:
    first = exported(market)
    execute(market, f"INSERT INTO user_interactions VALUES ('{ANA}', '{ACME}', 'view', '2024-02-05+00')")
    assert exported(market, "second").name == first.name
    fresh = exported(market, "third", fresh=True)
    assert fresh.manifest["counts"]["interactions"] == 7
    assert exported(market, "fourth").name == fresh.name


def test_other_settings_are_another_snapshot(market: Settings) -> None:
    first = exported(market)
    run = Run.start(market.layered({"depth": 7}, "given"), "second", AS_OF, fresh=True)
    other = export_snapshot(run, fresh=True)
    assert other != first.name
    back = export_snapshot(Run.start(market, "third", AS_OF, fresh=True), fresh=True)
    assert back == first.name
    assert Run.start(market, "fourth", AS_OF).stored_snapshot() == market.artifacts / "snapshots" / back


BROKEN_VIEW = f"""CREATE OR REPLACE VIEW matchbook_interactions AS
    SELECT user_id, startup_id, interaction_type, created_at AS occurred_at FROM user_interactions
    UNION ALL SELECT * FROM (VALUES
        ('{ANA}'::uuid, '{ACME}'::uuid, 'poke', '2024-01-03+00'::timestamptz),
        ('{ANA}', '{ACME}', NULL, '2024-01-03+00'), ('{ANA}', '{ACME}', 'poke', '2025-01-01+00'),
        (NULL, '{ACME}', 'view', '2024-01-03+00'), ('{ANA}', NULL, 'view', '2024-01-03+00'),
        ('{ANA}', '{ACME}', 'view', NULL), ('{ANA}', '{ACME}', 'view', '-infinity'),
        ('{ANA}', '{ACME}', 'view', 'infinity'),
        ('{STRAY}', '{ACME}', 'view', '2024-01-03+00'), ('{ANA}', '{STRAY}', 'like', '2024-01-03+00'),
        ('00000000-0000-0000-0000-000000000000', '{ACME}', 'view', '2024-01-03+00'),
        ('{ANA}', '{ACME}', 'view', '2024-01-01+00'), ('{ANA}', '{ACME}', 'view', '2024-01-01 01:00+01')) AS garbage"""


def test_broken_rows_are_counted_by_reason_and_rejected_whole(market: Settings) -> None:
    execute(market, BROKEN_VIEW)
    snapshot = exported(market.layered({"rejected_share": 0.9}, "given"))
    reasons = {"unknown type": 2, "no user": 1, "no startup": 1, "no time": 2, "unknown user": 2, "unknown startup": 1,
               "duplicate": 2}  # fmt: skip
    assert snapshot.manifest["rejected"] == reasons
    assert snapshot.manifest["counts"]["interactions"] == 6
    assert snapshot.manifest["counts"]["later_interactions"] == 4  # infinity and a poke of next year among them
    rows = pq.read_table(market.artifacts / "snapshots" / snapshot.name / "rejected.parquet").to_pylist()
    assert len(rows) == sum(reasons.values())
    stray = next(r for r in rows if r["reason"] == "unknown startup")
    assert (stray["user_id"], stray["startup_id"], stray["interaction_type"]) == (ANA, STRAY, "like")
    assert stray["occurred_at"] == parse_instant("2024-01-03")
    assert {r["interaction_type"] for r in rows if r["reason"] == "unknown type"} == {"poke", ""}
    twice = [r for r in rows if r["reason"] == "duplicate"]
    view = {"user_id": ANA, "startup_id": ACME, "interaction_type": "view", "occurred_at": parse_instant("2024-01-01")}
    assert twice[0] == twice[1] == view | {"reason": "duplicate"}


def test_too_many_broken_rows_stop_the_run_in_clear_words(market: Settings) -> None:
    execute(market, BROKEN_VIEW)
    with pytest.raises(
        DataError, match=r"at most 5\.0% of the rows of matchbook_interactions.*got 8 of 14 .*2 duplicate"
    ):
        exported(market)
    assert Run.open(market, "r").stored_snapshot() is None
    assert sorted(p.name for p in (market.artifacts / "runs" / "r").iterdir()) == ["rejected.parquet", "run.json"]
    assert pq.read_metadata(market.artifacts / "runs" / "r" / "rejected.parquet").num_rows == 11


def test_users_without_or_with_a_repeated_id_are_rejected(market: Settings) -> None:
    columns = "role, created_at, updated_at, name, headline, skills, interests, location, opted_out_at"
    execute(
        market,
        f"""CREATE OR REPLACE VIEW matchbook_users AS SELECT id AS user_id, {columns} FROM users
            UNION ALL SELECT id, {columns} FROM users WHERE id = '{BEN}' UNION ALL SELECT NULL, {columns} FROM users""",
    )
    snapshot = exported(market.layered({"rejected_share": 0.9}, "given"))
    assert snapshot.manifest["rejected"] == {"no id": 2, "repeated id": 1}
    assert snapshot.user_ids.ids.tolist() == [ANA, BEN]


def test_a_broken_event_creates_no_entity(market: Settings) -> None:
    execute(market, f"INSERT INTO user_interactions VALUES ('{CY}', '{ACME}', 'poke', '2024-01-01+00')")
    assert exported(market.layered({"rejected_share": 0.9}, "given")).user_ids.ids.tolist() == [ANA, BEN]


def test_times_beyond_the_calendar_are_no_obstacle(market: Settings) -> None:
    execute(market, f"UPDATE startups SET created_at = '-infinity', withdrawn_at = '0044-03-15 BC' WHERE id = '{ACME}'",
            f"UPDATE startups SET created_at = 'infinity', withdrawn_at = 'infinity' WHERE id = '{BOLT}'")  # fmt: skip
    startups = exported(market).entities(Entity.STARTUP)
    assert startups.listed.tolist() == [False, True]


def test_no_event_before_the_cutoff_is_an_error_with_a_remedy(market: Settings) -> None:
    with pytest.raises(
        EmptySnapshot, match=r"before 1950-01-01.*; before it are 1 users, 0 st.* 8 int.* from 1969"
    ) as told:
        exported(market, as_of="1950-01-01")
    assert "choose a later cutoff" in str(told.value) and "pipelines import" not in str(told.value)


def test_an_empty_database_is_reported_with_its_remedy(settings: Settings) -> None:
    with pytest.raises(EmptySnapshot, match="0 users, 0 startups; load some with"):
        exported(settings)
    assert not list((settings.artifacts / "runs" / "r").glob("snapshot-*"))


def test_a_view_that_lost_a_column_is_named(market: Settings) -> None:
    execute(market, "DROP VIEW matchbook_users", "CREATE VIEW matchbook_users AS SELECT id AS user_id FROM users")
    with pytest.raises(ContractError, match=r"matchbook_users\.role"):
        exported(market)


def test_rows_that_arrive_while_the_export_runs_are_not_in_it(
    market: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user and their event are committed between the copy of users and the copy of events."""
    from pipelines.export import export

    def copy_events_late(connection: Connection, *given: Any) -> None:
        execute(market, f"INSERT INTO users (id, role) VALUES ('{STRAY}', 'developer')",
                f"INSERT INTO user_interactions VALUES ('{STRAY}', '{ACME}', 'view', '2024-01-09+00')")  # fmt: skip
        copy_events(connection, *given)

    monkeypatch.setattr(export, "copy_events", copy_events_late)
    during = exported(market)
    assert during.manifest["rejected"] == {}
    assert during.manifest["counts"]["users"] == 2
    monkeypatch.undo()
    assert exported(market, "second", fresh=True).manifest["counts"]["users"] == 3


def test_pieces_of_any_size_give_the_same_snapshot(market: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.export import copy_rows as copied

    first = exported(market)
    for size in (1, 61, 137):
        monkeypatch.setattr(copied, "PIECE", size)
        assert exported(market, f"piece{size}", fresh=True).name == first.name


def test_a_changed_file_is_refused(market: Settings) -> None:
    snapshot = exported(market)
    path = market.artifacts / "snapshots" / snapshot.name
    (path / "users.parquet").write_bytes((path / "users.parquet").read_bytes()[:-1])
    with pytest.raises(DataError, match=r"users\.parquet differs from its manifest"):
        Snapshot.open(path)


def test_many_events_agree_with_the_database(settings: Settings) -> None:
    execute(
        settings,
        "INSERT INTO users (id, role) SELECT md5('u' || n)::uuid, 'developer' FROM generate_series(1, 300) n",
        "INSERT INTO startups (id) SELECT md5('s' || n)::uuid FROM generate_series(1, 200) n",
        """INSERT INTO user_interactions SELECT md5('u' || (n * 7919 % 300 + 1))::uuid,
               md5('s' || (n * 104729 % 200 + 1))::uuid,
               (ARRAY['view', 'click', 'like', 'dislike', 'favorite', 'apply', 'interest'])[n % 7 + 1],
               timestamptz '2024-01-01+00' + n % 5000 * interval '17 minutes' FROM generate_series(1, 20000) n""",
    )
    snapshot = exported(settings.layered({"rejected_share": 1.0}, "given"))
    events = snapshot.interactions()
    with transaction(engine(settings)) as connection:
        wanted = connection.execute(
            text("""SELECT DISTINCT user_id, startup_id, occurred_at,
                        array_position(ARRAY['view', 'click', 'like', 'dislike', 'favorite', 'apply', 'interest'],
                                       interaction_type) - 1 AS kind
                    FROM matchbook_interactions WHERE occurred_at < :as_of ORDER BY 1, 2, 3, 4"""),
            {"as_of": AS_OF},
        ).all()
    assert events.owners.ids[events.owner].tolist() == [str(r.user_id) for r in wanted]
    assert events.items.ids[events.item].tolist() == [str(r.startup_id) for r in wanted]
    assert events.kind.tolist() == [r.kind for r in wanted]
    seconds = np.array([(r.occurred_at - AS_OF) / timedelta(microseconds=1) for r in wanted])
    assert np.array_equal(events.at - snapshot.as_of_us, seconds)


def test_an_export_that_is_killed_leaves_nothing_visible(market: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ends right before the rename, without clean-up. The next run exports normally."""
    child = os.fork()
    if child == 0:
        monkeypatch.setattr("pipelines.export.export._move", lambda *_: os._exit(9))
        exported(market)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    run = Run.open(market, "r")
    assert list(run.directory.glob("snapshot-*/users.parquet"))  # all files were written
    assert run.stored_snapshot() is None
    assert exported(market).manifest["counts"]["interactions"] == 6
