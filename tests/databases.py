"""Databases of a test's own on the session's server, and SQL that a test writes itself."""

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
    """The same server, another database."""
    return replace(settings, database_url=Secret(f"{settings.database_url.reveal().rpartition('/')[0]}/{name}"))


def create(settings: Settings, name: str, template: str = "template1") -> Settings:
    """A new database, a copy of a template that nobody is connected to; gives its settings."""
    at_once(on(settings, "postgres"), f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    return on(settings, name)


def drop(settings: Settings, name: str) -> None:
    at_once(on(settings, "postgres"), f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def execute(settings: Settings, *statements: str, **values: object) -> Rows:
    """Run statements in one transaction, `:name` stands for a value; gives the rows of the last one."""
    with transaction(engine(settings)) as connection:
        done = [connection.execute(text(statement), values) for statement in statements][-1]
        return [tuple(row) for row in done] if done.returns_rows else []


def at_once(settings: Settings, statement: str, *values: object) -> Rows:
    """Run one statement outside a transaction, on a connection of its own; `%s` stands for a value."""
    with closing(psycopg2.connect(settings.database_url.reveal())) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []
