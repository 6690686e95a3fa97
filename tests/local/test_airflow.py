"""Set up Airflow on this machine only, with permanent secrets and a permitted place for its metadata."""

from __future__ import annotations

import importlib.util
import json
import stat
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from local.airflow import (
    OUR_COMMENT,
    PROCESSOR,
    _migrate,
    _migrated,
    _state,
    admin_password,
    airflow_environment,
    child_environment,
    drop_metadata,
    starts_later,
)
from models.errors import ServiceError
from models.settings.environment import Secret
from models.settings.settings import Settings
from tests.databases import at_once

METADATA = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"


@pytest.fixture
def own(server_settings: Settings, tmp_path: Path) -> Settings:
    """Return settings of a home with external servers: those of the test session."""
    return replace(server_settings, home=tmp_path / "home", airflow_port=18123)


@pytest.fixture
def poor(own: Settings) -> Iterator[Settings]:
    """Yield a database user without the right to create databases."""
    at_once(own, "CREATE ROLE poor LOGIN PASSWORD 'poor'")
    url = make_url(own.sqlalchemy_url).set(drivername="postgresql", username="poor", password="poor")
    yield replace(own, database_url=Secret(url.render_as_string(hide_password=False)))
    at_once(own, "DROP ROLE poor")


def test_it_answers_on_this_machine_only_and_tasks_find_it_there(own: Settings) -> None:
    env = airflow_environment(own)
    assert env["AIRFLOW__API__HOST"] == "127.0.0.1" and env["AIRFLOW__API__PORT"] == "18123"
    assert env["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:18123"
    assert (Path(env["AIRFLOW__CORE__PLUGINS_FOLDER"]) / "matchbook_reports.py").is_file()
    assert Path(env["AIRFLOW__CORE__DAGS_FOLDER"]).is_dir() and Path(env["AIRFLOW_HOME"]).is_relative_to(own.home)
    drop_metadata(own)


def test_tasks_and_reader_get_the_servers_and_our_programs_first(
    own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "internal")
    env = child_environment(own)
    assert env["DATABASE_URL"] == own.database_url.reveal() and env["REDIS_URL"] == own.redis_url.reveal()
    assert env["PATH"].split(":")[0] == str(Path(sys.executable).parent)
    assert env["NO_PROXY"] == "internal,127.0.0.1,localhost"
    assert Settings.from_env({k: v for k, v in env.items() if "MATCHBOOK" in k}).home == own.home


def test_secrets_are_made_once_and_only_their_owner_reads_them(own: Settings) -> None:
    first, password = airflow_environment(own), admin_password(own)
    again = airflow_environment(own)
    for name in ("AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__API__SECRET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET"):
        assert first[name] == again[name] and len(first[name]) >= 44
    assert admin_password(own) == password and len(password) >= 16
    for name in ("passwords.json", "secrets.json"):
        assert stat.S_IMODE((own.home / "airflow" / name).stat().st_mode) == 0o600
    drop_metadata(own)


def test_on_the_users_server_the_metadata_get_a_database_of_their_own_that_reset_drops(own: Settings) -> None:
    name = make_url(airflow_environment(own)[METADATA]).database
    assert name is not None and name.startswith("matchbook_airflow_")
    asked = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = "
    assert at_once(own, f"{asked}'{name}'") == [(OUR_COMMENT,)]
    assert make_url(airflow_environment(own)[METADATA]).database == name
    assert drop_metadata(own) and at_once(own, f"{asked}'{name}'") == [] and not drop_metadata(own)


def test_a_database_of_that_name_that_is_not_ours_is_left_alone(own: Settings) -> None:
    name = make_url(airflow_environment(own)[METADATA]).database
    at_once(own, f"COMMENT ON DATABASE {name} IS 'precious'")
    assert airflow_environment(own)[METADATA].startswith("sqlite:///")
    assert not drop_metadata(own)
    at_once(own, f"DROP DATABASE {name}")


def test_who_may_not_create_a_database_gets_sqlite_in_the_home(poor: Settings) -> None:
    assert airflow_environment(poor)[METADATA] == f"sqlite:///{poor.home / 'airflow' / 'airflow.db'}"


def test_on_the_embedded_server_they_lie_in_its_second_database(server_settings: Settings) -> None:
    url = make_url(airflow_environment(server_settings)[METADATA])
    assert url.database == "airflow" and url.drivername == "postgresql+psycopg2"


def test_metadata_are_migrated_once_for_each_version_and_database(own: Settings) -> None:
    log, env = own.home / "logs" / "airflow-migrate.log", airflow_environment(own)
    assert PROCESSOR not in starts_later(own)
    _migrate(own, env)
    size = log.stat().st_size
    _migrate(own, env)
    assert log.stat().st_size == size and PROCESSOR in starts_later(own)
    note = json.loads(_migrated(own).read_text())
    assert note == _state(env[METADATA]) and note["revision"]
    drop_metadata(own)
    assert _state(env[METADATA]) == {**note, "revision": ""}


def test_the_scheduler_rests_only_while_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.executors.local_executor import LocalExecutor
    from airflow.models.taskinstancekey import TaskInstanceKey

    from local import executor

    rests: list[float] = []
    monkeypatch.setattr("local.executor.time.sleep", rests.append)
    at = iter([100.0, 100.0 + executor.QUIET_S + 1, 100.0 + executor.QUIET_S + 2, 100.0 + executor.QUIET_S + 3])
    monkeypatch.setattr("local.executor.time.monotonic", lambda: next(at))
    made: Any = executor.RestingExecutor
    found = made(parallelism=1)
    monkeypatch.setattr(LocalExecutor, "heartbeat", lambda self: None)
    found.running = {TaskInstanceKey("build", "train", "run")}
    found.heartbeat()
    found.running = set()
    found.heartbeat()
    assert rests == [executor.REST_S]
    found.running = {TaskInstanceKey("build", "score", "run")}
    found.heartbeat()
    found.running = set()
    found.heartbeat()
    assert rests == [executor.REST_S]


def test_workers_are_forked_with_the_modules_of_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.executors.local_executor import LocalExecutor

    from local import executor

    assert all(importlib.util.find_spec(name) for name in executor.COMMON)
    seen: list[bool] = []
    monkeypatch.setattr(executor, "COMMON", ("json.tool",))
    monkeypatch.delitem(sys.modules, "json.tool", raising=False)
    monkeypatch.setattr(LocalExecutor, "start", lambda self: seen.append("json.tool" in sys.modules))
    made: Any = executor.RestingExecutor
    made(parallelism=1).start()
    assert seen == [True]


def test_a_server_that_does_not_answer_is_named(own: Settings) -> None:
    gone = replace(own, database_url=Secret("postgresql://me:pass@127.0.0.1:1/x"))
    with pytest.raises(ServiceError, match=r"(?s)DATABASE_URL does not answer.*start that PostgreSQL"):
        airflow_environment(gone)
