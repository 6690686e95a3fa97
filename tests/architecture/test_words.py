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
    (".md", "The owner to whom a list belongs.\n", ["whom"]),
    (".md", "The `whom` of code.\n\n```\nwhom\n```\n", []),
    (".md", "See [the file](earned/jury), earnings.json and a/jury.\n", []),
    (".md", "One\ntwo\nwhoever\n", ["whoever"]),
    (".md", " ".join(["word"] * 41) + ".\n", ["a sentence of 41 words"]),
    (".md", " ".join(["word"] * 30) + ".\n" + " ".join(["word"] * 30) + ".\n", []),
    (".md", "| " + " ".join(["word"] * 30) + " | " + " ".join(["word"] * 30) + " |\n", []),
    (".py", '"""A stranger."""\n', ["stranger"]),
    (".py", "X = 1  # pink\n", ["pink"]),
    (".py", 'X = "strangers"\nY = f"{X} was told"\n', ["told"]),
    (".py", 'raise ValueError(f"row {1} is set aside")\n', ["set aside"]),
    (".py", "whom = 1\n", []),
    (".sql", "-- Question: whom?\nSELECT house FROM t;\n", ["whom"]),
    (".toml", "# taught\n#house = 1\nnight = 2\n", ["taught", "house"]),
    (".py", '"""B01-B03, Q01."""\n', ["B01-B03, Q01."]),
    (".py", '"""Thresholds are settings (B11)."""\n', []),
    (".js", 'say("no such door");\n', ["door"]),
    (".csv", "night\n", []),
]


@pytest.mark.parametrize(("suffix", "text", "expected"), CASES)
def test_what_is_found(
    suffix: str, text: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [find.what for find in _finds(tmp_path / f"text{suffix}", text, monkeypatch)] == expected


def test_a_find_names_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _finds(tmp_path / "README.md", "```\nX\n```\nwhom\n", monkeypatch)[0].line == 4


def test_only_the_newest_part_of_the_changelog_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "# Changelog\n\n## Unreleased\n- pink\n\n## 1.0.0\n- whom\n"
    assert [find.what for find in _finds(tmp_path / "CHANGELOG.md", text, monkeypatch)] == ["pink"]


def _finds(path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> list[words.Find]:
    monkeypatch.setattr(words, "name", lambda path: path.name)
    path.write_text(text)
    return words.finds(path)
