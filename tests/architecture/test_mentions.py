"""Every path, module and command named in documents, docstrings and comments exists."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.architecture.tree import name, tracked
from tests.paths import ROOT
from tests.tutorials.follow import blocks

FOLDERS = "models|pipelines|serving|sql|dags|tests|benchmarks|docs|docker"
#: A path from the root; a file name with a suffix of this project; a module; a command.
PATH = re.compile(rf"(?<![\w./:-])((?:{FOLDERS})/[\w./-]*\w/?)(?![\w*<{{])")
FILE = re.compile(r"(?<![\w./:<*{}-])((?:[\w-]+/)*[\w-]+\.(?:py|sql|lua|md))\b(?![\w*<(])")
MODULE = re.compile(
    r"(?<![\w./:-])((?:models|pipelines|serving|sql|dags|tests|benchmarks)(?:\.[a-zA-Z_]\w*)+)"
    r"(?![\w/*<])"
)
SUFFIX = re.compile(r"\.(?:md|py|sql|lua|png|yml|npz|csv|json)$")
STEP = re.compile(r"python -m pipelines ([a-z][a-z-]+)")
RUN = re.compile(r"python -m ((?:models|pipelines|serving|benchmarks|dags)[\w.]*)")
MAKE = re.compile(r"`make ([a-z][a-z0-9-]*)")
#: Files that a build writes, and scripts of other projects.
FOREIGN = {"evaluation.md", "score.py", "split.py"}
TEXTS = [
    p
    for p in tracked()
    if p.suffix in (".md", ".py", ".sql", ".yml", ".lua", ".in", ".toml", ".conf", ".sh", "")
    and p.name != "LICENSE"
    and "compose-spec" not in p.parts
    and p.name != Path(__file__).name
]


def said(path: Path) -> str:
    """Return the texts of a file: a whole document, or the docstrings, comments and messages of code."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix != ".py":
        return text
    return "\n".join(re.findall(r'"""(?:.|\n)*?"""|#.*|"(?:[^"\\\n]|\\.)*"', text))


@cache
def everything() -> frozenset[str]:
    """Return every tracked file and folder, as text from the root."""
    files = [name(p) for p in tracked()]
    return frozenset([*files, *(str(parent) for f in files for parent in Path(f).parents)])


@cache
def steps() -> frozenset[str]:
    told = subprocess.run([sys.executable, "-m", "pipelines", "--help"], cwd=ROOT, capture_output=True, text=True)
    return frozenset(re.findall(r"^ {4}([a-z][a-z-]+)", told.stdout, re.MULTILINE))


def made(page: Path) -> set[str]:
    """Return the files and folders that a tutorial writes."""
    files = [b.path for b in blocks(page) if b.path] if page.suffix == ".md" else []
    return {*files, *(str(parent) for f in files for parent in Path(f).parents)}


def gone(path: Path, text: str) -> set[str]:
    """Return the names in a text that do not exist."""
    text = re.sub(r"\]\([^)]*\)", "]", text)  # test_texts.py checks links
    text = re.sub(r"^(---|\+\+\+) [ab]/", "", text, flags=re.MULTILINE)  # headers of a diff in a tutorial
    there = everything() | made(path)
    paths = {p.rstrip("/.") for p in PATH.findall(text)}
    found = {p for p in paths if p not in there and f"{p}.py" not in there and not _called(p)}
    files = {f for f in FILE.findall(text) if f not in FOREIGN}
    found |= {
        f
        for f in files
        if not any(e == f or e.endswith(f"/{f}") for e in there) and not (path.parent / f).resolve().exists()
    }
    modules = {m for m in MODULE.findall(text) if not SUFFIX.search(m) and not _module(m)}
    found |= {m for m in modules if not {m.replace(".", "/"), m.replace(".", "/") + ".py"} & there}
    found |= {f"python -m pipelines {s}" for s in STEP.findall(text) if s not in steps()}
    found |= {f"python -m {m}" for m in RUN.findall(text) if not _runs(m)}
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    return found | {f"make {t}" for t in MAKE.findall(text) if t not in targets}


def _called(path: str) -> bool:
    """Return whether `sql/queries/owner/user` names a query as `sql.load` takes it."""
    return f"{path}.sql" in everything()


def _module(dotted: str) -> bool:
    """Return whether it is a module or a name in a module."""
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        base = "/".join(parts[:end])
        file = next((f for f in (f"{base}.py", f"{base}/__init__.py") if f in everything()), None)
        if file or base in everything():
            rest = parts[end:]
            said_there = (ROOT / file).read_text() if file else ""
            return not rest or re.search(rf"\b{rest[0]}\b", said_there) is not None
    return False


def _runs(module: str) -> bool:
    base = module.rstrip(".").replace(".", "/")
    return f"{base}.py" in everything() or f"{base}/__main__.py" in everything()


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_what_it_names_is_there(path: Path) -> None:
    missing = gone(path, said(path))
    assert not missing, f"{name(path)} names {', '.join(sorted(missing))}: not there; name what is, or what it was for"


@pytest.mark.parametrize(
    "text",
    [
        "`models/gone.py`",
        "`pipelines/train/gone/`",
        "see gone.sql",
        "`lua/gone.lua`",
        "`models.data.gone`",
        "`pipelines.postgres.gone_with_the_wind`",
        "run `python -m pipelines gone`",
        "`python -m benchmarks.gone`",
        "`make gone`",
    ],
)
def test_it_would_notice(text: str) -> None:
    assert gone(ROOT / "README.md", text)


@pytest.mark.parametrize(
    "text",
    [
        "`models/data/bundle.py`",
        "`pipelines/train/`",
        "users.sql",
        "`lua/switch.lua`",
        "`make up`",
        "`models.data.bundle.Bundle`",
        "`python -m pipelines build --fresh`",
        "`python -m benchmarks`",
        "models/<name>.npy",
        "sql/queries/*.sql",
        "`sql/queries/owner/user`",
    ],
)
def test_it_lets_pass_what_is_there(text: str) -> None:
    assert not gone(ROOT / "README.md", text)
