"""Processes that we started, known by pid and start time, so that a reused pid is not mistaken for ours."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from local.places import Account
from models.errors import ServiceError

CLOCK_SLACK_S = 2.0  # the boot time, the base of start times, moves a little when the clock is set

_children: dict[int, subprocess.Popen[bytes]] = {}  # children must be reaped, or they stay as zombies


@dataclass(frozen=True)
class ManagedProcess:
    """One of our processes. group: it owns a session with all its process groups (Airflow's tasks)."""

    pid: int
    started: float
    group: bool = False

    @classmethod
    def of_pid(cls, pid: int) -> ManagedProcess:
        """Return a running process, such as the current one."""
        return cls(pid, psutil.Process(pid).create_time())

    def alive(self) -> bool:
        """Return whether this exact process still runs (a zombie does not)."""
        _reap(self.pid)
        try:
            found = psutil.Process(self.pid)
            same = bool(abs(found.create_time() - self.started) < CLOCK_SLACK_S)
            return same and found.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    def members(self) -> list[psutil.Process]:
        """Return the process. For a group, return its whole session, even if the leader is gone."""
        if not self.group:
            return [psutil.Process(self.pid)] if self.alive() else []
        return [p for p in psutil.process_iter() if self._in_session(p)]

    def _in_session(self, process: psutil.Process) -> bool:
        try:
            return (
                os.getsid(process.pid) == self.pid
                and process.status() != psutil.STATUS_ZOMBIE
                and process.create_time() > self.started - CLOCK_SLACK_S
            )
        except (psutil.Error, ProcessLookupError, PermissionError):
            return False

    def stop(self, sign: signal.Signals = signal.SIGTERM, patience_s: float = 20.0) -> bool:
        """Ask it to end and kill it after `patience_s`; return False if it had ended. Signals no other process."""
        members = self.members()
        if not members:
            return False
        self._signal(sign)
        if not self._gone(patience_s):
            self._signal(signal.SIGKILL)
            self._gone(5.0)
        return True

    def ask(self, sign: signal.Signals = signal.SIGTERM) -> None:
        self._signal(sign)

    def wait(self, patience_s: float) -> bool:
        """Return whether it ended within `patience_s`."""
        return self._gone(patience_s)

    def _signal(self, sign: signal.Signals) -> None:
        for member in self.members():
            try:
                member.send_signal(sign)
            except psutil.NoSuchProcess:
                continue

    def _gone(self, patience_s: float) -> bool:
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            _reap(self.pid)
            if not self.members():
                return True
            time.sleep(0.1)
        return False

    def to_json(self) -> dict[str, Any]:
        return {"pid": self.pid, "started": self.started, "group": self.group}

    @classmethod
    def from_json(cls, note: Mapping[str, Any]) -> ManagedProcess:
        return cls(int(note["pid"]), float(note["started"]), bool(note.get("group", False)))


def start(
    command: Sequence[str | Path],
    log: Path,
    env: Mapping[str, str],
    cwd: Path,
    account: Account | None = None,
    group: bool = False,
) -> ManagedProcess:
    """Start a process in its own session, which Ctrl-C does not reach; append its output to `log`.

    Raises ServiceError if it cannot be started.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    demoted = {} if account is None else account.demotion()
    try:
        log.touch(mode=0o600)
        with log.open("ab") as sink:
            child = subprocess.Popen(
                [str(c) for c in command],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
                **demoted,
            )
    except (OSError, subprocess.SubprocessError) as error:
        raise ServiceError(f"could not start {command[0]}: {error}") from error
    _children[child.pid] = child
    try:
        return ManagedProcess(child.pid, psutil.Process(child.pid).create_time(), group)
    except psutil.Error as error:
        raise ServiceError(f"{command[0]} ended at once; the end of its log:\n{tail(log)}") from error


def stop_together(processes: Mapping[str, ManagedProcess], patience_s: float = 20.0) -> list[str]:
    """Ask all of them to end and kill them after `patience_s`; return the names of those that ran."""
    running = {name: process for name, process in processes.items() if process.members()}
    for process in running.values():
        process.ask()
    deadline = time.monotonic() + patience_s
    for process in running.values():
        process.wait(deadline - time.monotonic())
        process.stop(signal.SIGKILL)
    return list(running)


def tail(log: Path, lines: int = 12) -> str:
    try:
        text = log.read_bytes()[-8000:].decode(errors="replace")
    except OSError:
        return "(no log)"
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:]) or "(an empty log)"


@atexit.register
def _let_go() -> None:
    """Suppress warnings about children that outlive this process on purpose."""
    for child in _children.values():
        child.returncode = child.returncode or 0


def _reap(pid: int) -> None:
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        _children.pop(pid, None)
