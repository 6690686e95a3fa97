"""Make databases for one test on the session's server, and run SQL."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any

import psycopg2
from sqlalchemy import text

from models.settings.environment import Secret
from models.settings.settings import Settings
from pipelines.postgres import engine, transaction

Rows = list[tuple[Any, ...]]


def on(settings: Settings, name: str) -> Settings:
    """Return the settings of another database on the same server."""
    return replace(settings, database_url=Secret(f"{settings.database_url.reveal().rpartition('/')[0]}/{name}"))


def create(settings: Settings, name: str, template: str = "template1") -> Settings:
    """Make a database as a copy of a template without connections. Return its settings."""
    at_once(on(settings, "postgres"), f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    return on(settings, name)


def drop(settings: Settings, name: str) -> None:
    at_once(on(settings, "postgres"), f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def execute(settings: Settings, *statements: str, **values: object) -> Rows:
    """Run statements in one transaction, with `:name` for a value. Return the rows of the last one."""
    with transaction(engine(settings)) as connection:
        done = [connection.execute(text(statement), values) for statement in statements][-1]
        return [tuple(row) for row in done] if done.returns_rows else []


def at_once(settings: Settings, statement: str, *values: object) -> Rows:
    """Run one statement outside a transaction, on a new connection, with `%s` for a value."""
    with closing(psycopg2.connect(settings.database_url.reveal())) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []
