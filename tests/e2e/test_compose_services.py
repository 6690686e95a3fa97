"""Run the command of each service of docker-compose.yml here: it starts, its health check passes, it stops."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

import tests.databases as databases
from local.redis import _installed
from models.data.event import Event
from models.schema import Entity, EventType, Surface
from models.settings.settings import Settings
from serving.clients.redis import Cache
from tests.e2e.conftest import free_ports
from tests.own_redis import until_it_answers
from tests.paths import ROOT

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
LONG_RUNNING = [
    "airflow-api-server",
    "airflow-scheduler",
    "airflow-dag-processor",
    "airflow-triggerer",
    "airflow-worker",
    "drain",
    "reader",
]
SECRET = "5" * 64
ASKED_FOR = re.findall(r"^([A-Z_]+)=$", (ROOT / ".env.example").read_text(), re.MULTILINE)
GIVEN = {
    **dict.fromkeys(ASKED_FOR, SECRET),
    "AIRFLOW_FERNET_KEY": "c2l4dGVlbiBieXRlcyB4IHR3byBtYWtlcyAzMiEhISE=",
    "AIRFLOW_EXECUTOR": "CeleryExecutor",
}  # gives the worker a task


@dataclass
class Natively:
    """Runs the compose file's commands here. Service names become addresses, volumes become folders."""

    replaced: dict[str, str]
    added: dict[str, str]
    folder: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def words(self, command: list[str]) -> list[str]:
        return [self.text(word) for word in command]

    def text(self, text: str) -> str:
        """Fill in variables as compose does, then this machine's addresses."""
        filled = re.sub(r"(?<!\$)\$\{(\w+):[?-]([^}]*)\}", lambda found: GIVEN.get(found[1], found[2]), str(text))
        filled = filled.replace("$$", "$")
        for there, here in self.replaced.items():
            filled = filled.replace(there, here)
        return filled

    def environment(self, service: str) -> dict[str, str]:
        own = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "MATCHBOOK_"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        given = {name: self.text(value) for name, value in SERVICES[service].get("environment", {}).items()}
        return {**own, "PATH": path, "PYTHONPATH": str(ROOT), **given, **self.added}

    def start(self, service: str) -> None:
        with (self.folder / f"{service}.log").open("wb") as log:
            self.running[service] = subprocess.Popen(
                self.words(SERVICES[service]["command"]),
                env=self.environment(service),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def healthy(self, service: str) -> bool:
        kind, *test = self.words(SERVICES[service]["healthcheck"]["test"])
        words = test if kind == "CMD" else ["sh", "-c", test[0]]
        return subprocess.run(words, env=self.environment(service), cwd=ROOT, capture_output=True).returncode == 0

    def log(self, service: str) -> str:
        return (self.folder / f"{service}.log").read_text(errors="replace")[-3000:]

    def stop(self, service: str) -> None:
        """Stop like a container: SIGTERM to the first process, which must end within compose's time limit."""
        self.running[service].terminate()
        self.running[service].wait(60)

    def end(self) -> None:
        for process in self.running.values():
            with contextlib.suppress(ProcessLookupError):  # no process of its group is left
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


@pytest.fixture
def natively(settings: Settings, server_settings: Settings, tmp_path: Path) -> Iterator[Natively]:
    api, health, reader = free_ports(3)
    server = server_settings.database_url.reveal().rpartition("/")[0]
    folders = {name: tmp_path / name for name in ("matchbook", "airflow")}
    for folder in folders.values():
        folder.mkdir()
    found = Natively(
        replaced={
            **{
                f"postgresql://matchbook_{role}:{SECRET}@postgres:5432/matchbook": settings.database_url.reveal()
                for role in ("owner", "pipeline", "reader")
            },
            f"postgresql+psycopg2://airflow:{SECRET}@postgres:5432/": f"postgresql+psycopg2://{server.split('://')[1]}/",
            **{
                f"redis://{user}:{SECRET}@redis:6379/0": settings.redis_url.reveal()
                for user in ("pipeline", "reader", "celery")
            },
            "airflow-api-server:8080": f"127.0.0.1:{api}",
            "8080": str(api),
            "8974": str(health),
            ":5000": f":{reader}",
            "/var/lib/matchbook": str(folders["matchbook"]),
            "/var/lib/airflow": str(folders["airflow"]),
            "0.0.0.0": "127.0.0.1",
        },
        added={
            "AIRFLOW_HOME": str(folders["airflow"]),
            "MATCHBOOK_HOME": str(folders["matchbook"]),
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "MATCHBOOK_READER_PORT": str(reader),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        },
        folder=tmp_path,
    )
    _new_airflow_database(server_settings)
    try:
        yield found
    finally:
        found.end()
        _new_airflow_database(server_settings)


@pytest.mark.e2e
def test_prepare_then_every_service_starts_answers_its_health_check_and_stops(natively: Natively) -> None:
    done = subprocess.run(
        natively.words(SERVICES["prepare"]["command"]),
        env=natively.environment("prepare"),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (natively.folder / "airflow" / "passwords.json").stat().st_mode & 0o077 == 0
    for service in LONG_RUNNING:
        natively.start(service)
    for service in LONG_RUNNING:
        deadline = time.monotonic() + 120
        while not natively.healthy(service):
            assert natively.running[service].poll() is None, f"{service} ended:\n{natively.log(service)}"
            assert time.monotonic() < deadline, f"{service} is not healthy:\n{natively.log(service)}"
            time.sleep(0.5)
    for service in reversed(LONG_RUNNING):
        natively.stop(service)


@pytest.fixture
def users_of_redis(tmp_path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Start Redis as the file does. Yield its port and the password of each user."""
    (port,) = free_ports(1)
    (tmp_path / "valkey-server").symlink_to(_installed())
    mounted = str(ROOT / "docker" / "redis")
    command = [word.replace("/etc/matchbook", mounted) for word in SERVICES["redis"]["command"]]
    passwords = {user: f"{user}-{SECRET}" for user in ("pipeline", "reader", "celery")}
    environment = {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "TMPDIR": str(tmp_path),
        "REDIS_DATA": str(tmp_path),
        **{f"REDIS_{user.upper()}_PASSWORD": password for user, password in passwords.items()},
    }
    server = subprocess.Popen(
        [*command, "--port", str(port), "--bind", "127.0.0.1"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with redis.Redis(port=port, username="reader", password=passwords["reader"]) as reader:
            until_it_answers(reader, server)
        yield port, passwords
    finally:
        server.terminate()
        assert server.wait(20) == 0


@pytest.mark.slow
def test_redis_lets_each_in_with_its_own_password_and_to_its_own_keys(
    users_of_redis: tuple[int, dict[str, str]], tmp_path: Path
) -> None:
    port, passwords = users_of_redis
    friends = {user: redis.Redis(port=port, username=user, password=password) for user, password in passwords.items()}
    for user, name, write in (
        ("reader", "matchbook:current", False),
        ("reader", "matchbook:since:user:x", True),
        ("pipeline", "matchbook:current", True),
        ("pipeline", "matchbook-tasks:x", False),
        ("celery", "matchbook-tasks:x", True),
        ("celery", "matchbook:current", False),
    ):
        with nullcontext() if write else pytest.raises(redis.exceptions.NoPermissionError):
            friends[user].set(name, "1")
    for friend in friends.values():
        with pytest.raises(redis.exceptions.NoPermissionError):
            friend.flushall()
        friend.close()
    strangers: list[dict[str, Any]] = [{}, {"username": "reader", "password": passwords["pipeline"]}]
    for stranger in strangers:
        with redis.Redis(port=port, **stranger) as client, pytest.raises(redis.AuthenticationError):
            client.ping()
    users = tmp_path / "users.acl"
    assert SECRET not in users.read_text() and users.stat().st_mode & 0o077 == 0


def test_the_reader_may_do_with_redis_all_that_it_does(users_of_redis: tuple[int, dict[str, str]]) -> None:
    """Send every request of the reader's Redis client. Add new requests here to check their rights."""
    port, passwords = users_of_redis
    settings = Settings.from_env({"REDIS_URL": f"redis://reader:{passwords['reader']}@127.0.0.1:{port}/0"})
    cache, owner, now = Cache(settings), str(uuid.uuid4()), datetime.now(UTC)
    event = Event("1", owner, str(uuid.uuid4()), EventType.VIEW, now)
    keys, surface = cache.keys, Surface("startups/for-developer")
    computed = [(keys.live("r", surface, owner), b"x", 9), (keys.count(Entity.USER, owner), b"1", 9)]
    asked = {
        "get": lambda: cache.get(keys.current),
        "get_many": lambda: cache.get_many([keys.manifest("r")]),
        "listed": lambda: cache.listed(keys.history),
        "field": lambda: cache.field(keys.lists("r", surface), b"*"),
        "fields": lambda: cache.fields(keys.since(Entity.USER, owner), [b"x"]),
        "whole": lambda: cache.whole(keys.drain),
        "counts": lambda: cache.counts("r", [surface]),
        "about": cache.about,
        "hits": lambda: cache.hits("c", "r", surface, [owner]),
        "admit": lambda: cache.admit("c"),
        "now": cache.now,
        "post": lambda: cache.post("c", [event], now),
        "hidden": cache.hidden,
        "waiting": cache.waiting,
        "store": lambda: cache.store(computed),
        "claim": lambda: cache.claim(keys.flight("r", surface, owner), b"x", 999),
        "give_up": lambda: cache.give_up(keys.flight("r", surface, owner), b"x"),
        "ping": cache.ping,
    }
    assert set(asked) == {name for name in vars(Cache) if not name.startswith("_")} - {"close"}
    for question in asked.values():
        question()
    with redis.Redis(port=port, username="pipeline", password=passwords["pipeline"]) as client:
        assert client.acl_log() == [], "Redis refused the reader something"
    cache.close()


def _new_airflow_database(settings: Settings) -> None:
    """Make Airflow's database with the file, instead of the default of an embedded server."""
    databases.drop(settings, "airflow")
    databases.create(settings, "airflow")
