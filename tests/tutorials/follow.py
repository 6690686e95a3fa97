"""Follow a tutorial step by step in a copy of the checkout.

Fenced blocks at the start of a line are run in order:

    ```python models/<model>/__init__.py     The block is written to this file, for sql, toml and other languages too.
    ```diff                              The block is applied with `git apply --recount`.
    ```console                           Each line after "$ " is run in bash. A line that begins with "> " continues
                                         it. It must succeed. Each line below must occur in a line of its output,
                                         where "…" matches any text.

All other blocks are only shown. Variables that a command exports end with it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from tests.paths import ROOT

PATIENCE_S = 540
_FENCE = re.compile(r"^```(\w*)[ ]*(\S*)[ ]*\n(.*?)^```[ ]*$", re.MULTILINE | re.DOTALL)
_PROMPT, _MORE = "$ ", "> "


class TutorialFailed(AssertionError):
    """A block failed: which one, what was expected and what came instead."""


@dataclass(frozen=True)
class Block:
    """A fenced block. line: of its fence in the page, from 1. path: the second word after the fence, or empty."""

    page: Path
    line: int
    language: str
    path: str
    text: str

    def failed(self, what: str) -> TutorialFailed:
        """Return the error that names this block."""
        name = " ".join(filter(None, (self.language, self.path)))
        return TutorialFailed(f"{self.page}:{self.line} ({name}): {what}")


@dataclass(frozen=True)
class Command:
    """A line of a console block and its expected output."""

    line: str
    expected: tuple[str, ...]


def follow(page: Path, where: Path, env: Mapping[str, str]) -> None:
    """Follow a page in `where`, a copy of the checkout. Raises TutorialFailed.

    env: more variables. The process's own MATCHBOOK_ and PYTEST_ variables are not passed.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MATCHBOOK_", "PYTEST_"))}
    path = f"{where / '.venv' / 'bin'}{os.pathsep}{own.get('PATH', '')}"
    for block in blocks(page):
        _obey(block, where, {**own, **env, "PATH": path})


def copy_checkout(where: Path) -> Path:
    """Copy each file that git does not ignore to a new repository with the same .venv. Return `where`."""
    listed = _ran(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], ROOT).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_symlink() or (ROOT / name).is_file():  # git also lists files that were just removed
            (where / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, where / name, follow_symlinks=False)
    (where / ".venv").symlink_to((ROOT / ".venv").resolve())
    _ran(["git", "init", "-q"], where)
    return where


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for found in _FENCE.finditer(text):
        yield Block(page, text.count("\n", 0, found.start()) + 1, *found.groups())


def commands(block: Block) -> Iterator[Command]:
    """Yield the commands of a console block. Raises TutorialFailed if it does not start with one."""
    if not block.text.startswith(_PROMPT):
        raise block.failed(f'expected a first line that begins with "{_PROMPT}", got {block.text.splitlines()[:1]}')
    for told in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        first, *lines = told.splitlines()
        more = list(takewhile(lambda line: line.startswith(_MORE), lines))
        line = "\n".join([first, *(text.removeprefix(_MORE) for text in more)])
        yield Command(line, tuple(filter(str.strip, lines[len(more) :])))


def _obey(block: Block, where: Path, env: Mapping[str, str]) -> None:
    if block.language == "diff":
        done = _ran(["git", "apply", "--recount", "-"], where, block.text, check=False)
        if done.returncode:
            raise block.failed(f"expected a diff that applies, git came with:\n{done.stderr}")
    elif block.language == "console":
        for command in commands(block):
            _run(block, command, where, env)
    elif block.path:
        (where / block.path).parent.mkdir(parents=True, exist_ok=True)
        (where / block.path).write_text(block.text)


def _run(block: Block, command: Command, where: Path, env: Mapping[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command.line],
        cwd=where,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    if done.returncode:
        raise block.failed(f"expected `{command.line}` to succeed, it left with {done.returncode}:\n{done.stdout}")
    for line in command.expected:
        if not re.search(".*".join(map(re.escape, line.strip().split("…"))), done.stdout):
            raise block.failed(f"expected `{command.line}` to print\n{line}\nit printed:\n{done.stdout}")


def _ran(
    command: list[str], where: Path, given: str | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=where, input=given, capture_output=True, text=True, check=check)
