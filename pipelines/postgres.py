"""The PostgreSQL client: a pooled engine, queries by file name, COPY in both directions, migrations.

Only this module converts driver errors. ServiceError: no answer, or the server cannot do it now. ContractError: a
relation or column is missing. DataError: any other refusal.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import IO, Any, Protocol

import psycopg2
import psycopg2.extras
from psycopg2 import sql as identifiers
from sqlalchemy import Connection, Engine, Row, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

import sql
from models.errors import ContractError, DataError, ServiceError
from models.settings.settings import Settings
from sql.server import READ_ONLY, begin_with, failure_of, old_version

#: Serialises migrations of concurrent builds.
_MIGRATION_LOCK = 0x4D617463
_COPY_BYTES = 1 << 18
#: SQLSTATEs of a missing relation, column or object.
_LACKS = ("42P01", "42703", "42704")
#: SQLSTATEs, or their classes, for which a retry may succeed.
_UNABLE = ("25", "28", "40", "42501", "53", "54", "55", "57", "58", "XX")

psycopg2.extras.register_uuid()


class Readable(Protocol):
    """A source for COPY: up to `size` bytes per call, none at the end."""

    def read(self, size: int = -1, /) -> bytes: ...


def engine(settings: Settings) -> Engine:
    """Return the pooled engine of DATABASE_URL, one per URL and process. Raises ServiceError.

    It connects on first use.
    """
    if not settings.database_url:
        raise ServiceError(
            "expected a PostgreSQL, but DATABASE_URL is empty and no embedded server runs; "
            "run `make up` or a `python -m pipelines` command, or set DATABASE_URL"
        )
    return _engine(settings.sqlalchemy_url)


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Open one connection and transaction. Commit at the end, roll back on any error. Convert driver errors."""
    with _wrapped(engine), engine.begin() as connection:
        yield connection


def rows(engine: Engine, query: str, **params: Any) -> list[Row[Any]]:
    """Return all rows of `sql/queries/<query>.sql`. Use `copy_out` for whole tables."""
    with transaction(engine) as connection:
        return list(connection.execute(text(sql.load(query)), params))


def copy_out(engine: Engine, query: str, params: Mapping[str, Any], sink: IO[bytes], form: str = "csv") -> None:
    """Stream a query's result into `sink` by COPY, in constant memory.

    form: "csv" (with a header line; times in UTC, null is an empty cell without quotes) or "binary".
    """
    with transaction(engine) as connection:
        copy_answer(connection, query, params, sink, form)


def copy_answer(
    connection: Connection, query: str, params: Mapping[str, Any], sink: IO[bytes], form: str = "csv"
) -> None:
    """Do `copy_out` in the caller's transaction. The sink receives one whole row per write."""
    options = {"csv": "(FORMAT csv, HEADER true, ENCODING 'UTF8')", "binary": "(FORMAT binary)"}[form]
    copy_statement(connection, sql.load(query), params, sink, options)


def copy_statement(
    connection: Connection, statement: str, params: Mapping[str, Any], sink: IO[bytes], options: str = "(FORMAT csv)"
) -> int:
    """Stream any statement's result in the caller's transaction. Return the number of rows."""
    with _cursor(connection) as cursor:
        bound = _bound(connection, cursor, statement, params)
        cursor.copy_expert(f"COPY ({bound}) TO STDOUT WITH {options}", sink, size=_COPY_BYTES)
        return int(cursor.rowcount)


def copy_rows(connection: Connection, table: str, columns: Sequence[str], source: Readable) -> int:
    """Load CSV without a header in the caller's transaction. Return the number of rows.

    An unquoted empty cell is null.
    """
    names = identifiers.SQL(", ").join(identifiers.Identifier(c) for c in columns)
    into = identifiers.SQL("COPY {} ({}) FROM STDIN WITH (FORMAT csv)")
    statement = into.format(identifiers.Identifier(table), names)
    with _cursor(connection) as cursor:
        cursor.copy_expert(statement, source, size=_COPY_BYTES)
        return int(cursor.rowcount)


def newest_event(settings: Settings) -> datetime | None:
    """Return the time of the newest plausible event, not after now, or None without events."""
    now = datetime.now(UTC)  # noqa: TID251 a later event is an error of the platform
    found = rows(engine(settings), "events/newest", earliest=settings.earliest_at, as_of=now)[0].newest
    return found if isinstance(found, datetime) else None


def migrate(engine: Engine) -> list[str]:
    """Apply missing migrations and return their names. Raises ServiceError if the server is too old.

    Each script is one transaction, recorded in matchbook_migrations. The sample platform is created only if neither
    its tables nor a contract view exist.
    """
    with _wrapped(engine):
        return [name for name, script in _missing_scripts(engine) if _applied(engine, name, script)]


def _missing_scripts(engine: Engine) -> list[tuple[str, str]]:
    with engine.begin() as connection:
        if too_old := old_version(connection):
            raise ServiceError(too_old)
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        if not connection.scalar(
            text("SELECT to_regclass('matchbook_migrations')")
        ):  # a user without CREATE may continue
            connection.execute(
                text(
                    "CREATE TABLE matchbook_migrations (name text PRIMARY KEY, "
                    "applied_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP)"
                )
            )
        done = set(connection.scalars(text("SELECT name FROM matchbook_migrations")))
        ours = any(name.startswith("platform/") for name in done) or _has_no_platform(connection)
    scripts = sql.scripts("migrations") + (sql.scripts("platform") if ours else [])
    return [(name, script) for name, script in scripts if name not in done]


def _applied(engine: Engine, name: str, script: str) -> bool:
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        recorded = text("SELECT EXISTS (SELECT 1 FROM matchbook_migrations WHERE name = :name)")
        if connection.scalar(recorded, {"name": name}):
            return False
        run_script(connection, script)
        connection.execute(text("INSERT INTO matchbook_migrations (name) VALUES (:name)"), {"name": name})
    return True


def run_script(connection: Connection, script: str) -> None:
    """Run several statements unchanged. A % is no parameter."""
    connection.execution_options(no_parameters=True).exec_driver_sql(script)


def _has_no_platform(connection: Connection) -> bool:
    names = [prefix + name for prefix in ("", "matchbook_") for name in ("users", "startups", "interactions")]
    question = text("SELECT count(to_regclass(name)) FROM unnest(CAST(:names AS text[])) AS name")
    return not connection.scalar(question, {"names": [*names, "user_interactions"]})


@lru_cache(maxsize=16)
def _engine(url: str) -> Engine:
    made = create_engine(
        url,
        pool_pre_ping=True,
        pool_recycle=1800,
        connect_args={"connect_timeout": 10, "application_name": "matchbook"},
    )
    # COPY writes times as text, so UTC and ISO dates are set explicitly.
    begin_with(made, timezone="UTC", datestyle="ISO")
    return made


# A forked task must not use its parent's sockets.
os.register_at_fork(after_in_child=_engine.cache_clear)


@contextmanager
def _cursor(connection: Connection) -> Iterator[Any]:
    raw = connection.connection.cursor()
    try:
        yield raw
    finally:
        raw.close()


def _bound(connection: Connection, cursor: Any, statement: str, params: Mapping[str, Any]) -> str:
    """Let the driver quote the parameters into the statement, because COPY takes none."""
    compiled = text(statement).compile(dialect=connection.dialect)
    return str(cursor.mogrify(str(compiled), dict(params)).decode())


@contextmanager
def _wrapped(engine: Engine) -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, psycopg2.Error) as error:
        raise _translated(engine, error) from error


def _translated(engine: Engine, error: BaseException) -> Exception:
    failure = failure_of(error)
    where = f"{engine.url.host or 'local socket'}:{engine.url.port or 5432}/{engine.url.database}"
    if failure.code == READ_ONLY:
        engine.dispose()  # the host name may now lead to another server
    if not failure.answered:
        return ServiceError(f"PostgreSQL at {where} does not answer ({failure.said}); start it, or check DATABASE_URL")
    if failure.code in _LACKS:
        return ContractError(
            f"{where} lacks a relation or column: {failure.said}; run `python -m pipelines check`, "
            "and see docs/guides/your-data.md for the contract views"
        )
    if failure.code == "" or failure.code.startswith(_UNABLE):
        return ServiceError(f"PostgreSQL at {where} refused: {failure}")
    return DataError(f"PostgreSQL at {where} refused: {failure}")
