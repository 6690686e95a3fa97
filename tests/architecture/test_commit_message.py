"""The hook of commit messages accepts the convention and explains each refusal."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.paths import ROOT


def run(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    message = folder / "message"
    message.write_text(text)
    return subprocess.run([ROOT / ".ci" / "commit-message", message], capture_output=True, text=True)


@pytest.mark.parametrize(
    "text",
    [
        "ALS reads its settings from a table\n",
        "ALS reads its settings from a table\n\nThe flat names are hard to find.\n",
        "# a comment of git\nMëtrics are exact\n# On branch main\n",
        "x" * 71,
        "é" * 71,
        "Merge branch 'a-branch-whose-name-is-far-longer-than-any-subject-that-a-person-may-write'\n",
        'Revert "' + "x" * 80 + '"\n',
    ],
)
def test_a_message_that_follows_the_convention(text: str, tmp_path: Path) -> None:
    assert run(text, tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("# only a comment\n", "empty"),
        ("ALS reads a table.\n", "full stop"),
        ("x" * 72, "72 characters"),
        ("ALS reads a table\nbecause of this\n", "not blank"),
    ],
)
def test_a_message_that_is_refused(text: str, words: str, tmp_path: Path) -> None:
    done = run(text, tmp_path)
    assert done.returncode == 1 and words in done.stderr
