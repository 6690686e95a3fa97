"""Find words to avoid, long sentences and ids without words in the text of the project.

`python -m tests.architecture.words` lists all finds; `--write` records the number of each file in words-allowed.txt.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.architecture.tree import name, parsed, tracked
from tests.paths import ROOT

LIST = ROOT / "tests" / "architecture" / "words.toml"
ALLOWED = ROOT / "tests" / "architecture" / "words-allowed.txt"
SENTENCE_WORDS = 40

FOREIGN = {"golden", "compose-spec", "vendored"}  # stored formats, and files of others
PROSE = {".md"}
COMMENTED = {".toml": "#", ".in": "#", ".sh": "#", ".yml": "#", ".yaml": "#", ".conf": "#", ".sql": "--", ".lua": "--"}
COMMENTED_NAMES = {"Makefile", "Dockerfile", ".env.example", ".ci/run"}
PAGES = {".html", ".js", ".css"}
HEAD = "# Finds in each file, made by `python -m tests.architecture.words --write`. The aim is an empty list.\n"

#: Code in text: fenced blocks, spans, addresses, HTML comments.
CODE = re.compile(r"```.*?```|`[^`\n]*`|\]\([^)]*\)|<!--.*?-->|https?://\S+", re.DOTALL)
#: A text of requirement ids only.
IDS_ALONE = re.compile(r"(?:[A-R]\d{2}\b[\s,.:;–-]*(?:to|and)?\s*)+")
#: Ends of sentences or pieces of text: a full stop, a blank line, a list item, a table cell, a heading.
END = re.compile(r"[.!?:;](?=\s|$)|\n\s*\n|\n\s*(?:[-*#>]|\d+\.)\s|\|")


class Text(NamedTuple):
    """A piece of prose and its first line."""

    line: int
    words: str
    is_prose: bool = False  # its sentences are measured


class Find(NamedTuple):
    path: str
    line: int
    what: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what!r}; write: {self.instead}"


@cache
def avoided() -> re.Pattern[str]:
    """Join all patterns. A file name such as earnings.json is code, also without backticks."""
    return re.compile(rf"(?<![\w./])(?:{'|'.join(patterns())})(?![\w/]|\.\w|_)", re.IGNORECASE)


@cache
def patterns() -> dict[str, str]:
    """Return the words to write instead, by pattern."""
    found: dict[str, str] = tomllib.loads(LIST.read_text())
    return found


def instead(word: str) -> str:
    return next(advice for pattern, advice in patterns().items() if re.fullmatch(pattern, word, re.IGNORECASE))


@cache
def finds(path: Path) -> list[Find]:
    """Return the finds of a file in the order of its lines."""
    found: list[Find] = []
    for text in texts(path):
        words = CODE.sub(_blank, text.words)
        found += [
            Find(name(path), text.line + words[: match.start()].count("\n"), match[0], instead(match[0]))
            for match in avoided().finditer(words)
        ]
        if IDS_ALONE.fullmatch(words.strip('# \n"')):
            found.append(
                Find(name(path), text.line, words.strip(), "what the id means; requirements.csv names the test")
            )
        if text.is_prose:
            found += [Find(name(path), line, *long) for line, *long in _long(words, text.line)]
    return sorted(found, key=lambda find: find.line)


def _blank(code: re.Match[str]) -> str:
    """Replace code with one word. Keep its line breaks, so that line numbers stay."""
    return "X" + "\n" * code[0].count("\n")


def _long(words: str, line: int) -> Iterator[tuple[int, str, str]]:
    begin = 0
    for end in [*(match.end() for match in END.finditer(words)), len(words)]:
        count = len(words[begin:end].split())
        if count > SENTENCE_WORDS:
            yield line + words[:begin].count("\n"), f"a sentence of {count} words", f"at most {SENTENCE_WORDS}"
        begin = end


def texts(path: Path) -> Iterator[Text]:
    """Yield the prose of a document, or the docstrings, comments and messages of code."""
    source = path.read_text(encoding="utf-8", errors="replace")
    if path.name == "CHANGELOG.md":  # text about older versions does not change
        source = re.split(r"^## ", source, flags=re.MULTILINE)[1]
    if path.suffix == ".py":
        yield from _python(path, source)
    elif path.suffix in PROSE:
        yield Text(1, source, is_prose=True)
    elif path.suffix in PAGES:
        yield Text(1, source)
    elif sign := COMMENTED.get(path.suffix) or ("#" if name(path) in COMMENTED_NAMES else ""):
        yield from _comments(source, sign)


def _comments(source: str, sign: str) -> Iterator[Text]:
    for line, content in enumerate(source.splitlines(), 1):
        _, found, comment = content.partition(sign)
        if found:
            yield Text(line, comment)


def _python(path: Path, source: str) -> Iterator[Text]:
    """Yield comments, docstrings, and messages, which are the other strings with a space."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield Text(token.start[0], token.string)
    tree = parsed(path)
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [p.value if isinstance(p, ast.Constant) else "X" for p in node.values]
            said = "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            said = node.value
        else:
            continue
        if " " in said.strip():
            yield Text(node.lineno, said, is_prose=id(node) in docstrings)


@cache
def read() -> tuple[Path, ...]:
    """Return the files to check: all except the licence and the list of words."""
    left_out = {"LICENSE", "requirements.txt", "requirements-dev.txt"}
    lists = {LIST, ALLOWED, ROOT / "tests" / "architecture" / "test_words.py"}
    return tuple(p for p in tracked() if p.name not in left_out and p not in lists and not FOREIGN & set(p.parts))


def counted() -> dict[str, int]:
    """Count the finds of each file that has any."""
    by_file = {name(path): len(finds(path)) for path in read()}
    return {file: count for file, count in by_file.items() if count}


def allowed() -> dict[str, int]:
    """Return the recorded number of finds by file."""
    lines = (line.split(maxsplit=1) for line in ALLOWED.read_text().splitlines() if not line.startswith("#"))
    return {file: int(count) for count, file in lines}


def write() -> None:
    ALLOWED.write_text(HEAD + "".join(f"{count} {file}\n" for file, count in counted().items()))


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        write()
    else:
        all_finds = [find for path in read() for find in finds(path)]
        print("\n".join(map(str, all_finds)))
        print(f"{len(all_finds)} finds")
