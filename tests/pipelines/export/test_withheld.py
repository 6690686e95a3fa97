"""Withhold text from a snapshot if a later interaction caused it, and report it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import text

from models.catalogue.catalogue import CATALOGUE, entities_of
from models.schema import Entity
from models.settings.settings import Settings
from pipelines.export.export import export_snapshot
from pipelines.export.snapshot import Snapshot
from pipelines.ingest.ingest import import_folder
from pipelines.postgres import engine
from pipelines.refresh.changes import arrivals
from pipelines.run.run import Run, parse_instant
from pipelines.train.train import fit
from tests.pipelines.train.market import AS_OF, rows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a market where descriptions appear when a startup gets an event in the last fifth.

    Headlines are blank at random, tags are blank for unpopular startups.
    """
    users, startups, events = rows(people=300, startups=900, events=4500)
    events = events.sort_values("occurred_at")
    late = events.iloc[int(len(events) * 0.8) :]
    met = events.iloc[: int(len(events) * 0.8)].groupby("startup_id").size().reindex(startups.startup_id).fillna(0)
    startups["description"] = np.where(startups.startup_id.isin(late.startup_id), "zeppelins", "")
    startups["tags"] = np.where(met.to_numpy() > np.arange(len(startups)) % 4, "airships", "")
    users["headline"] = np.where(users.index % 3, "building", "")
    for name, table in (("users", users), ("startups", startups), ("interactions", events)):
        pd.DataFrame(table).to_csv(tmp_path / f"{name}.csv", index=False)
    return tmp_path


def test_a_column_that_leaks_the_future_is_left_out(
    settings: Settings, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import_folder(settings, folder)
    run = Run.start(settings, "r", parse_instant(AS_OF))
    stored = [export_snapshot(run, fresh) for fresh in (False, True)]
    assert stored[0] == stored[1]
    assert "the column description of startups is left out of this build" in caplog.text
    snapshot = Snapshot.open(settings.artifacts / "snapshots" / stored[0])
    assert list(snapshot.manifest["withheld"]["startups"]) == ["description"]
    assert snapshot.manifest["withheld"]["users"] == {}
    assert "blank rows had later events" in snapshot.manifest["withheld"]["startups"]["description"]
    words = snapshot.profiles(Entity.STARTUP)
    assert set(words["description"]) == {""} and {"airships", ""} == set(words["tags"])
    assert set(snapshot.profiles(Entity.USER)["headline"]) == {"building", ""}
    startups = entities_of(fit(CATALOGUE, snapshot, settings))[Entity.STARTUP]
    assert startups.known_fields({"description": "zeppelins", "tags": "airships"}) == {"tags": "airships"}
    with engine(settings).begin() as connection:
        connection.execute(
            text("INSERT INTO startups (id, description, tags) VALUES (:id, 'zeppelins', 'airships')"),
            {"id": "00000000-0000-4000-8000-0000000000aa"},
        )
    (came,) = arrivals(settings, startups, [], run.as_of, run.as_of)
    assert "airships" in came.text and "zeppelins" not in came.text  # a refresh reads like the build
