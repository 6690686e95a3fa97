"""Stop a build before training if half of the rows of an earlier snapshot are missing."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from models.errors import SnapshotShrunk
from models.settings.settings import Settings
from pipelines.erase.erase import erase
from pipelines.export.export import export_snapshot
from pipelines.export.shrinkage import missing_rows
from pipelines.export.snapshot import Snapshot
from pipelines.ingest.ingest import import_folder
from pipelines.run.run import Run, read_decisions
from tests.databases import execute
from tests.marketplace.tiny import AFTER_ALL, identity, write_tiny_marketplace
from tests.pipelines.train.market import market, rows

NIGHT = timedelta(days=1)


@pytest.fixture
def platform(settings: Settings, tmp_path: Path) -> Settings:
    """Load the tiny marketplace and store the snapshot of the previous build."""
    import_folder(settings, write_tiny_marketplace(tmp_path / "data"))
    export_snapshot(Run.start(settings, "last-night", AFTER_ALL))
    return settings


def tonight(settings: Settings, force: bool = False) -> str:
    return export_snapshot(Run.start(settings, "tonight", AFTER_ALL + NIGHT), force=force)


def stored(settings: Settings) -> list[str]:
    return sorted(p.name for p in (settings.artifacts / "snapshots").iterdir())


def test_half_of_the_rows_missing_stops_it_and_nothing_is_stored_until_they_are_back(platform: Settings) -> None:
    before = stored(platform)
    execute(platform, "CREATE TABLE lost AS SELECT * FROM user_interactions WHERE ctid::text ~ '[02468].$'")
    execute(platform, "DELETE FROM user_interactions WHERE ctid::text ~ '[02468].$'")
    for _ in range(2):  # a retry stops too: the smaller snapshot is not the reference
        with pytest.raises(SnapshotShrunk, match=r"of \d+ interactions \(\d\d%\).*are gone.*`force`"):
            tonight(platform)
        assert stored(platform) == before
    assert [(d["what"], d["verdict"]) for d in read_decisions(platform)] == [("snapshot", "stop")] * 2
    execute(platform, "INSERT INTO user_interactions SELECT * FROM lost")
    assert len({*before, tonight(platform)}) == 2


def test_people_who_vanished_stop_it_and_force_goes_on(platform: Settings) -> None:
    gone_ids = ", ".join(f"'{identity('user', n)}'" for n in range(20, 36))
    execute(platform, f"DELETE FROM user_interactions WHERE user_id IN ({gone_ids})")
    execute(platform, f"DELETE FROM users WHERE id IN ({gone_ids})")
    with pytest.raises(SnapshotShrunk, match=r"16 of 36 users \(44%\)"):
        tonight(platform)
    assert tonight(platform, force=True) in stored(platform)
    assert read_decisions(platform)[0]["forced"] is True
    later = Run.start(platform, "next-night", AFTER_ALL + 2 * NIGHT)
    assert export_snapshot(later) in stored(platform)  # the accepted snapshot is the new reference


def test_who_was_erased_is_not_missed_nor_a_few_rows(platform: Settings) -> None:
    erase(platform, identity("user", 35))
    execute(platform, f"DELETE FROM user_interactions WHERE user_id = '{identity('user', 6)}'")
    strict = platform.layered({"gate_shrunk": 0.0}, "given")  # user 6 has nine rows
    assert tonight(strict) in stored(platform)


def test_an_older_day_is_not_held_against_a_newer_one(platform: Settings) -> None:
    execute(platform, "DELETE FROM user_interactions")
    execute(
        platform,
        f"""INSERT INTO user_interactions (user_id, startup_id, interaction_type, created_at)
                         VALUES ('{identity("user", 6)}', '{identity("startup", 0)}', 'like', '2024-01-05+00')""",
    )
    assert export_snapshot(Run.start(platform, "backfilled", AFTER_ALL - 90 * NIGHT)) in stored(platform)


def test_what_came_since_is_missing_in_neither() -> None:
    users, startups, events = rows()
    fewer = market()
    assert {t: g.gone for t, g in missing_rows(fewer, fewer).items()} == {"users": 0, "startups": 0, "interactions": 0}
    theirs = events[events.user_id.isin(users.user_id.iloc[3:])]
    later = Snapshot.from_frames(users.iloc[3:], startups, theirs, "2024-03-05")
    found = missing_rows(fewer, later)
    of_three = int(events.user_id.isin(users.user_id.iloc[:3]).sum())
    assert (found["users"].gone, found["interactions"].gone) == (3, of_three)
    assert missing_rows(later, fewer)["interactions"].gone == 0


def test_an_event_is_missed_among_changed_and_added_ones() -> None:
    users, startups, events = rows()
    old = Snapshot.from_frames(users, startups, events, "2024-03-05")
    for lost in (1, 5):
        changed = events.copy()
        changed.loc[changed.index[:lost], "occurred_at"] = "2024-01-01T00:00:01Z"  # as many events as before
        late = events.iloc[[0]].assign(occurred_at="2024-01-01T00:00:02Z")  # another user has one more
        late["user_id"] = events.user_id.iloc[-1]
        new = Snapshot.from_frames(users, startups, pd.concat([changed, late]), "2024-03-05")
        assert missing_rows(old, new)["interactions"].gone == lost
