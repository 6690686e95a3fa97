"""A key that is kept: random, private, the same for all, and never one that a cut-off file would give."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.errors import FileError
from models.keys import ANSWER_KEY, PSEUDONYM_KEY, kept_key


def test_two_homes_and_two_names_have_different_keys(tmp_path: Path) -> None:
    keys = [kept_key(tmp_path / home, name) for home in "ab" for name in (ANSWER_KEY, PSEUDONYM_KEY)]
    assert len(set(keys)) == 4 and all(len(key) == 32 for key in keys)
    assert keys[0] == kept_key(tmp_path / "a", ANSWER_KEY)
    assert {p.stat().st_mode & 0o777 for p in tmp_path.rglob("*-key")} == {0o600}


@pytest.mark.parametrize("content", ["", "\n", "short"])
def test_a_file_that_was_cut_off_gives_no_key(tmp_path: Path, content: str) -> None:
    (tmp_path / PSEUDONYM_KEY).write_text(content)
    with pytest.raises(FileError, match="cut off"):
        kept_key(tmp_path, PSEUDONYM_KEY)
