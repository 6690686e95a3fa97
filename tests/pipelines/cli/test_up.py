"""End `make up` and `make down` early: used ports, nothing to stop, a partial start."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local.processes import ManagedProcess
from models.settings.settings import Settings
from pipelines.cli.up import Running, _stop_services, main
from tests.paths import ROOT

pytestmark = pytest.mark.slow

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@contextmanager
def listening() -> Iterator[int]:
    with socket.socket() as taker:
        taker.bind(("127.0.0.1", 0))
        taker.listen()
        yield taker.getsockname()[1]


Make = Callable[..., tuple[int, str]]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Make]:
    """Run a step here with a home and these variables. Return its exit status and output."""
    signals = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}

    def run(step: str, **variables: object) -> tuple[int, str]:
        capsys.readouterr()
        with monkeypatch.context() as environment:
            for name, value in {"MATCHBOOK_HOME": tmp_path / "home", **variables}.items():
                environment.setenv(name, str(value))
            try:
                status = main(step.split())
            except SystemExit as wrong:  # argparse ends the process
                status = int(wrong.code or 0)
        return status, capsys.readouterr().out

    yield run
    for number, handler in signals.items():
        signal.signal(number, handler)


def test_taken_ports_are_all_named_before_anything_is_started(make: Make, tmp_path: Path) -> None:
    with listening() as reader, listening() as airflow:
        status, said = make("up", MATCHBOOK_READER_PORT=reader, MATCHBOOK_AIRFLOW_PORT=airflow)
    assert status == 1 and "nothing was started" in said
    for named in (str(reader), str(airflow), "MATCHBOOK_READER_PORT=", "MATCHBOOK_AIRFLOW_PORT="):
        assert named in said
    assert not (tmp_path / "home" / "postgres").exists()


def test_a_misspelled_setting_is_named(make: Make) -> None:
    status, said = make("up", MATCHBOOK_REDAER_PORT=1)
    assert status == 1 and "MATCHBOOK_REDAER_PORT" in said


def test_wrong_use_is_status_two(make: Make) -> None:
    assert make("sideways")[0] == 2


def test_down_and_reset_report_that_nothing_is_there(make: Make, tmp_path: Path) -> None:
    for step in ("down", "reset"):
        status, said = make(step)
        assert status == 0 and str(tmp_path / "home") in said
    assert not (tmp_path / "home").exists()


def test_down_ends_what_is_remembered_and_no_stranger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("MATCHBOOK_HOME", str(home))
    ours, stranger = subprocess.Popen(SLEEP), subprocess.Popen(SLEEP)
    try:
        running = Running(Settings(home=home))
        reused = ManagedProcess(stranger.pid, ManagedProcess.of_pid(stranger.pid).started - 60)
        running.write({"reader": ManagedProcess.of_pid(ours.pid), "airflow-scheduler": reused})
        assert main(["down"]) == 0
        assert ours.wait(10) == -signal.SIGTERM and stranger.poll() is None
        assert "reader" in capsys.readouterr().out and running.processes() == {}
    finally:
        for each in (ours, stranger):
            each.kill()
            each.wait()


def test_half_a_start_does_not_count_as_running(tmp_path: Path) -> None:
    running = Running(Settings(home=tmp_path))
    me = ManagedProcess.of_pid(os.getpid())
    assert not running.alive()
    running.write({"up": me, "airflow-scheduler": me})
    assert not running.alive(), "no reader yet"
    running.add({"reader": me})
    assert not running.alive(), "the drain and what starts with it are missing"
    running.add({"drain": me})
    assert running.alive()
    running.add({"airflow-scheduler": ManagedProcess(me.pid, me.started - 60)})
    assert not running.alive(), "the scheduler ended"


def test_the_scheduler_is_stopped_ahead_of_what_its_tasks_report_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    names = {1: "airflow-api-server", 2: "airflow-scheduler"}
    monkeypatch.setattr(ManagedProcess, "ask", lambda self, *_: asked.append(names[self.pid]))

    def waited(*_: object) -> bool:
        asked.append("waited")
        return True

    monkeypatch.setattr(ManagedProcess, "wait", waited)
    monkeypatch.setattr(ManagedProcess, "members", lambda self: ["itself"])
    monkeypatch.setattr("pipelines.cli.up.stop_together", lambda them, _: asked.extend(them))
    running = Running(Settings(home=tmp_path))
    running.write({name: ManagedProcess(pid, 0.0, group=True) for pid, name in names.items()})
    assert _stop_services(running) == list(names.values())
    assert asked == ["airflow-scheduler", "waited", *names.values()]


def test_data_that_is_not_a_folder_is_refused_with_an_error(make: Make, tmp_path: Path) -> None:
    """A separate process starts servers and stops them, as in `make up`."""
    with listening() as reader:  # a port that will be free
        pass
    with listening() as airflow:
        pass
    home = tmp_path / "home"
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli.up", "up", "--data", tmp_path / "absent"],
        cwd=ROOT,
        env=os.environ
        | {"MATCHBOOK_HOME": str(home), "MATCHBOOK_READER_PORT": str(reader), "MATCHBOOK_AIRFLOW_PORT": str(airflow)},
        text=True,
        capture_output=True,
    )
    assert done.returncode == 1 and "users.csv" in done.stdout and "absent" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr and "has stopped" in done.stdout
    assert not (home / "airflow").exists(), f"Airflow was started for nothing ({time.monotonic() - started:.0f} s)"
    assert make("reset")[0] == 0 and not home.exists()
