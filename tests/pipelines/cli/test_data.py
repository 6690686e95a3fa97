"""Run `python -m pipelines export` on a real PostgreSQL: output, files, failures (E01-E03, P01, P02)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models.settings.settings import Settings
from pipelines.__main__ import main
from pipelines.export.snapshot import Snapshot
from pipelines.export.training_files import read_matrix
from pipelines.postgres import engine, transaction

ANA, BEN = (f"0000000{i}-0000-4000-8000-000000000000" for i in "12")
ACME, BOLT = (f"a000000{i}-0000-4000-8000-000000000000" for i in "12")


@pytest.fixture
def command(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run `export` with arguments against the test's servers. Return its exit status."""
    monkeypatch.setenv("MATCHBOOK_HOME", str(settings.home))
    monkeypatch.setenv("DATABASE_URL", settings.database_url.reveal())
    monkeypatch.setenv("REDIS_URL", settings.redis_url.reveal())
    return lambda *arguments: main(["export", *arguments])


@pytest.fixture
def market(settings: Settings) -> None:
    with transaction(engine(settings)) as connection:
        connection.exec_driver_sql(f"""
            INSERT INTO users (id, role) VALUES ('{ANA}', 'developer'), ('{BEN}', 'investor');
            INSERT INTO startups (id) VALUES ('{ACME}'), ('{BOLT}');
            INSERT INTO user_interactions VALUES ('{ANA}', '{ACME}', 'view', '2024-01-01+00'),
                ('{ANA}', '{BOLT}', 'like', '2024-01-02+00'), ('{BEN}', '{ACME}', 'apply', '2024-01-03 10:00+00')""")


@pytest.mark.usefixtures("market")
def test_without_a_date_everything_is_exported(
    command: Any, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command() == 0
    said = json.loads(capsys.readouterr().out)
    assert said["as_of"] == "2024-01-03T10:00:01+00:00"
    assert said["counts"]["interactions"] == 3
    assert said["files"]["two_tower_train.csv"] == 3
    assert Path(said["datasets"]) == settings.artifacts / "snapshots" / said["snapshot"] / "datasets"
    assert Snapshot.open(settings.artifacts / "snapshots" / said["snapshot"]).manifest["digest"] == said["digest"]


@pytest.mark.usefixtures("market")
def test_options_of_the_seeds(command: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--as-of", "2024-01-03", "--output", str(tmp_path / "sets"), "--min-interactions", "2") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["counts"]["interactions"] == 2
    matrix, users, startups = read_matrix(tmp_path / "sets")
    assert (users.ids.tolist(), startups.ids.tolist(), matrix.toarray().tolist()) == ([ANA], [ACME, BOLT], [[0.5, 2.0]])


@pytest.mark.usefixtures("market")
def test_another_minimum_leaves_the_usual_files_alone(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--min-interactions", "2") == 0
    assert Path(json.loads(capsys.readouterr().out)["datasets"]).name == "datasets-min2"


@pytest.mark.usefixtures("market")
def test_a_minimum_above_all_counts_is_an_error_with_a_remedy(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--min-interactions", "9") == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "lower --min-interactions" in said.err
    assert "Traceback" not in said.err


def test_an_empty_database_is_an_error_with_a_remedy(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert command() == 1
    assert "pipelines import" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong", [["--min-interactions", "0"], ["--min-interactions", "x"], ["--as-of", "someday"], ["extra"]]
)
def test_wrong_use_is_exit_status_2(command: Any, wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        command(*wrong)
    assert stop.value.code == 2
