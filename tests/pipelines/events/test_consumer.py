"""Drain events as they arrive: none is lost or stored twice after any kill or restart."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis

from local.processes import ManagedProcess
from local.servers import _read, remove_home, start_servers
from models.data.event import Event
from models.lists.redis_format import DRAIN_GROUP, Keys
from models.schema import EventType
from models.settings.settings import Settings
from pipelines.events.consumer import HEARTBEAT
from pipelines.events.drain import drain_events
from pipelines.postgres import engine, migrate
from tests.databases import execute
from tests.paths import ROOT
from tests.pipelines.conftest import Sql
from tests.stored import append
from tests.waiting import until

AT = datetime(2024, 5, 1, 14, 3, tzinfo=UTC)
HEAVY = ("airflow", "pandas", "pyarrow", "torch", "sklearn", "lightgbm", "implicit", "flask")


def post(client: redis.Redis, keys: Keys, count: int = 1) -> None:
    for _ in range(count):
        event = Event(str(uuid.uuid4()), str(uuid.uuid4()), str(uuid.uuid4()), EventType.CLICK, AT)
        append(client, keys, event.entry())


def stored(settings: Settings) -> int:
    return int(execute(settings, "SELECT count(*) FROM matchbook_events")[0][0])


def until_stored(settings: Settings, least: int, log: Path) -> None:
    until(lambda: stored(settings) >= least, 60, log.read_text)


@contextmanager
def consumer(settings: Settings, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    where = {
        "PATH": "/usr/bin:/bin",
        "MATCHBOOK_NAMESPACE": settings.namespace,
        "MATCHBOOK_HOME": str(settings.home),
        "DATABASE_URL": settings.database_url.reveal(),
        "REDIS_URL": settings.redis_url.reveal(),
    }
    settings.home.mkdir(exist_ok=True)
    with log.open("ab") as sink:
        process = subprocess.Popen([sys.executable, "-m", "pipelines.events"], cwd=ROOT, env=where, stderr=sink)
        try:
            yield process
        finally:
            process.kill()
            process.wait(10)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "consumer.log"


def test_events_arrive_in_postgres_by_themselves_and_sigterm_ends_it(
    settings: Settings, client: redis.Redis, keys: Keys, log: Path
) -> None:
    with consumer(settings, log) as process:
        for total in (3, 6):
            post(client, keys, 3)
            until_stored(settings, total, log)
        until(lambda: client.xlen(keys.events) == 0)
        assert client.hget(keys.drain, "until") and (settings.home / HEARTBEAT).is_file()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, log.read_text()
    assert client.xinfo_consumers(keys.events, DRAIN_GROUP) == []


def test_killed_again_and_again_it_stores_every_event_once(
    settings: Settings, client: redis.Redis, keys: Keys, sql: Sql, log: Path
) -> None:
    rng, posted = random.Random(7), 0
    for _ in range(3):
        before = stored(settings)
        with consumer(settings, log) as process:
            post(client, keys, 1500)
            posted += 1500
            until_stored(settings, before + 1, log)
            time.sleep(rng.random() / 20)
            process.kill()
    drain_events(settings, claim_after_s=0)
    assert sql("SELECT count(*), count(DISTINCT event_id) FROM matchbook_events") == [(posted, posted)]
    assert client.xlen(keys.events) == 0


def test_it_waits_for_servers_that_restart(open_folder: Path, log: Path) -> None:
    settings = Settings(home=open_folder / "home")
    ready = start_servers(settings)
    try:
        migrate(engine(ready))
        keys, posted = Keys(ready.namespace), 0
        with consumer(ready, log) as process:
            for name, sign in (("postgres", signal.SIGINT), ("redis", signal.SIGKILL)):
                with redis.Redis.from_url(ready.redis_url.reveal()) as client:
                    post(client, keys)
                posted += 1
                until_stored(ready, posted, log)
                ManagedProcess.from_json(_read(settings)[name]).stop(sign)
                time.sleep(2.5)  # long enough to reach the stopped server
                assert replace(start_servers(settings), home=ready.home) == ready
                assert process.poll() is None, log.read_text()
            with redis.Redis.from_url(ready.redis_url.reveal()) as client:
                post(client, keys)
            until_stored(ready, posted + 1, log)
        assert "next attempt in" in log.read_text() and "Traceback" not in log.read_text()
    finally:
        engine(ready).dispose()
        remove_home(settings)


def test_it_imports_nothing_heavy() -> None:
    program = f"import sys, pipelines.events.__main__; sys.exit(' '.join(set({HEAVY}) & set(sys.modules)) or None)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_without_an_address_it_says_what_to_set() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.events"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "DATABASE_URL" in done.stderr
