"""SQL agrees with `models/schema.py`: each field and event type is in each query, under its own name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

import sql
import tests.databases as databases
from models.schema import (
    INTERACTION_TYPES,
    STARTUPS,
    TABLE_OF,
    TABLES,
    Entity,
    EventType,
    Facet,
    Field,
    FieldType,
    Table,
    topic,
)
from models.settings.settings import Settings
from pipelines.postgres import engine, transaction
from tests.paths import ROOT

AS_OF = datetime(2024, 1, 1, tzinfo=UTC)
#: By query: its side, and whether it must return the whole snapshot or only what models read.
QUERIES = {
    "users": (Entity.USER, True),
    "startups": (Entity.STARTUP, True),
    "owner/user": (Entity.USER, False),
    "owner/startup": (Entity.STARTUP, False),
    "since/users": (Entity.USER, False),
    "since/startups": (Entity.STARTUP, False),
}
ID = {entity: UUID(int=1 + i) for i, entity in enumerate(Entity)}
_COLUMNS = (
    "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute "
    "WHERE attrelid = to_regclass(:name) AND attnum > 0 AND NOT attisdropped"
)


def wanted(table: Table, whole: bool) -> list[str]:
    return [f.name for f in table.fields if (f.snapshot is not None if whole else f.tokens or f.facet)]


def lacking(settings: Settings, tables: Mapping[Entity, Table]) -> Iterator[str]:
    """Yield one sentence for each column of people and startups that a query lacks."""
    for name, (entity, whole) in QUERIES.items():
        given = set(row_of(settings, name, entity))
        for column in wanted(tables[entity], whole):
            if column not in given:
                yield f"sql/queries/{name}.sql gives no {column}, a field of {tables[entity].view} in models/schema.py"


def missing(settings: Settings, table: Table) -> Iterator[str]:
    """Yield the columns that the platform's own table and view lack."""
    for relation, named in ((table.stored, "column"), (table.view, "name")):
        there: dict[str, str] = dict(databases.execute(settings, _COLUMNS, name=relation))
        for field in table.fields:
            column = getattr(field, named)
            if there.get(column, "") not in field.type.accepted:
                yield (
                    f"{relation}.{column} is {there.get(column, 'not there')}, models/schema.py declares "
                    f"{field.type.sql}; add a file to sql/platform that makes it so"
                )


def row_of(settings: Settings, query: str, entity: Entity) -> dict[str, Any]:
    """Return the first row of a query about one entity, by column. Blank values if there is none."""
    asked = {"as_of": AS_OF, "owner": ID[entity], "ids": [ID[entity]], "earliest": datetime(1990, 1, 1, tzinfo=UTC)}
    with transaction(engine(settings)) as connection:
        found = connection.execute(
            text(statement := sql.load(query)),
            {p: v for p, v in asked.items() if re.search(rf"(?<!:):{p}\b", statement)},
        )
        names, first = list(found.keys()), found.first()
    return dict(zip(names, first or [None] * len(names), strict=True))


def values(table: Table, entity: Entity) -> dict[str, Any]:
    """Return a different value for each field."""
    found: dict[str, Any] = {}
    for place, field in enumerate(table.fields):
        found[field.name] = {
            FieldType.ID: UUID(int=100 + place),
            FieldType.COUNT: place,
            FieldType.PAST: AS_OF - timedelta(days=1 + place),
            FieldType.INSTANT: AS_OF - timedelta(days=1 + place),
        }.get(field.type, f"{table.name} {field.name}")
    return found | {table.fields[0].name: ID[entity]}


def filled(settings: Settings) -> dict[Entity, dict[str, Any]]:
    """Insert one row into both tables. Return its values by field."""
    told = {}
    for entity, table in TABLE_OF.items():
        told[entity] = values(table, entity)
        columns = ", ".join(f.column for f in table.fields)
        places = ", ".join(f":{f.name}" for f in table.fields)
        databases.execute(settings, f"INSERT INTO {table.stored} ({columns}) VALUES ({places})", **told[entity])
    return told


def test_every_field_comes_out_of_every_query(settings: Settings) -> None:
    assert not list(lacking(settings, TABLE_OF))


@pytest.mark.parametrize("table", TABLES, ids=[t.name for t in TABLES])
def test_the_platform_has_every_field(table: Table, settings: Settings) -> None:
    assert not list(missing(settings, table))


def test_what_lacks_is_named_with_its_file(settings: Settings) -> None:
    field = Field("flag", FieldType.TEXT, "", tokens=topic("flag"), facet=Facet(15, "flag"))
    more = Table(STARTUPS.view, STARTUPS.name, STARTUPS.stored, (*STARTUPS.fields, field))
    assert list(lacking(settings, {**TABLE_OF, Entity.STARTUP: more})) == [
        f"sql/queries/{name}.sql gives no flag, a field of matchbook_startups in models/schema.py"
        for name, (entity, _) in QUERIES.items()
        if entity is Entity.STARTUP
    ]
    assert [found.partition(" is ")[0] for found in missing(settings, more)] == [
        "startups.flag",
        "matchbook_startups.flag",
    ]


@pytest.mark.parametrize("name", QUERIES)
def test_every_column_holds_its_own_field(name: str, settings: Settings) -> None:
    """Different values everywhere reveal an alias that returns another field."""
    entity, _ = QUERIES[name]
    told, found = filled(settings)[entity], row_of(settings, name, entity)
    assert found.pop("id", ID[entity]) == ID[entity]
    assert found.pop("gone", True) is True and found.pop("opted_out", True) is True
    wrong = [column for column, value in found.items() if told.get(column) != value]
    assert not wrong, f"sql/queries/{name}.sql gives other values than those of {', '.join(wrong)}"


@pytest.mark.parametrize("entity", Entity)
def test_every_column_of_a_view_holds_its_own_field(entity: Entity, settings: Settings) -> None:
    table, told = TABLE_OF[entity], filled(settings)[entity]
    (row,) = databases.execute(settings, f"SELECT {', '.join(table.names)} FROM {table.view}")
    wrong = [n for n, value in zip(table.names, row, strict=True) if value != told[n]]
    assert not wrong, f"the view {table.view} of sql/platform gives other values than those of {', '.join(wrong)}"


def test_the_view_gives_what_was_posted_of_every_type_with_a_weight(settings: Settings) -> None:
    for event_type in EventType:
        databases.execute(
            settings,
            "INSERT INTO matchbook_events VALUES (:id, :user, :startup, :type, :at)",
            id=event_type.value,
            user=ID[Entity.USER],
            startup=ID[Entity.STARTUP],
            type=event_type.value,
            at=AS_OF - timedelta(days=1 + event_type.code),
        )
    given = databases.execute(settings, "SELECT * FROM matchbook_interactions ORDER BY occurred_at DESC")
    declared = [
        (ID[Entity.USER], ID[Entity.STARTUP], t.value, AS_OF - timedelta(days=1 + t.code)) for t in INTERACTION_TYPES
    ]
    assert given == declared, (
        f"of what was posted matchbook_interactions gives {', '.join(row[2] for row in given)}, models/schema.py "
        f"declares {', '.join(INTERACTION_TYPES)}; add a file to sql/platform that replaces the view"
    )


def test_the_example_for_integrators_names_every_type_with_a_weight() -> None:
    page = (ROOT / "docs/guides/your-data.md").read_text()
    (listed,) = re.findall(r"e\.type IN \(([^)]*)\)", page)
    assert re.findall(r"'(\w+)'", listed) == [t.value for t in INTERACTION_TYPES], (
        "docs/guides/your-data.md: the view's list of types"
    )


def test_the_page_of_the_api_names_every_type() -> None:
    (row,) = re.findall(r"^\| `type` \|(.*)$", (ROOT / "docs/reference/api.md").read_text(), re.MULTILINE)
    assert [t for t in EventType if f"`{t}`" not in row] == [], "docs/reference/api.md: what `type` of an event may be"
