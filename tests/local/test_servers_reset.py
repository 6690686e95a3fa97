"""`make reset` leaves nothing: it knows every name that the code writes into a home."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from local.processes import ManagedProcess
from local.servers import OURS, remove_home, servers
from models.keys import ANSWER_KEY, PSEUDONYM_KEY, kept_key
from models.settings.environment import Secret
from models.settings.settings import Settings
from pipelines.__main__ import main
from pipelines.cli.up import Running
from pipelines.run.alerts import Alert, send_alert
from pipelines.run.run import log_decision
from tests.architecture.tree import name, python
from tests.as_somebody import NOBODY, called, needs_root

pytestmark = pytest.mark.slow


@pytest.fixture
def home(open_folder: Path) -> Path:
    """Return a home in a folder that everyone may write to."""
    open_folder.chmod(0o777)
    return open_folder / "home"


def test_every_name_that_the_code_puts_into_a_home_is_known() -> None:
    said = {
        (name(p), found)
        for p in python("models", "pipelines", "serving", "dags")
        for found in re.findall(r"\bhome\s*/\s*\"([^\"/]+)\"", p.read_text())
    }
    assert len(said) > 10 and {"erasure", ANSWER_KEY, PSEUDONYM_KEY} <= set(OURS)
    assert not {(p, found) for p, found in said if found not in OURS}, "add it to OURS of local/servers.py"


def _live(settings: Settings) -> int:
    """Write the files of builds, readers, commands and `make up`, and files that a kill leaves."""
    with servers(settings) as ready:
        for key in (ANSWER_KEY, PSEUDONYM_KEY):
            kept_key(ready.home, key)
        log_decision(ready, "retrain", "go", ["because"])
        send_alert(ready, Alert("late", "late", ("x",)))
        Running(ready).write({"up": ManagedProcess.of_pid(os.getpid())})
    main(["keys", "add", "somebody"])
    for cut_off in (f".{ANSWER_KEY}.1a2b3c4d", "servers.1234", "running.new", "api-keys.new", ".erasure.12"):
        (settings.home / cut_off).write_text("")
    remove_home(settings)
    if settings.home.exists():
        raise AssertionError(f"left: {list(settings.home.iterdir())}")
    return 0


def _settings(home: Path) -> Settings:
    return Settings(home=home, webhook_url=Secret("http://127.0.0.1:9/"))


def test_nothing_is_left_after_the_tests(home: Path) -> None:
    status, said = called(lambda: _live(_settings(home)), _settings(home))
    assert status == 0, said


@needs_root
def test_nothing_is_left_for_an_ordinary_user(home: Path) -> None:
    status, said = called(lambda: _live(_settings(home)), _settings(home), NOBODY)
    assert status == 0, said


def test_files_of_others_stay(home: Path) -> None:
    home.mkdir()
    kept_key(home, ANSWER_KEY)
    for stranger in ("notes.txt", "servers-of-mine", ".bashrc"):
        (home / stranger).write_text("mine")
    remove_home(Settings(home=home))
    assert sorted(p.name for p in home.iterdir()) == [".bashrc", "notes.txt", "servers-of-mine"]
