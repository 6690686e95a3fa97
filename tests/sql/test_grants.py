"""Grant least privilege: the shipped rights allow all that is needed and no more, also through PgBouncer."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import redis
from sqlalchemy import make_url, text

import sql
from models.errors import ServiceError
from models.lists.redis_format import Keys
from models.schema import Entity
from models.settings.environment import Secret
from models.settings.settings import Settings
from pipelines.erase.servers import erase_rows, person_of
from pipelines.erased import read_erased
from pipelines.events.drain import drain_events
from pipelines.postgres import engine, migrate, run_script, transaction
from serving.clients.postgres import PAGE, Database
from tests.sql.pgbouncer import pgbouncer
from tests.sql.test_queries import STARTUP, USER, VALUES, parameters

GRANTS = {name.partition("/")[2].removesuffix(".sql"): script for name, script in sql.scripts("grants")}
Login = Callable[[str], Settings]


@pytest.fixture
def owned(settings: Settings) -> Settings:
    """Make the sample platform as its owner, with one person and one startup.

    An integrator's role `anybody` has no rights.
    """
    with transaction(engine(settings)) as connection:
        connection.execute(text("INSERT INTO users (id, role, name) VALUES (:u, 'developer', 'Ada')"), {"u": USER})
        connection.execute(text("INSERT INTO startups (id, name) VALUES (:s, 'Engines')"), {"s": STARTUP})
        connection.execute(
            text("INSERT INTO user_interactions VALUES (:u, :s, 'like', '2023-06-01')"), {"u": USER, "s": STARTUP}
        )
    return settings


@pytest.fixture
def login(owned: Settings) -> Iterator[Login]:
    """Make a login with the rights of one of the scripts: `login("reader")`."""
    made: list[str] = []

    def make(kind: str) -> Settings:
        name = f"{kind}_{uuid.uuid4().hex[:8]}"
        with transaction(engine(owned)) as connection:
            for _ in range(2):  # the second time does nothing
                run_script(connection, GRANTS[kind])
            connection.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD 'secret' IN ROLE matchbook_{kind}"))
        made.append(name)
        return as_user(owned, name)

    yield make
    with transaction(engine(owned)) as connection:
        for name in made:
            connection.execute(text(f"DROP OWNED BY {name}"))
            connection.execute(text(f"DROP ROLE {name}"))


def as_user(settings: Settings, name: str) -> Settings:
    url = make_url(settings.database_url.reveal()).set(username=name, password="secret")
    return replace(settings, database_url=Secret(url.render_as_string(hide_password=False)))


def ask_everything(settings: Settings) -> None:
    """Send every request of the reader to PostgreSQL."""
    database, now = Database(settings), datetime.now(UTC)
    try:
        database.ping()
        for entity, id_ in ((Entity.USER, USER), (Entity.STARTUP, STARTUP)):
            for purpose in ("owners", PAGE):
                record = database.owner(entity, str(id_), now, purpose)
                assert record is not None and len(record.item) == 1
            assert database.owner(entity, str(uuid.uuid4()), now) is None
            assert list(database.names(entity, [str(id_)])) == [str(id_)]
            word = {Entity.USER: "ada", Entity.STARTUP: "eng"}[entity]
            assert [i for i, *_ in database.find(entity, word, ["developer"], 5)] == [str(id_)]
    finally:
        database.close()


def test_the_reader_needs_no_more_than_its_grants(login: Login) -> None:
    reader = login("reader")
    ask_everything(reader)
    with psycopg2.connect(reader.database_url.reveal()) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'v') AND relnamespace = 'public'::regnamespace"
        )
        relations = {name for (name,) in cursor.fetchall()}
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'v') "
            "AND relnamespace = 'public'::regnamespace AND (has_table_privilege(oid, 'SELECT') "
            "OR has_table_privilege(oid, 'INSERT') OR has_table_privilege(oid, 'UPDATE') "
            "OR has_table_privilege(oid, 'DELETE'))"
        )
        mine = {name for (name,) in cursor.fetchall()}
        assert mine == {"matchbook_users", "matchbook_startups", "matchbook_interactions"} < relations
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("SELECT matchbook_mark(gen_random_uuid())")
    connection.close()


def test_a_reader_with_nothing_but_the_views_knows_newcomers(owned: Settings) -> None:
    """An integrator who does not use our script grants SELECT on three views."""
    name = f"bare_{uuid.uuid4().hex[:8]}"
    with transaction(engine(owned)) as connection:
        connection.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'"))
        connection.execute(
            text(f"GRANT SELECT ON matchbook_users, matchbook_startups, matchbook_interactions TO {name}")
        )
    try:
        ask_everything(as_user(owned, name))
    finally:
        with transaction(engine(owned)) as connection:
            connection.execute(text(f"DROP OWNED BY {name}"))
            connection.execute(text(f"DROP ROLE {name}"))


def test_the_function_is_not_led_astray_by_another_schema(login: Login) -> None:
    """A temporary table of that name does not replace ours."""
    reader = login("pipeline")
    with transaction(engine(reader)) as connection:
        connection.execute(text("CREATE TEMPORARY TABLE matchbook_erasure_key (key bytea)"))
        connection.execute(text("CREATE TEMPORARY TABLE matchbook_erased (mark text)"))
        assert connection.scalar(text("SELECT matchbook_was_erased(gen_random_uuid())")) is False


def test_the_pipelines_need_no_more_than_their_grants(login: Login) -> None:
    """Another account made the tables. Run every query, the drain, an erasure, and a migration without changes."""
    pipeline = login("pipeline")
    assert migrate(engine(pipeline)) == []
    work(pipeline)


def test_the_pipelines_may_make_what_they_need(login: Login, owned: Settings) -> None:
    pipeline = login("pipeline")
    with psycopg2.connect(owned.database_url.reveal()) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA theirs; GRANT USAGE, CREATE ON SCHEMA theirs TO matchbook_pipeline")
    connection.close()
    url = make_url(pipeline.sqlalchemy_url).update_query_dict({"options": "-csearch_path=theirs"})
    fresh = replace(pipeline, database_url=Secret(url.render_as_string(hide_password=False)))
    assert set(migrate(engine(fresh))) == {name for f in ("migrations", "platform") for name, _ in sql.scripts(f)}
    work(fresh)


def work(pipeline: Settings) -> None:
    """Run every query, the drain and an erasure."""
    for name in sql.names():
        with transaction(engine(pipeline)) as connection:
            connection.execute(text(sql.load(name)), parameters(name))
    post_one(pipeline)
    assert drain_events(pipeline)["new"] == 1
    person = person_of(pipeline, str(USER))
    erase_rows(pipeline, person)
    with transaction(engine(pipeline)) as connection:
        assert person.mark in read_erased(connection).marks


def post_one(settings: Settings) -> None:
    fields: dict[str, Any] = {
        "event_id": str(uuid.uuid4()),
        "user_id": str(USER),
        "startup_id": str(STARTUP),
        "type": "view",
        "at": datetime.now(UTC).isoformat(),
    }
    with redis.Redis.from_url(settings.redis_url.reveal()) as client:
        client.xadd(Keys(settings.namespace).events, fields)


def test_a_missing_right_is_reported(owned: Settings) -> None:
    """The report has the server's message and a remedy, without advice to start a server."""
    name = f"nobody_{uuid.uuid4().hex[:8]}"
    with transaction(engine(owned)) as connection:
        connection.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'"))
    poor = as_user(owned, name)
    database = Database(poor)
    try:
        with pytest.raises(ServiceError, match=r"PostgreSQL refused: permission denied .*python -m pipelines grants"):
            database.owner(Entity.USER, str(USER), VALUES["as_of"])
        with (
            pytest.raises(ServiceError, match=r"refused: permission denied .*python -m pipelines grants"),
            transaction(engine(poor)) as connection,
        ):
            connection.execute(text("SELECT * FROM matchbook_users"))
        assert not any(breaker.down for breaker in database.breakers.values())
    finally:
        database.close()
        engine(poor).dispose()
        with transaction(engine(owned)) as connection:
            connection.execute(text(f"DROP ROLE {name}"))


@pytest.mark.parametrize(
    "right",
    [
        "SELECT ON matchbook_users",
        "SELECT ON matchbook_startups",
        "SELECT ON matchbook_interactions",
        "EXECUTE ON FUNCTION matchbook_was_erased(uuid)",
        "EXECUTE ON FUNCTION matchbook_dismissed_by(uuid, timestamptz)",
        "EXECUTE ON FUNCTION matchbook_dismissers_of(uuid, timestamptz)",
    ],
)
def test_a_right_that_lacks_is_no_health(login: Login, owned: Settings, right: str) -> None:
    """Without this right, new owners have no list of their own. The health check reports it before any request."""
    database = Database(login("reader"))
    try:
        database.ping()
        with transaction(engine(owned)) as connection:
            connection.execute(text(f"REVOKE {right} FROM PUBLIC, matchbook_reader"))
        with pytest.raises(ServiceError, match=r"refused: permission denied .*python -m pipelines grants"):
            database.ping()
    finally:
        database.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"password": "wrong"}, r"refused.*password authentication failed.*check the user"),
        ({"database": "nowhere"}, r"refused.*does not exist.*check the user"),
        ({"port": 1}, r"does not answer.*Connection refused"),
    ],
)
def test_a_connection_that_fails_says_how(owned: Settings, change: dict[str, Any], said: str) -> None:
    url = make_url(owned.sqlalchemy_url).set(**change)
    wrong = replace(owned, database_url=Secret(url.render_as_string(hide_password=False)))
    database = Database(wrong)
    with pytest.raises(ServiceError, match=said):
        database.ping()
    with pytest.raises(ServiceError, match=said), transaction(engine(wrong)):
        pass
    database.close()


def test_a_question_that_takes_too_long_is_no_silence(owned: Settings) -> None:
    database = Database(owned.layered({"database_timeout_s": 0.2}, "given"))
    try:
        with (
            pytest.raises(ServiceError, match=r"refused: canceling statement due to.* exceeded its time-out"),
            database._connection(PAGE) as connection,
        ):
            connection.execute(text("SELECT pg_sleep(30)"))
        assert not database.breakers[PAGE].down
        database.ping()
    finally:
        database.close()
    with pytest.raises(ServiceError, match="exceeded its time-out"), transaction(engine(owned)) as connection:
        connection.execute(text("SET LOCAL statement_timeout = 50"))
        connection.execute(text("SELECT pg_sleep(30)"))


def test_through_a_pooler_that_gives_every_transaction_another_connection(login: Login, open_folder: Path) -> None:
    """PgBouncer in transaction mode, with its defaults: queries of the reader, migrations, the drain, an erasure."""
    reader, pipeline = login("reader"), login("pipeline")
    with pgbouncer(open_folder / "reader", reader.database_url.reveal()) as address:
        ask_everything(replace(reader, database_url=Secret(address)))
    with pgbouncer(open_folder / "pipeline", pipeline.database_url.reveal()) as address:
        pooled = replace(pipeline, database_url=Secret(address))
        assert migrate(engine(pooled)) == []
        work(pooled)
        engine(pooled).dispose()


def test_nothing_is_left_behind_in_the_pool(owned: Settings, open_folder: Path) -> None:
    """Settings of a transaction end with it. The next one has the server's own settings and no lock."""
    with pgbouncer(open_folder / "pool", owned.database_url.reveal()) as address:
        pooled = owned.layered({"database_url": Secret(address), "database_timeout_s": 0.7}, "given")
        database = Database(pooled)
        with database._connection(PAGE) as connection:
            told = connection.execute(
                text("SELECT current_setting('statement_timeout'), current_setting('transaction_read_only')")
            ).one()
            assert tuple(told) == ("700ms", "on")
        with transaction(engine(pooled)) as connection:
            connection.execute(text("CREATE TEMPORARY TABLE t (n int) ON COMMIT DROP"))
            assert connection.scalar(text("SELECT current_setting('timezone')")) == "UTC"
        migrate(engine(pooled))
        with psycopg2.connect(address) as raw, raw.cursor() as cursor:
            cursor.execute(
                "SELECT current_setting('statement_timeout'), current_setting('transaction_read_only'), "
                "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')"
            )
            assert cursor.fetchone() == ("0", "off", 0)
        raw.close()
        database.close()
        engine(pooled).dispose()
