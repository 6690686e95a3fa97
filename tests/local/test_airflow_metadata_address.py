"""Put Airflow's metadata into the PostgreSQL of any DATABASE_URL, in a form that both drivers accept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import psycopg2
import pytest
from sqlalchemy import create_engine, make_url, text

from local.airflow import _asynchronous, airflow_environment, drop_metadata
from models.settings.environment import Secret
from models.settings.settings import Settings

SYNC, ASYNC = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC"
PASSWORD = "a%b/c@d:e?f#g"


@pytest.fixture
def user(server_settings: Settings) -> Iterator[Settings]:
    """Yield a database user with a password that needs quoting and the right to create databases."""
    connection = psycopg2.connect(server_settings.database_url.reveal())
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE awkward LOGIN CREATEDB PASSWORD %s", (PASSWORD,))
        yield server_settings
        cursor.execute("DROP OWNED BY awkward; DROP ROLE awkward")
    connection.close()


@pytest.mark.parametrize(
    "form",
    [
        "postgresql://{u}@{h}/{d}?sslmode=disable",
        "postgres://{u}@{h}/{d}",
        "postgresql+psycopg2://{u}@{h}/{d}?sslmode=prefer&application_name=x&connect_timeout=5",
        "postgresql://{u}@/{d}?host=127.0.0.1&port={p}",
    ],
)
def test_the_metadata_are_in_postgres(user: Settings, tmp_path: Path, form: str) -> None:
    url = make_url(user.database_url.reveal())
    given = form.format(u=f"awkward:{quote(PASSWORD, safe='')}", h=f"{url.host}:{url.port}", d=url.database, p=url.port)
    settings = replace(user, home=tmp_path / "home", database_url=Secret(given))
    try:
        env = airflow_environment(settings)
        metadata = make_url(env[SYNC])
        assert metadata.get_backend_name() == "postgresql" and metadata.password == PASSWORD
        engine = create_engine(env[SYNC])
        with engine.connect() as connection:
            assert str(connection.scalar(text("SELECT current_database()"))).startswith("matchbook_airflow_")
        engine.dispose()
    finally:
        drop_metadata(settings)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("postgresql+psycopg2://u:p@h/d", {}),
        ("sqlite:////x/airflow.db", {}),
        (
            "postgresql+psycopg2://u:p%40@h:5/d?sslmode=require&connect_timeout=3",
            {ASYNC: "postgresql+asyncpg://u:p%40@h:5/d?ssl=require"},
        ),
        (
            "postgresql+psycopg2://u@[::1]:5/d?sslmode=verify-full&target_session_attrs=read-write",
            {ASYNC: "postgresql+asyncpg://u@[::1]:5/d?ssl=verify-full"},
        ),
    ],
)
def test_the_asynchronous_driver_gets_what_it_understands(given: str, expected: dict[str, str]) -> None:
    assert _asynchronous(given) == expected
