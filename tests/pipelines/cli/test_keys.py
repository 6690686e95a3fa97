"""Manage API keys by command: a key is shown once, stored as a hash, readable only by its owner (L01)."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from models.keys import Scope, decode_keys, key_of
from pipelines.__main__ import main
from tests.paths import ROOT

AT_ONCE = """
import os, sys
from pipelines.__main__ import main, parser
parser()
wait, go = os.pipe()
for _ in range(8):
    if not os.fork():
        os.close(go)
        os.read(wait, 1)
        done = main(["keys", "add", "backend"])
        sys.stdout.flush()
        os._exit(done)
os.close(go)
assert [os.wait()[1] for _ in range(8)] == [0] * 8
"""


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MATCHBOOK_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "api-keys.json"


def said(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    """Decode the output of a command, one JSON object per line."""
    assert main(["keys", *words]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_key_is_shown_once_and_kept_hashed(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (made,) = said(capsys, "add", "backend")
    (listed,) = said(capsys, "list")
    assert listed == {k: v for k, v in made.items() if k != "key"}
    assert (made["name"], made["scopes"], made["expires_at"]) == ("backend", ["read"], None)
    assert made["key"] not in file.read_text()
    key = key_of(decode_keys(file.read_bytes()), made["key"])
    assert key is not None and key.id == made["id"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_scopes_and_expiry_are_chosen(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (made,) = said(capsys, "add", "site", "--scope", "read", "--scope", "events", "--days", "90")
    key = decode_keys(file.read_bytes())[made["id"]]
    assert key.scopes == (Scope.EVENTS, Scope.READ)
    assert key.expires_at is not None and not made["expired"]


def test_revoking_ends_one_key_and_leaves_the_others(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (first,), (second,) = said(capsys, "add", "a"), said(capsys, "add", "a")
    (gone,) = said(capsys, "revoke", first["id"])
    assert gone["revoked"] is True
    assert [k["id"] for k in said(capsys, "list")] == [second["id"]]
    assert main(["keys", "revoke", first["id"]]) == 1
    assert "keys list" in capsys.readouterr().err


@pytest.mark.slow
def test_keys_made_at_the_same_moment_are_all_kept(file: Path) -> None:
    """One process imports the command, and each of its forks runs it."""
    done = subprocess.run([sys.executable, "-c", AT_ONCE], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = re.findall(r'"id": "(\w+)"', done.stdout)  # without a buffer, ends of lines may follow later
    assert len(made) == 8 and sorted(decode_keys(file.read_bytes())) == sorted(made)


@pytest.mark.parametrize(
    "words", [["add"], ["add", "x", "--scope", "write"], ["add", "x", "--days", "0"], [], ["revoke"]]
)
def test_wrong_use_and_failure_have_different_exit_codes(words: list[str], file: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["keys", *words])
    assert ended.value.code == 2
    assert not file.exists()


def test_a_damaged_file_is_not_written_over(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.parent.mkdir()
    file.write_text("{")
    assert main(["keys", "add", "backend"]) == 1
    assert "not a file of API keys" in capsys.readouterr().err
    assert file.read_text() == "{"


def test_a_key_is_bound_to_what_it_may_post(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (made,) = said(capsys, "add", "tracker", "--type", "view", "--type", "click", "--startup", "F957")
    assert (made["scopes"], made["types"], made["users"], made["startups"]) == (
        ["events"],
        ["click", "view"],
        [],
        ["f957"],
    )
    assert decode_keys(file.read_bytes())[made["id"]].bound
    assert main(["keys", "add", "x", "--scope", "read", "--type", "view"]) == 2
    assert main(["keys", "add", "x", "--user", "nobody"]) == 2
    assert "in lower case" in capsys.readouterr().err
