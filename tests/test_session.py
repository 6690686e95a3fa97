"""Check what a test session leaves, removes and shares between its processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import session
from tests.paths import ROOT

SESSION = (
    "import sys, tempfile, tests.session as s; s.begin(); "
    "print(tempfile.gettempdir(), s.memory_folder().parent, flush=True); sys.stdin.read()"
)


def begun(parent: Path) -> tuple[subprocess.Popen[str], list[Path]]:
    """Start a session in a separate process. Return its folders, in `parent` and in memory."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    process = subprocess.Popen(
        [sys.executable, "-c", SESSION],
        cwd=ROOT,
        env=own | {"TMPDIR": str(parent)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, [Path(each) for each in process.stdout.readline().split()]


def test_a_session_removes_its_folders_and_those_of_killed_sessions_only(tmp_path: Path) -> None:
    killed, left = begun(tmp_path)
    killed.kill()
    killed.communicate()
    living, folders = begun(tmp_path)
    last, others = begun(tmp_path)
    assert not any(folder.exists() for folder in left)
    assert all(folder.is_dir() for folder in [*folders, *others]) and not set(folders) & set(others)
    for process in (living, last):
        process.communicate()
        assert process.returncode == 0
    assert not list(tmp_path.iterdir())
    assert not any(folder.exists() for folder in [*folders, *others])


def test_what_is_made_once_is_made_whole_or_again() -> None:
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        folder.mkdir()
        (folder / "file").touch()
        assert len(made) > 1, "the first attempt breaks off"

    name = f"once-{os.getpid()}"
    with pytest.raises(AssertionError):
        session.once(name, make)
    found = session.once(name, make)
    assert session.once(name, make) == found and len(made) == 2
    assert [p.name for p in found.iterdir()] == ["file"]


def test_memory_without_space_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "FREE", 1)
    assert session._usable(tmp_path) and not session._usable(tmp_path / "absent")
    monkeypatch.setattr(session, "FREE", 1 << 60)
    assert not session._usable(tmp_path)


def test_the_longest_begin_first() -> None:
    scopes = ["tests/sql/", "tests/serving/console/", "tests/serving/http/test_fuzzed.py", "tests/e2e/"]
    assert sorted(scopes, key=session.place) == scopes[::-1]


def test_only_files_of_tests_without_the_text_are_passed_over(tmp_path: Path) -> None:
    for name, text in (
        ("test_session.py", "mark.e2e"),
        ("test_follow.py", ""),
        ("conftest.py", ""),
        ("test_of.toml", ""),
    ):
        (tmp_path / name).write_text(text)
    assert [p.name for p in tmp_path.iterdir() if session.without("mark.e2e", p)] == ["test_follow.py"]
