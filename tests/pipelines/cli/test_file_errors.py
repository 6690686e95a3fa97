"""A wrong file or folder gives one sentence, never a traceback or a wait."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.data.bundle import open_bundle
from models.errors import FileError, file_error, message_of
from models.keys import kept_key
from models.lists.release import Release
from models.schema import Surface
from models.settings.settings import Settings
from pipelines.__main__ import main
from pipelines.cli.lists import from_profiles
from tests.as_somebody import NOBODY, called, needs_root
from tests.marketplace.tiny import write_tiny_marketplace


@pytest.fixture
def place(open_folder: Path) -> Path:
    return open_folder


def _folder_with(path: Path) -> Path:
    """Make the tiny marketplace with `path` as its users.csv."""
    if not path.parent.joinpath("startups.csv").exists():
        aside = path.parent / "aside"
        write_tiny_marketplace(aside)
        for name in ("startups.csv", "interactions.csv"):
            (aside / name).rename(path.parent / name)
        shutil.rmtree(aside)
    return path.parent


NO_RELEASE = Release("", "", "", "", "", {}, {}, [], {})
#: By name: the function to call with a path, the name of the file, variables.
READ: dict[str, tuple[str, Callable[[Path, Settings], Any]]] = {
    "data folder": ("users.csv", lambda p, s: main(["import", str(p.parent)])),
    "experiments": ("experiments.json", lambda p, s: Settings.from_env({"MATCHBOOK_EXPERIMENTS": str(p)})),
    "api keys": ("keys.json", lambda p, s: main(["keys", "list"])),
    "ranking set": ("ranker_train.csv", lambda p, s: main(["train-ranker", "--data", str(p)])),
    "profiles": ("p.csv", lambda p, s: from_profiles(s, NO_RELEASE, Surface.STARTUPS_FOR_DEVELOPER, p)),
    "pinned model": ("als_v1_config.json", lambda p, s: open_bundle("als_v1", p.parent)),
    "kept key": ("answer-key", lambda p, s: kept_key(p.parent, "answer-key")),
}
STANDS: dict[str, Callable[[Path], None]] = {
    "a folder": lambda p: p.mkdir(),
    "a dangling link": lambda p: p.symlink_to("nowhere"),
    "links in a circle": lambda p: p.symlink_to(p.name),
    "a pipe": lambda p: os.mkfifo(p),
    "not to be read": lambda p: _closed(p),
}


def _closed(path: Path) -> None:
    path.write_text("secret")
    path.chmod(0o600)


def one_sentence(status: int, said: str, about: str) -> None:
    assert os.WIFEXITED(status), f"it waited or died: {status}"
    assert os.WEXITSTATUS(status) == 1 and "Traceback" not in said, said
    last = said.strip().splitlines()[-1]
    assert "Error: " in last or last.startswith(("BundleNotFound", "BundleCorrupt")), said
    assert about in last, said


@needs_root
@pytest.mark.parametrize("stands", STANDS)
@pytest.mark.parametrize("door", READ)
def test_what_is_read(door: str, stands: str, place: Path, settings: Settings) -> None:
    name, call = READ[door]
    if (door, stands) == ("kept key", "a dangling link"):
        pytest.skip("a key that is missing is made")
    place.joinpath("x").mkdir()
    path = place / "x" / name
    _folder_with(path)
    STANDS[stands](path)
    home = settings.__class__(**{**vars(settings), "home": place / "home"})
    place.joinpath("home").mkdir()
    place.joinpath("home").chmod(0o777)
    keys = {"MATCHBOOK_API_KEYS_FILE": str(place / "x" / "keys.json")}
    status, said = called(lambda: call(path, home), home, NOBODY, **keys)
    if door == "api keys" and stands in ("a dangling link", "links in a circle"):
        assert (os.WEXITSTATUS(status), said) == (0, ""), "no file is no key"
        return
    one_sentence(status, said, "x")


@needs_root
@pytest.mark.parametrize("door", ["data folder", "experiments", "ranking set", "profiles", "pinned model", "kept key"])
def test_a_folder_on_the_way_that_may_not_be_entered(door: str, place: Path, settings: Settings) -> None:
    name, call = READ[door]
    (place / "x").mkdir()
    path = place / "x" / name
    _folder_with(path)
    path.write_text("{}")
    (place / "x").chmod(0o700)
    status, said = called(lambda: call(path, settings), settings, NOBODY)
    one_sentence(status, said, str(place))


def _homes(path: Path) -> dict[str, Callable[[], object]]:
    return {
        "a file": lambda: path.write_text(""),
        "a dangling link": lambda: path.symlink_to("nowhere/at/all"),
        "not to be written": lambda: path.mkdir(mode=0o555),
        "not to be entered": lambda: path.mkdir(mode=0o700),
    }


@needs_root
@pytest.mark.parametrize("stands", ["a file", "a dangling link", "not to be written", "not to be entered"])
@pytest.mark.parametrize("variable", ["MATCHBOOK_HOME", "MATCHBOOK_ARTIFACTS"])
def test_what_is_written(variable: str, stands: str, place: Path, settings: Settings) -> None:
    path = place / "there"
    _homes(path)[stands]()
    variables = {variable: str(path)}
    if variable == "MATCHBOOK_HOME":
        variables |= {"DATABASE_URL": "", "REDIS_URL": ""}
    else:
        variables["MATCHBOOK_HOME"] = str(place / "home")
    status, said = called(lambda: main(["export", "--as-of", "2024-01-01T00:00:00Z"]), settings, NOBODY, **variables)
    one_sentence(status, said, str(path))


def test_a_disk_that_takes_no_more(place: Path, settings: Settings) -> None:
    def full() -> int:
        sys.dont_write_bytecode = True  # a compiled module would be truncated and break later imports
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        return main(["sample", str(place / "sample"), "--users", "50", "--startups", "10"])

    one_sentence(*called(full, settings), "cannot be used")


def test_each_failure_has_its_sentence_and_what_is_no_file_is_passed_on() -> None:
    with pytest.raises(OSError, match="No space") as full, open("/dev/full", "w") as device:
        device.write("x")
        device.flush()
    assert "the disk is full" in message_of(full.value)
    assert isinstance(file_error(full.value), FileError)
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
    with pytest.raises(ConnectionRefusedError):
        file_error(refused)
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)
