"""Add the metrics of a reader's processes, also after one or all are killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from functools import partial
from pathlib import Path

import pytest

from models.schema import Surface
from models.settings.settings import Settings
from serving.counters import FOLDER, fold_ended, open_folder
from tests.paths import ROOT
from tests.serving.conftest import Publish, Running, Served
from tests.waiting import until

AT = f"/api/recommendations/{Surface.STARTUPS_FOR_DEVELOPER}/popular"


def workers(reader: int) -> set[int]:
    """Return the worker processes, which are children of the started one."""
    return {int(pid) for pid in Path(f"/proc/{reader}/task/{reader}/children").read_text().split()}


def replaced(reader: int, gone: int) -> bool:
    now = workers(reader)
    return len(now) == 2 and gone not in now


def get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        return str(answer.read().decode())


def popular_counted(port: int) -> float:
    found = re.findall(
        r'^matchbook_requests_total\{endpoint="popular",status="200"\} ([\d.]+)$', get(port, "/metrics"), re.M
    )
    return sum(map(float, found))


def test_a_killed_process_is_replaced_and_its_counts_stay(
    publish: Publish, served: Served, running: Running, settings: Settings
) -> None:
    publish()
    port = served()
    for _ in range(20):
        get(port, AT)
    (folder,) = (settings.home / "run").iterdir()
    before = workers(running[port].pid)
    assert len(before) == 2
    for pid in before:
        os.kill(pid, signal.SIGKILL)
        until(partial(replaced, running[port].pid, pid), 60, lambda: "none came instead")
        until(lambda: _answers(port), 60, lambda: "nothing is answered")
    until(
        lambda: not any(str(pid) in path.name for path in folder.iterdir() for pid in before),
        60,
        lambda: "the files of ended processes are left",
    )
    assert popular_counted(port) == 20


def test_no_process_outlives_a_reader_that_is_killed(
    publish: Publish, served: Served, running: Running, settings: Settings
) -> None:
    publish()
    port = served()
    processes = workers(running[port].pid)
    assert len(processes) == 2
    running[port].kill()
    until(
        lambda: not any(Path(f"/proc/{pid}").exists() for pid in processes),
        60,
        lambda: "a process goes on without its parent",
    )
    (left,) = (settings.home / "run").iterdir()
    open_folder(settings.home)
    assert not left.exists(), "the next reader removes what a killed one left"


def test_a_locked_folder_is_not_removed(tmp_path: Path) -> None:
    program = (
        f"import sys; from serving.counters import open_folder; from pathlib import Path; "
        f"print(open_folder(Path({str(tmp_path)!r})), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        theirs = Path(other.stdout.readline().strip())
        mine = open_folder(tmp_path)
        assert theirs.is_dir() and mine.is_dir() and mine != theirs
        other.kill()
    third = open_folder(tmp_path)
    assert sorted((tmp_path / "run").iterdir()) == sorted([mine, third])


def test_where_home_is_read_only_the_temporary_directory_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    (tmp_path / "home").write_text("a file: no folder can be made in it, by root neither")
    assert open_folder(tmp_path / "home").parent == tmp_path / "tmp"


def test_files_of_many_ended_processes_become_one_of_each_kind_and_nothing_is_lost(tmp_path: Path) -> None:
    count = (
        "from prometheus_client import Counter, Histogram; Counter('a_b', '', ['c']).labels('d').inc(2); "
        "Histogram('e', '').observe(0.5)"
    )
    for _ in range(5):
        subprocess.run([sys.executable, "-c", count], env=os.environ | {FOLDER: str(tmp_path)}, check=True)
        fold_ended(tmp_path)
    assert sorted(p.name for p in tmp_path.glob("*.db")) == ["counter_0.db", "histogram_0.db"]
    told = subprocess.run(
        [sys.executable, "-c", "from serving.counters import exposition; print(exposition().decode())"],
        cwd=ROOT,
        env=os.environ | {FOLDER: str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert 'a_b_total{c="d"} 10.0' in told
    assert "e_count 5.0" in told and 'e_bucket{le="0.5"} 5.0' in told and 'e_bucket{le="+Inf"} 5.0' in told


def _answers(port: int) -> bool:
    try:
        return bool(get(port, "/health/live"))
    except OSError:
        return False
