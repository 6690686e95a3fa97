"""The text of the project uses the words of the field, in sentences that are short enough."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture import words
from tests.architecture.tree import name


def test_no_file_has_more_finds_than_recorded() -> None:
    recorded = words.allowed()
    for path in words.read():
        found = words.finds(path)
        if len(found) > recorded.get(name(path), 0):
            pytest.fail(f"{recorded.get(name(path), 0)} finds are recorded:\n" + "\n".join(map(str, found)))


def test_the_record_is_not_stale() -> None:
    stale = {file: n for file, n in words.allowed().items() if words.counted().get(file, 0) < n}
    assert not stale, f"fewer finds than recorded; run `python -m tests.architecture.words --write`: {stale}"


@pytest.mark.parametrize("pattern", words.patterns())
def test_an_advice_does_not_use_the_word(pattern: str) -> None:
    assert not words.avoided().search(words.patterns()[pattern])


CASES = [
    ("page.md", "The owner to whom a list belongs.\n", ["whom"]),
    ("page.md", "The `whom` of code.\n\n```\nwhom\n```\n", []),
    ("page.md", "See [the file](earned/jury.csv), earnings.json and a/jury.\n", []),
    ("page.md", "One\ntwo\nwhoever\n", ["whoever"]),
    ("page.md", " ".join(["word"] * 41) + ".\n", ["a sentence of 41 words"]),
    ("page.md", " ".join(["word"] * 30) + ".\n" + " ".join(["word"] * 30) + ".\n", []),
    ("page.md", "| " + " ".join(["word"] * 30) + " | " + " ".join(["word"] * 30) + " |\n", []),
    ("code.py", '"""A stranger."""\n', ["stranger"]),
    ("code.py", "X = 1  # pink\n", ["pink"]),
    ("code.py", 'X = "strangers"\nY = f"{X} was told"\n', ["told"]),
    ("code.py", 'raise ValueError(f"row {1} is set aside")\n', ["set aside"]),
    ("code.py", "whom = 1\n", []),
    ("query.sql", "-- Question: whom?\nSELECT house FROM t;\n", ["whom"]),
    ("settings.toml", "# taught\n#house = 1\nnight = 2\n", ["taught", "house"]),
    ("page.js", 'say("no such door");\n', ["door"]),
    ("data.csv", "night\n", []),
    ("CHANGELOG.md", "# Changelog\n\n## Unreleased\n- pink\n\n## 1.0.0\n- whom\n", ["pink"]),
]


@pytest.mark.parametrize(("file", "text", "expected"), CASES)
def test_what_is_found(
    file: str, text: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "name", lambda path: path.name)
    path = tmp_path / file
    path.write_text(text)
    assert [find.what for find in words.finds(path)] == expected


def test_a_find_names_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "name", lambda path: path.name)
    path = tmp_path / "page.md"
    path.write_text("```\nX\n```\nwhom\n")
    assert words.finds(path)[0].line == 4
