"""Every query on a real PostgreSQL does what its comment says (N07, N09, N10)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

import sql
import tests.databases as databases
from models.errors import ContractError, ServiceError
from models.settings.environment import Secret
from models.settings.settings import Settings
from pipelines.postgres import copy_out, engine, rows, transaction

USER, STARTUP = UUID(int=1), UUID(int=2)
VALUES: dict[str, Any] = {
    "as_of": datetime(2024, 1, 1, tzinfo=UTC),
    "since": datetime(2023, 1, 1, tzinfo=UTC),
    "kinds": ["view", "like"],
    "blank": UUID(int=7),
    "seed": 5,
    "held": [USER, STARTUP],
    "users": [USER],
    "startups": [STARTUP],
    "owner": USER,
    "user_id": USER,
    "startup_id": STARTUP,
    "ids": [USER, STARTUP],
    "earliest": datetime(1990, 1, 1, tzinfo=UTC),
    "word": "a",
    "words": "'a':*",
    "first": UUID(int=0),
    "last": UUID(int=9),
    "roles": ["investor"],
    "most": 5,
    "before": datetime(2024, 1, 1, tzinfo=UTC),
    "before_id": UUID(int=9),
    "before_kind": "view",
    "before_event": "e1",
    "attribution_s": 604_800,
    "same_act_s": 300,
    "week": datetime(2023, 12, 25, tzinfo=UTC),
    "built": datetime(2023, 12, 20, tzinfo=UTC),
}


_ID = "('00000000-0000-0000-0000-' || lpad(to_hex({}), 12, '0'))::uuid"
FILL = (
    f"INSERT INTO users (id, role, created_at) SELECT {_ID.format('n')}, 'developer', '2023-01-01' "
    "FROM generate_series(1, 500) AS n",
    f"INSERT INTO startups (id, created_at) SELECT {_ID.format('n')}, '2023-01-01' FROM generate_series(1, 100) AS n",
    f"INSERT INTO user_interactions SELECT {_ID.format('1 + n * 7 % 500')}, "
    f"{_ID.format('1 + n * 13 % 99')}, "
    "CASE n % 3 WHEN 0 THEN 'like' ELSE 'view' END, timestamptz '2022-06-01' + n * interval '20 minutes' "
    "FROM generate_series(1, 40000) AS n",
    f"INSERT INTO matchbook_interaction_counts SELECT 'user', {_ID.format('n')}, n FROM generate_series(1, 5000) n",
    f"INSERT INTO matchbook_interaction_counts SELECT 'startup', {_ID.format('n')}, n FROM generate_series(1, 900) n",
    "INSERT INTO matchbook_counted (as_of) VALUES ('2023-12-01')",
    "ANALYZE",
)


def parameters(name: str) -> dict[str, Any]:
    used = set(re.findall(r"(?<![:\w]):([a-z_]+)", sql.load(name)))
    return {p: VALUES[p] for p in used}


def words(listed: str) -> list[str]:
    """Return the first word of each entry of a heading, without brackets or text after a semicolon or colon."""
    plain = re.sub(r"\([^)]*\)", "", listed)
    return [part.split()[0] for part in re.split(r"[;:]", plain)[0].split(",") if part.split()]


@pytest.fixture(scope="module")
def filled(server_settings: Settings, template_database: str) -> Iterator[Engine]:
    """Insert 500 users, 100 startups and 40,000 events: plans over empty tables show little."""
    db = engine(databases.create(server_settings, "plans", template_database))
    with transaction(db) as connection:
        for statement in FILL:
            connection.execute(text(statement))
    yield db
    db.dispose()
    databases.drop(server_settings, "plans")


@pytest.fixture
def db(settings: Settings) -> Engine:
    return engine(settings)


@pytest.mark.parametrize("name", sql.names())
def test_the_head_names_the_parameters(name: str) -> None:
    said = re.findall(
        r"\b([a-z_]+) (?:timestamptz|uuid|uuid\[\]|text|text\[\]|smallint|int)\b", sql.header(name)["Parameters"]
    )
    assert set(said) == set(parameters(name))


@pytest.mark.parametrize("name", sql.names())
def test_the_head_names_the_columns_and_the_index(name: str, filled: Engine) -> None:
    head = sql.header(name)
    with transaction(filled) as connection:
        returned = list(connection.execute(text(sql.load(name)), parameters(name)).keys())
        plan = ""
        for forbidden in ("seqscan", "hashjoin", "mergejoin", "indexonlyscan", "indexscan"):  # fast on small tables
            connection.execute(text(f"SET LOCAL enable_{forbidden} = off"))
            plan += "\n".join(connection.scalars(text(f"EXPLAIN {sql.load(name)}"), parameters(name)))
    assert returned == words(head["Columns"])
    for index in words(head["Index"]):
        assert index == "none" or index in plan, f"{index} is not in the plan:\n{plan}"


def test_a_query_is_bound_to_the_contract_views_only() -> None:
    for name in sql.names():
        read = re.findall(r"\b(?:FROM|JOIN)\s+([a-z_]+)", sql.load(name))
        assert not set(read) & {"users", "startups", "user_interactions"}, name


def test_an_unknown_query_names_the_known_ones() -> None:
    with pytest.raises(KeyError, match="example_owners"):
        sql.load("oldest_event")


def test_the_required_indexes_exist_once(db: Engine) -> None:
    with transaction(db) as connection:
        found = {
            row.indexname: row.indexdef
            for row in connection.execute(
                text("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'user_interactions'")
            )
        }
    assert found["idx_user_interactions_user_id"].endswith("(user_id, created_at)")  # events of a user (N09)
    assert found["idx_user_interactions_startup_user"].endswith(
        "(startup_id, user_id)"
    )  # users of a startup (N10, R26)
    assert len(found) == len({definition.split(" ON ")[1] for definition in found.values()})


def test_the_state_of_a_cutoff_hides_what_came_later(db: Engine) -> None:
    with transaction(db) as connection:
        connection.execute(
            text(
                "INSERT INTO users (id, role, created_at, opted_out_at) VALUES "
                "(:u, 'developer', '2023-01-01', '2024-01-01'), (:v, 'investor', '2024-01-01', NULL), "
                "(:w, 'x', NULL, '2023-12-31')"
            ),
            {"u": UUID(int=1), "v": UUID(int=3), "w": UUID(int=4)},
        )
        connection.execute(
            text(
                "INSERT INTO startups (id, created_at, withdrawn_at) VALUES "
                "(:s, '2023-01-01', '2024-02-01'), (:t, '2023-01-01', '2023-12-31')"
            ),
            {"s": STARTUP, "t": UUID(int=5)},
        )
    people = rows(db, "users", as_of=VALUES["as_of"])
    assert [(p.user_id.int, p.opted_out_at is None) for p in people] == [(1, True), (4, False)]
    companies = rows(db, "startups", as_of=VALUES["as_of"])
    assert [s.withdrawn_at is None for s in companies] == [True, False]


def test_somebody_born_late_who_acted_early_exists(db: Engine) -> None:
    with transaction(db) as connection:
        connection.execute(
            text("INSERT INTO users (id, role, created_at) VALUES (:u, 'developer', '2024-05-01')"), {"u": USER}
        )
        connection.execute(
            text("INSERT INTO user_interactions VALUES (:u, :s, 'view', '2023-05-01')"), {"u": USER, "s": STARTUP}
        )
    assert [p.user_id for p in rows(db, "users", as_of=VALUES["as_of"])] == [USER]
    assert rows(db, "users", as_of=datetime(2023, 5, 1, tzinfo=UTC)) == []  # only earlier rows


def test_an_event_of_both_tables_counts_once_and_an_impression_never(db: Engine) -> None:
    with transaction(db) as connection:
        connection.execute(
            text("INSERT INTO user_interactions VALUES (:u, :s, 'like', '2023-05-01')"), {"u": USER, "s": STARTUP}
        )
        connection.execute(
            text(
                "INSERT INTO matchbook_events (event_id, user_id, startup_id, type, at) VALUES "
                "('a', :u, :s, 'like', '2023-05-01'), ('b', :u, :s, 'like', '2023-05-02'), "
                "('c', :u, :s, 'like', '2023-05-02'), "
                "('d', :u, :s, 'impression', '2023-05-03'), ('e', :u, :s, 'dismiss', '2023-05-03')"
            ),
            {"u": USER, "s": STARTUP},
        )
    found = rows(db, "interactions", as_of=VALUES["as_of"])
    assert sorted((r.interaction_type, r.occurred_at.day) for r in found) == [("like", 1), ("like", 2)]


def test_copy_binds_values_and_writes_utc(db: Engine, tmp_path: Any) -> None:
    with transaction(db) as connection:
        connection.execute(
            text("INSERT INTO users (id, role, name, created_at) VALUES (:u, 'developer', :n, '2023-01-01T02:00+02')"),
            {"u": USER, "n": '100% "O\'Hara"\n:as_of'},
        )
    path = tmp_path / "users.csv"
    with path.open("wb") as sink:
        copy_out(db, "users", {"as_of": VALUES["as_of"]}, sink)
    head, _, body = path.read_text().partition("\n")
    assert head.split(",") == words(sql.header("users")["Columns"])
    assert body.startswith(f'{USER},developer,2023-01-01 00:00:00+00,,"100% ""O\'Hara""\n:as_of",,')


def test_a_missing_server_and_a_missing_view_give_different_errors(settings: Settings, db: Engine) -> None:
    with transaction(db) as connection:
        connection.execute(text("DROP VIEW matchbook_users"))
    with pytest.raises(ContractError, match="matchbook_users"):
        rows(db, "users", as_of="infinity")
    nobody = Settings(home=settings.home, database_url=Secret("postgresql://matchbook:hush@127.0.0.1:1/none"))
    with pytest.raises(ServiceError, match=r"127\.0\.0\.1:1/none does not answer.*DATABASE_URL") as said:
        rows(engine(nobody), "users", as_of="infinity")
    assert "hush" not in str(said.value)
    with pytest.raises(ServiceError, match="DATABASE_URL is empty"):
        engine(Settings(home=settings.home))
