"""Erase a user's dismissals from stored snapshots, on both sides. Those of others stay."""

from __future__ import annotations

import uuid

import pytest
from sqlalchemy import text

from models.settings.settings import Settings
from pipelines.erase.files import rewrite_snapshots
from pipelines.erase.servers import erase_rows, person_of
from pipelines.export.export import export_snapshot
from pipelines.export.snapshot import Snapshot
from pipelines.postgres import engine, transaction
from pipelines.run.run import Run, parse_instant
from pipelines.store.artifacts import Artifacts

ANA, BEN, ACME, BOLT = (str(uuid.UUID(int=n)) for n in (1, 2, 3, 4))


@pytest.mark.parametrize("gone", [ANA, ACME])
def test_dismissals_of_erased_users_are_gone(settings: Settings, gone: str) -> None:
    with transaction(engine(settings)) as connection:
        for statement in (
            f"INSERT INTO users (id, role) VALUES ('{ANA}', 'developer'), ('{BEN}', 'developer')",
            f"INSERT INTO startups (id) VALUES ('{ACME}'), ('{BOLT}')",
            f"INSERT INTO user_interactions VALUES ('{ANA}', '{BOLT}', 'view', '2024-01-01+00'), "
            f"('{BEN}', '{BOLT}', 'view', '2024-01-01+00')",
            f"INSERT INTO matchbook_events VALUES ('a', '{ANA}', '{ACME}', 'dismiss', '2024-01-02+00'), "
            f"('b', '{BEN}', '{BOLT}', 'dismiss', '2024-01-02+00')",
        ):
            connection.execute(text(statement))
    run = Run.start(settings, "r", parse_instant("2024-03-01"))
    name = export_snapshot(run)
    assert len(Snapshot.open(settings.artifacts / "snapshots" / name).dismissals) == 2
    person = person_of(settings, gone)
    erase_rows(settings, person)
    ((_, successor),) = rewrite_snapshots(Artifacts(settings), person).items()
    snapshot = Snapshot.open(settings.artifacts / successor)
    left = snapshot.interactions().dismissed
    assert (left.owner.tolist(), left.item.tolist()) == ([1], [1]) and snapshot.manifest["counts"]["dismissals"] == 1
    again = Run.start(settings, "again", parse_instant("2024-03-01"), fresh=True)
    fresh = export_snapshot(again, fresh=True)
    assert len(Snapshot.open(settings.artifacts / "snapshots" / fresh).dismissals) == 1
