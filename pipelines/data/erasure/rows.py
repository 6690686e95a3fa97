"""PostgreSQL's part: the tombstone that keeps exports and the reader from knowing a person again, and our own rows."""

from __future__ import annotations

from sqlalchemy import text

import sql
from models.settings import Settings
from pipelines.data.erasure.person import Person, normal_id
from pipelines.postgres import engine, transaction

_FOLDER = "erasure"
_DELETES = "delete_"


def person_of(settings: Settings, given: str) -> Person:
    """The person of an id, whether anybody knows it or not. Raises DataError where it is no id."""
    known = normal_id(given)
    with transaction(engine(settings)) as connection:
        return Person(known, str(connection.scalar(text(sql.load("mark", _FOLDER)), {"id": known})))


def erase_rows(settings: Settings, person: Person) -> dict[str, int]:
    """Set the tombstone and delete what is ours, in one transaction; returns how many rows of what."""
    scripts = [name.rpartition("/")[2].removesuffix(".sql") for name, _ in sql.scripts(_FOLDER)]
    with transaction(engine(settings)) as connection:
        connection.execute(text(sql.load("tombstone", _FOLDER)), {"id": person.id})
        named = {"id": person.id, "spelt": person.spelt.pattern}
        return {
            name.removeprefix(_DELETES): connection.execute(text(sql.load(name, _FOLDER)), named).rowcount
            for name in scripts
            if name.startswith(_DELETES)
        }


def rows_with(settings: Settings, person: Person) -> list[str]:
    """Our own tables that still hold the id, in whatever column and spelling."""
    with transaction(engine(settings)) as connection:
        tables = [str(name) for name in connection.scalars(text(sql.load("tables", _FOLDER)))]
        holding = "SELECT EXISTS (SELECT 1 FROM {} AS r WHERE CAST(r AS text) ~* :spelt)"
        return [
            table for table in tables if connection.scalar(text(holding.format(table)), {"spelt": person.spelt.pattern})
        ]


def stands_on_platform(settings: Settings, person: Person) -> bool:
    """Whether the platform's own tables still name the person."""
    with transaction(engine(settings)) as connection:
        return bool(connection.scalar(text(sql.load("standing", _FOLDER)), {"id": person.id}))
