"""Real servers for every test that asks: one PostgreSQL and Redis a process, a fresh migrated database a test.

Tests run in several processes at once (`make test`). Each process has servers of its own. All processes share one
temporary folder, which is removed when the session ends.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import redis

import tests.databases as databases
import tests.session as session
from local import postgres
from local.servers import servers
from models.lists.redis_format import Keys
from models.settings.environment import Secret
from models.settings.settings import Settings

session.begin()
hypothesis.settings.register_profile("house", deadline=None)  # a busy machine is no failing test
hypothesis.settings.load_profile("house")

TEMPLATE = "matchbook_template"
REDIS_DATABASE = 9  # emptied before each test that asks for it
#: A PostgreSQL that may lose everything when the machine stops, and so waits for no disk.
UNSAFE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "max_wal_size": "128MB",  # the data lie in memory
}


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("numprocesses", None):
        session.share_cores()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need a server or Airflow, by the fixtures that start one."""
    for item in items:
        asked = set(getattr(item, "fixturenames", ()))
        if {"server_settings", "server"} & asked:
            item.add_marker("servers")
        if {"airflow_metadata", "read_dags"} & asked:
            item.add_marker("slow")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """What `-n auto` means: the cores that this process may use, at most eight."""
    return min(8, len(os.sched_getaffinity(0)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Distribute whole files to workers, and whole folders if their files share slow fixtures."""
    return session.scheduler(config, log)


@pytest.fixture
def open_folder() -> Path:
    """A new folder that other accounts can reach: as root the servers run as an unprivileged one."""
    return session.open_folder()


@pytest.fixture(scope="session")
def server_settings() -> Iterator[Settings]:
    """Settings of a throw-away home with both embedded servers running, through the launcher that `make up` uses."""
    with ExitStack() as running:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(postgres, "OPTIONS", postgres.OPTIONS | UNSAFE)
            settings = running.enter_context(servers(Settings(home=session.prepared_home())))
        yield settings


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
