"""Real servers for every test that asks: one PostgreSQL and Redis a session, a fresh migrated database a test."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import redis

import tests.databases as databases
from local.servers import servers
from models.lists.redis_format import Keys
from models.settings.environment import Secret
from models.settings.settings import Settings

hypothesis.settings.register_profile("house", deadline=None)  # a busy machine is no failing test
hypothesis.settings.load_profile("house")

TEMPLATE = "matchbook_template"
REDIS_DATABASE = 9  # emptied before each test that asks for it


@pytest.fixture(scope="session")
def server_settings() -> Iterator[Settings]:
    """Settings of a throw-away home with both embedded servers running, through the launcher that `make up` uses."""
    home = Path(tempfile.mkdtemp(prefix="matchbook-tests-"))
    home.chmod(0o755)  # as root the servers run as an unprivileged account, which must pass through
    try:
        with servers(Settings(home=home)) as settings:
            yield settings
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def template_database(server_settings: Settings) -> str:
    """The name of a database that was migrated once; tests copy it."""
    from pipelines.postgres import engine, migrate

    migrated = engine(databases.create(server_settings, TEMPLATE))
    migrate(migrated)
    migrated.dispose()  # a database in use cannot be copied
    return TEMPLATE


@pytest.fixture
def database(server_settings: Settings, template_database: str) -> Iterator[str]:
    """The URL of a fresh, migrated, empty database."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield databases.create(server_settings, name, template_database).database_url.reveal()
    databases.drop(server_settings, name)


@pytest.fixture
def redis_url(server_settings: Settings) -> Iterator[str]:
    """The URL of an empty Redis database."""
    url = server_settings.redis_url.reveal().rpartition("/")[0] + f"/{REDIS_DATABASE}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield url


@pytest.fixture
def settings(tmp_path: Path, database: str, redis_url: str) -> Settings:
    """Settings of a home of the test's own, its fresh database and an empty Redis; defaults otherwise."""
    return Settings(
        home=tmp_path / "home",
        database_url=Secret(database),
        redis_url=Secret(redis_url),
        namespace=f"test-{uuid.uuid4().hex[:8]}",
    )


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    """The test's Redis, asked directly."""
    with redis.Redis.from_url(settings.redis_url.reveal()) as client:
        yield client


@pytest.fixture
def keys(settings: Settings) -> Keys:
    return Keys(settings.namespace)
