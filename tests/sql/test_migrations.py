"""Migrate: a second run does nothing, two parallel runs act as one, other tables never change."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, inspect, text

import sql
import tests.databases as databases
from models.errors import ContractError
from models.settings.settings import Settings
from pipelines import postgres
from pipelines.export.checks import check_contract

OWN = {name for name, _ in sql.scripts("migrations")}
PLATFORM = {name for name, _ in sql.scripts("platform")}


@pytest.fixture
def empty(settings: Settings) -> Iterator[Settings]:
    """Yield a database without any tables."""
    name = settings.database_url.reveal().rpartition("/")[2] + "_empty"
    yield databases.create(settings, name, "template0")
    databases.drop(settings, name)


def tables(db: Engine) -> set[str]:
    return set(inspect(db).get_table_names())


def test_an_empty_database_gets_everything_once(empty: Settings) -> None:
    db = postgres.engine(empty)
    assert set(postgres.migrate(db)) == OWN | PLATFORM
    check_contract(db)
    assert postgres.migrate(db) == []


def test_two_at_once_migrate_once(empty: Settings) -> None:
    db = postgres.engine(empty)
    with ThreadPoolExecutor(3) as pool:
        applied = [name for names in pool.map(lambda _: postgres.migrate(db), range(3)) for name in names]
    assert sorted(applied) == sorted(OWN | PLATFORM)


@pytest.mark.parametrize(
    "theirs",
    [
        "CREATE TABLE users (login text)",
        "CREATE VIEW matchbook_startups AS SELECT 1 AS startup_id",
        "CREATE TABLE user_interactions (who int)",
    ],
)
def test_a_platform_of_its_own_is_left_alone(empty: Settings, theirs: str) -> None:
    db = postgres.engine(empty)
    with postgres.transaction(db) as connection:
        connection.execute(text(theirs))
    before = tables(db)
    assert set(postgres.migrate(db)) == OWN
    assert {t for t in tables(db) - before if not t.startswith("matchbook_")} == set()


def test_every_broken_promise_is_named_at_once(settings: Settings) -> None:
    db = postgres.engine(settings)
    with postgres.transaction(db) as connection:
        connection.execute(text("DROP VIEW matchbook_startups"))
        connection.execute(text("DROP VIEW matchbook_users"))
        connection.execute(
            text(
                "CREATE VIEW matchbook_users AS SELECT id::text AS user_id, role::varchar(9), updated_at, name, "
                "headline, created_at AT TIME ZONE 'UTC' AS created_at, skills, interests, opted_out_at FROM users"
            )
        )
    with pytest.raises(ContractError) as broken:
        check_contract(db)
    said = str(broken.value)
    assert "matchbook_users.user_id: expected uuid, found text" in said
    assert "matchbook_users.created_at: expected timestamp with time zone, found timestamp without time zone" in said
    assert "matchbook_users.location: expected text, found no such column" in said
    assert "matchbook_startups: expected a view with startup_id" in said
    assert "role" not in said.replace("user_id, role", "")
    assert "matchbook_interactions" not in said and "docs/guides/your-data.md" in said
