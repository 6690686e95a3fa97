"""Erase people from Airflow's metadata, and delete old metadata and logs.

The metadata hold the parameter of `erase_person` and text that users typed. Airflow's API cannot change the audit
log, so this module opens the database at MATCHBOOK_AIRFLOW_DATABASE_URL. It searches every text, JSON and binary
column of every table, so it also works with later Airflow versions.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    LargeBinary,
    MetaData,
    Table,
    Text,
    cast,
    create_engine,
    delete,
    event,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import BYTEA
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.types import JSON, String

from models.errors import ServiceError
from models.settings.settings import Settings
from pipelines.erased import Person

_ENDED = ("success", "failed")
_SQLITE = "PRAGMA foreign_keys=ON; PRAGMA secure_delete=ON"  # deleted content is overwritten in the file


def scrub_metadata(settings: Settings, person: Person) -> int:
    """Replace the id by its mark everywhere. Return the number of changed cells and deleted runs.

    Does nothing if Airflow's database is unknown.
    """
    changed = 0
    with _opened(settings) as (connection, tables):
        changed += _delete_runs(connection, tables, person)
        for table, column in _columns(tables):
            if not (column.primary_key or column.foreign_keys):
                changed += _scrub(connection, table, column, person)
    return changed


def metadata_with(settings: Settings, person: Person) -> list[str]:
    """Return every `table.column` of Airflow's metadata that holds the id."""
    with _opened(settings) as (connection, tables):
        return [
            f"{table.name}.{column.name}"
            for table, column in _columns(tables)
            if connection.scalar(select(func.count()).select_from(table).where(_holds(column, person)))
        ]


@contextmanager
def _opened(settings: Settings) -> Iterator[tuple[Connection, list[Table]]]:
    url = settings.airflow_sqlalchemy_url
    if not url:
        yield _nothing(), []
        return
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", lambda raw, _: raw.executescript(_SQLITE))
    try:
        with engine.begin() as connection:
            tables = MetaData()
            tables.reflect(connection, resolve_fks=False)
            yield connection, list(tables.tables.values())
    except SQLAlchemyError as error:
        said = str(error.orig if isinstance(error, DBAPIError) else error).strip().splitlines()[0]
        raise ServiceError(
            f"Airflow's metadata database refused or does not answer: {said}; check that "
            "MATCHBOOK_AIRFLOW_DATABASE_URL names it, with a user who may change it"
        ) from None
    finally:
        engine.dispose()


def _nothing() -> Any:
    return None


def _columns(tables: list[Table]) -> Iterator[tuple[Table, Column[Any]]]:
    for table in tables:
        for column in table.columns:
            if isinstance(column.type, (String, JSON, LargeBinary)):
                yield table, column


def _holds(column: Column[Any], person: Person) -> ColumnElement[bool]:
    """Return the condition that a cell holds the id. (?i) ignores case in both dialects."""
    if not isinstance(column.type, LargeBinary):
        return cast(column, Text).regexp_match(f"(?i){person.spelt.pattern}")
    digits = func.encode(column, "hex") if isinstance(column.type, BYTEA) else func.lower(func.hex(column))
    return or_(*(digits.contains(form.hex()) for form in person.forms))


def _scrub(connection: Connection, table: Table, column: Column[Any], person: Person) -> int:
    keys = list(table.primary_key.columns)
    binary = isinstance(column.type, LargeBinary)
    read = column if binary else cast(column, Text)
    found = connection.execute(select(*keys, read.label("_content")).where(_holds(column, person))).all()
    for *key, content in found:
        here = [k == v for k, v in zip(keys, key, strict=True)] or [_holds(column, person)]
        new = _blanked(bytes(content), person) if binary else _text(column, person.hidden(content), connection)
        connection.execute(update(table).where(*here).values({column.name: new}))
    return len(found)


def _text(column: Column[Any], content: str, connection: Connection) -> ColumnElement[Any]:
    given = literal(content, Text)
    return given if connection.dialect.name == "sqlite" else cast(given, column.type)


def _blanked(content: bytes, person: Person) -> bytes:
    """Overwrite the id with dashes of equal length, because other bytes may hold offsets."""
    for form in person.forms:
        content = content.replace(form, b"-" * len(form))
    return content


def _delete_runs(connection: Connection, tables: list[Table], person: Person) -> int:
    """Delete finished runs named after the id, with dependent rows. Run names are keys and cannot be changed."""
    runs = [t for t in tables if t.name == "dag_run"]
    return sum(
        connection.execute(delete(t).where(_holds(t.c.run_id, person), t.c.state.in_(_ENDED))).rowcount for t in runs
    )


log = logging.getLogger(__name__)
#: Maximum size of a log in bytes. The older half of a larger log is dropped.
LOG_MOST = 64 << 20
_BLOCKED = "airflow-db-not-allowed"
_TOLD = 2000  # characters of Airflow's output


def clean_airflow(settings: Settings, now: datetime | None = None) -> dict[str, Any]:
    """Delete rows and task logs older than [airflow] keep_days, and shorten long logs.

    Returns {rows: whether `airflow db clean` ran, logs, cut}. Raises ServiceError with Airflow's output.
    """
    now, days = now or datetime.now(UTC), settings.airflow.keep_days
    if settings.airflow_database_url:
        _clean(settings, now - timedelta(days=days), "--error-on-cleanup-failure")
    else:
        log.warning("Airflow's metadata is not cleaned and grows: set MATCHBOOK_AIRFLOW_DATABASE_URL to its database")
    gone = _drop_old(settings.airflow_log_folder, (now - timedelta(days=days)).timestamp())
    return {"rows": bool(settings.airflow_database_url), "logs": gone, "cut": cut_logs(settings.home / "logs")}


def cut_logs(folder: Path, most: int = LOG_MOST) -> int:
    """Drop the older half of every log beyond `most` bytes, in place. Return the number of shortened logs.

    Lines written during the cut may be lost.
    """
    long = [p for p in sorted(folder.glob("*.log")) if p.is_file() and p.stat().st_size > most]
    for path in long:
        with path.open("r+b") as file:
            file.seek(-most // 2, os.SEEK_END)
            file.readline()  # skip to the start of a line
            rest = file.read()
            file.seek(0)
            file.truncate()
            file.write(rest)
    return len(long)


def _clean(settings: Settings, before: datetime, *words: str) -> None:
    """Run `airflow db clean` on the metadata. Airflow hides that address from its tasks."""
    given = {k: v for k, v in os.environ.items() if not v.startswith(_BLOCKED)}
    env = given | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": settings.airflow_sqlalchemy_url}
    command = [
        str(Path(sys.executable).with_name("airflow")),
        "db",
        "clean",
        "--yes",
        "--skip-archive",
        "--clean-before-timestamp",
        before.astimezone(UTC).isoformat(),
        *words,
    ]
    done = subprocess.run(command, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise ServiceError(f"`airflow db clean` failed: {(done.stdout + done.stderr)[-_TOLD:]}")


def _drop_old(folder: Path, before: float) -> int:
    gone = 0
    for path in sorted(folder.rglob("*"), reverse=True):  # files before their folders
        try:
            if path.lstat().st_mtime >= before:
                continue
            if path.is_dir() and not path.is_symlink():
                if not any(path.iterdir()):
                    path.rmdir()
            else:
                path.unlink()
                gone += 1
        except FileNotFoundError:  # deleted by another process
            continue
    return gone
