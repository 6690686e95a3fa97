"""Find and stop our own processes. Never touch processes of others."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from local.processes import ManagedProcess, start, stop_together, tail
from models.errors import ServiceError
from tests.waiting import until

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
PARENT = [
    sys.executable,
    "-c",
    "import subprocess, sys, time; "
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], process_group=0); time.sleep(60)",
]
DEAF = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)",
]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[ManagedProcess]]:
    """Collect processes and end them after the test."""
    mine: list[ManagedProcess] = []
    yield mine
    for each in mine:
        each.stop(patience_s=0.1)


def run(command: list[str], tmp_path: Path, started: list[ManagedProcess], group: bool = False) -> ManagedProcess:
    child = start(command, tmp_path / "log", {}, tmp_path, group=group)
    started.append(child)
    return child


def test_a_reused_pid_is_no_process_of_ours(tmp_path: Path) -> None:
    stranger = subprocess.Popen(SLEEP)
    try:
        remembered = ManagedProcess(stranger.pid, psutil.Process(stranger.pid).create_time() - 3600)
        assert not remembered.alive() and not remembered.stop()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_it_is_remembered_over_restarts_of_ours(tmp_path: Path, started: list[ManagedProcess]) -> None:
    child = run(SLEEP, tmp_path, started)
    again = ManagedProcess.from_json(child.to_json())
    assert again == child and again.alive()
    assert again.stop() and not child.alive() and not again.stop()


def test_a_session_ends_with_all_its_groups(tmp_path: Path, started: list[ManagedProcess]) -> None:
    leader = run(PARENT, tmp_path, started, group=True)
    until(lambda: len(leader.members()) == 2)
    children = leader.members()
    assert leader.stop()
    assert not [c for c in children if c.is_running() and c.status() != psutil.STATUS_ZOMBIE]


def test_children_whose_leader_died_are_still_found(tmp_path: Path, started: list[ManagedProcess]) -> None:
    leader = run(PARENT, tmp_path, started, group=True)
    until(lambda: len(leader.members()) == 2)
    psutil.Process(leader.pid).kill()
    until(lambda: not leader.alive())
    assert len(leader.members()) == 1 and leader.stop() and not leader.members()


def test_one_that_does_not_listen_is_killed(tmp_path: Path, started: list[ManagedProcess]) -> None:
    deaf = run(DEAF, tmp_path, started)
    until(lambda: "deaf" in tail(tmp_path / "log"))
    assert deaf.stop(patience_s=0.3) and not deaf.alive()


def test_several_are_asked_at_once(tmp_path: Path, started: list[ManagedProcess]) -> None:
    both = {"one": run(SLEEP, tmp_path, started), "other": run(SLEEP, tmp_path, started)}
    assert stop_together(both) == ["one", "other"] and stop_together(both) == []


def test_several_share_one_patience(tmp_path: Path, started: list[ManagedProcess]) -> None:
    deaf = {name: start(DEAF, tmp_path / name, {}, tmp_path) for name in ("one", "other")}
    started += deaf.values()
    until(lambda: all("deaf" in tail(tmp_path / name) for name in deaf))
    began = time.monotonic()
    assert stop_together(deaf, patience_s=0.5) == ["one", "other"]
    assert time.monotonic() - began < 5 and not any(p.alive() for p in deaf.values())


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=r"could not start .*no-such-program"):
        start([tmp_path / "no-such-program"], tmp_path / "log", {}, tmp_path)
