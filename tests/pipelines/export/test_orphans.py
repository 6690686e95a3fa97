"""Count rows about unknown users and startups separately. They stop no build; broken rows still do."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow.parquet as pq
import pytest

from models.errors import DataError
from models.settings.settings import Settings
from pipelines.export.export import export_snapshot
from pipelines.export.snapshot import Snapshot
from pipelines.run.run import Run, parse_instant
from tests.databases import execute

USER, STARTUP = "md5('u' || {})::uuid", "md5('s' || {})::uuid"
POST = """INSERT INTO matchbook_events SELECT 'e' || n, {user}, {startup}, '{kind}',
           timestamptz '2024-01-02+00' + n * interval '1 second' FROM generate_series(1, {many}) n"""


@pytest.fixture
def market(settings: Settings) -> Settings:
    """Insert 40 people, 20 startups and 400 events."""
    execute(
        settings,
        f"INSERT INTO users (id, role) SELECT {USER.format('n')}, 'developer' FROM generate_series(1, 40) n",
        f"INSERT INTO startups (id) SELECT {STARTUP.format('n')} FROM generate_series(1, 20) n",
        f"""INSERT INTO user_interactions SELECT {USER.format("1 + n % 40")}, {STARTUP.format("1 + n % 20")},
                'like', timestamptz '2024-01-01+00' + n * interval '1 second' FROM generate_series(1, 400) n""",
    )
    return settings


def exported(settings: Settings, run_id: str = "r") -> Snapshot:
    run = Run.start(settings, run_id, parse_instant("2024-03-01"))
    return Snapshot.open(settings.artifacts / "snapshots" / export_snapshot(run, fresh=True))


def posted(user: str, startup: str, many: int = 1000, kind: str = "like") -> str:
    return POST.format(user=user, startup=startup, many=many, kind=kind)


SOURCES: dict[str, tuple[Callable[[], list[str]], dict[str, int]]] = {
    "posted, the person unknown": (
        lambda: [posted(USER.format("n + 90"), STARTUP.format(1))],
        {"platform": 0, "posted": 1000},
    ),
    "posted, the startup unknown": (
        lambda: [posted(USER.format(1), STARTUP.format("n + 90"))],
        {"platform": 0, "posted": 1000},
    ),
    "posted, both unknown": (
        lambda: [posted(USER.format("n + 90"), STARTUP.format("n + 90"), 20_000)],
        {"platform": 0, "posted": 20_000},
    ),
    "people deleted by the platform": (
        lambda: [f"DELETE FROM users WHERE id IN (SELECT {USER.format('n')} FROM generate_series(1, 20) n)"],
        {"platform": 200, "posted": 0},
    ),
    "startups deleted by the platform": (
        lambda: [f"DELETE FROM startups WHERE id IN (SELECT {STARTUP.format('n')} FROM generate_series(1, 10) n)"],
        {"platform": 200, "posted": 0},
    ),
    "both, at once": (
        lambda: [
            posted(USER.format("n + 90"), STARTUP.format(1)),
            f"DELETE FROM users WHERE id IN (SELECT {USER.format('n')} FROM generate_series(1, 4) n)",
        ],
        {"platform": 40, "posted": 1000},
    ),
}


@pytest.mark.parametrize("source", SOURCES)
def test_a_build_continues_and_reports_the_owners_of_the_rows(market: Settings, source: str) -> None:
    statements, orphans = SOURCES[source]
    execute(market, *statements())
    snapshot = exported(market)
    assert snapshot.manifest["orphans"] == orphans
    aside = pq.read_table(market.artifacts / "snapshots" / snapshot.name / "rejected.parquet")
    assert len(aside) == snapshot.manifest["counts"]["rejected"] == sum(orphans.values())
    assert set(aside["reason"].to_pylist()) <= {"unknown user", "unknown startup"}
    assert snapshot.manifest["counts"]["interactions"] == 400 - orphans["platform"]


def test_really_broken_rows_stop_it_as_ever_and_orphans_do_not_hide_them(market: Settings) -> None:
    execute(
        market,
        posted(USER.format("n + 90"), STARTUP.format(1), 20_000),
        f"""INSERT INTO user_interactions SELECT {USER.format("n")}, {STARTUP.format("1")}, 'poke',
                timestamptz '2024-01-01+00' FROM generate_series(1, 22) n""",
    )
    with pytest.raises(
        DataError,
        match=r"at most 5\.0% of the rows of matchbook_interactions.*got 22 of 422 "
        r"\(22 unknown type; the first: \S+ \S+ poke",
    ):
        exported(market)
    execute(market, f"DELETE FROM user_interactions WHERE interaction_type = 'poke' AND user_id <> {USER.format('1')}")
    assert exported(market, "second").manifest["rejected"]["unknown type"] == 1


def test_a_view_that_joins_the_wrong_table_is_reported_at_the_first_build(market: Settings) -> None:
    execute(
        market,
        f"""CREATE OR REPLACE VIEW matchbook_interactions AS
        SELECT CASE WHEN user_id = {USER.format("1")} THEN user_id ELSE md5('x' || user_id)::uuid END AS user_id,
               startup_id, interaction_type, created_at AS occurred_at FROM user_interactions""",
    )
    with pytest.raises(DataError, match=r"390 of 400 rows of matchbook_interactions are about people or startups"):
        exported(market)
    assert exported(market.layered({"orphan_share": 1.0}, "given"), "second").manifest["orphans"]["platform"] == 390


def test_dismissals_end_at_the_cutoff_and_are_not_training_data(market: Settings) -> None:
    execute(
        market,
        posted(USER.format(1), STARTUP.format(2), 3, "dismiss"),
        posted(USER.format("n + 90"), STARTUP.format(1), 5, "dismiss").replace("'e'", "'f'"),
        f"INSERT INTO matchbook_events VALUES ('l', {USER.format(1)}, {STARTUP.format(3)}, 'dismiss', '2024-03-01+00')",
    )
    snapshot = exported(market)
    gone = snapshot.interactions().dismissed
    assert len(gone.at) == snapshot.manifest["counts"]["dismissals"] == 1
    assert len(snapshot.interactions()) == 400 and snapshot.manifest["orphans"] == {"platform": 0, "posted": 0}
    barred = snapshot.interactions().barred(views_are_seen=True)
    assert barred[int(gone.owner[0]), int(gone.item[0])] and barred.nnz == snapshot.interactions().pairs().nnz + 1
    assert snapshot.interactions().transposed().barred(True)[int(gone.item[0]), int(gone.owner[0])]
    assert not len(snapshot.interactions().before(int(gone.at[0])).dismissed.at)
