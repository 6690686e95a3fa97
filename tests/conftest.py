"""Run real servers: one PostgreSQL and Redis per process, a fresh migrated database per test.

Tests run in several processes (`make test`). Each process has its own servers. All share one temporary folder, which
is removed when the session ends.
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
hypothesis.settings.register_profile("house", deadline=None)  # a slow machine must not fail a test
hypothesis.settings.register_profile("few", deadline=None, max_examples=5)
hypothesis.settings.load_profile("house")

TEMPLATE = "matchbook_template"
MARKED = ("e2e", "browser", "compose")  # written in the files themselves
REDIS_DATABASE = 9  # emptied before each test that uses it
#: PostgreSQL may lose its data when the machine stops, so it does not wait for the disk.
UNSAFE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "max_wal_size": "128MB",  # the data are in memory
}


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("numprocesses", None):
        session.share_cores()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip files without the mark if one of MARKED is asked for: importing all tests takes each process 20 s."""
    asked = config.getoption("markexpr")
    return (asked in MARKED and session.without(f"mark.{asked}", collection_path)) or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need a server or Airflow, by their fixtures."""
    for item in items:
        asked = set(getattr(item, "fixturenames", ()))
        if {"server_settings", "server"} & asked:
            item.add_marker("servers")
        if {"airflow_metadata", "read_dags"} & asked:
            item.add_marker("slow")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return the value of `-n auto`, at most eight: three for two cores, because tests often wait for servers.

    Whole runs of Airflow, which MARKED tests start, keep a core each.
    """
    cores = len(os.sched_getaffinity(0))
    return min(8, cores if config.getoption("markexpr") in MARKED else cores + cores // 2)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Assign whole files to workers, or whole folders if their files share slow fixtures."""
    return session.scheduler(config, log)


@pytest.fixture
def open_folder() -> Path:
    """Make a folder that other accounts can reach: under root the servers run as another account."""
    return session.open_folder()


@pytest.fixture(scope="session")
def server_settings() -> Iterator[Settings]:
    """Yield settings of a temporary home. The launcher of `make up` runs both embedded servers."""
    with ExitStack() as running:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(postgres, "OPTIONS", postgres.OPTIONS | UNSAFE)
            settings = running.enter_context(servers(Settings(home=session.prepared_home())))
        yield settings


@pytest.fixture(scope="session")
def template_database(server_settings: Settings) -> str:
    """Migrate one database and return its name. Tests copy it."""
    from pipelines.postgres import engine, migrate

    migrated = engine(databases.create(server_settings, TEMPLATE))
    migrate(migrated)
    migrated.dispose()  # a database in use cannot be copied
    return TEMPLATE


@pytest.fixture
def database(server_settings: Settings, template_database: str) -> Iterator[str]:
    """Yield the URL of a fresh, migrated, empty database."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield databases.create(server_settings, name, template_database).database_url.reveal()
    databases.drop(server_settings, name)


@pytest.fixture
def redis_url(server_settings: Settings) -> Iterator[str]:
    """Yield the URL of an empty Redis database."""
    url = server_settings.redis_url.reveal().rpartition("/")[0] + f"/{REDIS_DATABASE}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield url


@pytest.fixture
def settings(tmp_path: Path, database: str, redis_url: str) -> Settings:
    """Return default settings with the test's own home, a fresh database and an empty Redis."""
    return Settings(
        home=tmp_path / "home",
        database_url=Secret(database),
        redis_url=Secret(redis_url),
        namespace=f"test-{uuid.uuid4().hex[:8]}",
    )


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(settings.redis_url.reveal()) as client:
        yield client


@pytest.fixture
def keys(settings: Settings) -> Keys:
    return Keys(settings.namespace)
