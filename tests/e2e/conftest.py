"""Run a whole Matchbook for several test files: servers, Airflow and reader from `make up`, on free ports.

Most files share the installation `house` and its first build, `first`.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import tests.session as session
from local.airflow import CHECKOUT, COMPONENTS, address, admin_password, start_airflow
from local.airflow_api import begin, follow, prepare_dags
from local.airflow_client import AirflowApi
from local.processes import ManagedProcess, stop_together, tail
from local.reader import start_reader, wait_for_reader
from local.servers import remove_home, servers
from models.settings.settings import Settings
from pipelines.ingest.ingest import import_folder
from pipelines.postgres import engine, migrate
from pipelines.redis_client import current_release
from tests.e2e.browser import Browser
from tests.marketplace.small import small_variables
from tests.marketplace.tiny import AFTER_ALL, write_tiny_marketplace

SMALL = small_variables(ranker_cuts=1, shards=1)
#: The reader asks for keys, and the gate asks about every change.
ASKING = {
    "MATCHBOOK_API_KEYS": "on",
    "MATCHBOOK_GATE_MIN_OWNERS": "2",
    "MATCHBOOK_GATE_LOSS": "1",
    "MATCHBOOK_GATE_OVERLAP": "0/2",
    **{f"MATCHBOOK_GATE_{name}": "5/9" for name in ("COVERAGE", "RBO", "ROUTES", "POPULAR", "GINI", "GONE")},
}
LONG_S = 900
#: Cutoff of the first build, three days before the newest event.
FIRST = AFTER_ALL - timedelta(days=3)


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


@dataclass(frozen=True)
class House:
    """A running installation. settings: addresses of both servers. processes: those of Airflow and the reader."""

    settings: Settings
    api: AirflowApi
    processes: dict[str, ManagedProcess]

    def alive(self) -> None:
        """Fail if a process has ended, and show the end of its log."""
        for name, process in self.processes.items():
            log = self.settings.home / "logs" / f"{name}.log"
            assert process.alive(), f"{name} has ended:\n{tail(log, 40)}"

    def airflow(self, *words: str) -> str:
        """Run a command of Airflow as an operator does. Return its output."""
        done = subprocess.run(
            [sys.executable, "-m", "pipelines", "airflow", *words],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            env={**os.environ, "MATCHBOOK_HOME": str(self.settings.home)},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


Patiently = Callable[..., Any]


Houses = Callable[[dict[str, str]], House]


_running = ExitStack()
_given: list[tuple[dict[str, str], House]] = []


def _end() -> None:
    _given.clear()
    _running.close()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """End the installation after the last test of this folder: its environment must not reach other tests."""
    if nextitem is None or Path(__file__).parent not in nextitem.path.parents:
        _end()


@pytest.fixture(scope="session")
def houses() -> Iterator[Houses]:
    """Return an installation with these extra variables: the present one, or a new one after it has ended."""

    def house_with(more: dict[str, str]) -> House:
        if not _given or _given[-1][0] != more:
            _end()
            _given.append((more, _running.enter_context(_open_house(more))))
        return _given[-1][1]

    yield house_with
    _end()


@pytest.fixture(scope="session")
def house(houses: Houses) -> House:
    """Return the loaded tiny marketplace, Airflow with its pools, and the reader. Test files share it."""
    return houses(ASKING)


@pytest.fixture(scope="session")
def key(house: House) -> dict[str, str]:
    """Make a key of an operator as the command does."""
    words = [sys.executable, "-m", "pipelines", "keys", "add", "operator", "--scope", "admin"]
    environment = {"MATCHBOOK_HOME": str(house.settings.home), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(words, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="session")
def operator(house: House, key: dict[str, str]) -> Browser:
    """Return the browser of an operator who has signed in."""
    browser = Browser(house.settings.reader_address)
    assert browser.open("/")[0] == "/sign-in"
    assert browser.confirm("/sign-in", key=key["key"]) == "/"
    return browser


@dataclass(frozen=True)
class First:
    """The first build: its run in Airflow and its release, which was live at its end."""

    run: str
    release: str


@pytest.fixture(scope="session")
def first(house: House, operator: Browser, patiently: Patiently) -> First:
    """Build the cutoff FIRST, as `make up` does. The DAG is on. The console shows the build while it runs."""
    assert "Start a build" in operator.words("/")
    run = begin(house.api, FIRST)
    patiently(house, lambda: re.search("A build is running.*Meanwhile", operator.words("/building")), LONG_S)
    said: list[str] = []
    assert follow(house.api, run, said.append, house.alive), "\n".join(said)
    return First(run, str(current_release(house.settings)))


@contextmanager
def _open_house(more: dict[str, str]) -> Iterator[House]:
    reader, airflow = free_ports(2)
    given = {**SMALL, **more, "MATCHBOOK_READER_PORT": str(reader), "MATCHBOOK_AIRFLOW_PORT": str(airflow)}
    with pytest.MonkeyPatch.context() as environment:
        for name in [n for n in os.environ if n.startswith(("AIRFLOW", "MATCHBOOK_"))]:
            environment.delenv(name)
        for name, value in given.items():
            environment.setenv(name, value)
        home = session.prepared_home("prepared-airflow", _migrate_airflow)
        settings = replace(Settings.from_env(), home=home)
        with servers(settings) as ready:
            yield from _furnished(ready, home)
        remove_home(settings)
    assert [p.name for p in home.iterdir()] == ["data"], "`make reset` leaves what Matchbook made"


def _migrate_airflow(ready: Settings) -> None:
    """Migrate Airflow's metadata, which takes as long as all of its processes take to start."""
    stop_together(start_airflow(ready, without=COMPONENTS))
    (ready.home / "airflow" / "airflow.cfg").unlink()  # it names folders of this home; each copy gets its own
    paths = [p for p in ready.home.glob("airflow/*") if p.is_file() and str(ready.home) in p.read_text()]
    assert not paths, "a copy would write into the prepared home"


def _furnished(ready: Settings, home: Path) -> Iterator[House]:
    migrate(engine(ready))
    import_folder(ready, write_tiny_marketplace(home / "data"))
    processes: dict[str, ManagedProcess] = {}
    try:
        processes |= start_airflow(ready)
        processes |= start_reader(ready)
        found = House(ready, AirflowApi(address(ready), admin_password(ready)), processes)
        wait_for_reader(ready, processes["reader"])
        prepare_dags(found.api, found.alive)
        yield found
    finally:
        stop_together(processes)
        engine(ready).dispose()


@pytest.fixture(scope="session")
def patiently() -> Patiently:
    """Wait for a true answer and return it. `house.alive()` runs between the attempts."""
    import time

    def wait(house: House, question: Callable[[], Any], seconds: float = 180.0) -> Any:
        deadline = time.monotonic() + seconds
        while not (answer := question()):
            house.alive()
            assert time.monotonic() < deadline, f"still waiting after {seconds:.0f} s: {question()!r}"
            time.sleep(0.3 if seconds < 60 else 1)  # each question costs the servers processor time
        return answer

    return wait
