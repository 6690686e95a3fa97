"""Read requirements.csv: one requirement per line, with the code and the tests that show it.

A test has the shortest unique end of `tests/<folder>/test_<module>.py::<class>::<test>` as its name. Such a name
stays valid when the test moves to another file. After code or tests have moved, run
`python -m tests.architecture.requirements`: it corrects the list and prints what it could not find.
"""

from __future__ import annotations

import ast
import csv
import re
from functools import cache
from itertools import groupby
from os.path import relpath
from pathlib import Path
from typing import NamedTuple

from tests.architecture.tree import CODE, name, parsed, python
from tests.paths import ROOT

PAGE = ROOT / "docs" / "requirements.md"
LIST = ROOT / "tests" / "architecture" / "requirements.csv"
ID = re.compile(r"(?<![\w.#/-])[A-R]\d{2}(?![\w%-]|\.\d)")
GROUPS = {
    "A": "Models",
    "B": "Routing and fallback",
    "C": "Formulas, weights, hyperparameters",
    "D": "Files",
    "E": "Steps and commands",
    "F": "API",
    "G": "Settings",
    "H": "Caching and batches",
    "I": "Targets",
    "J": "Monitoring and logs",
    "K": "When to build",
    "L": "Security and privacy",
    "M": "Versions and rollback",
    "N": "Scaling and database",
    "O": "Experiments",
    "P": "Error messages and diagnoses",
    "Q": "Tests and guides",
    "R": "Decisions where requirements contradict each other",
}


class Requirement(NamedTuple):
    """A row of the list. code: modules, `module:name` or paths. tests: their names. note: differences and reasons.

    benchmark: the module that measures what no test asserts, or empty.
    """

    id: str
    text: str
    code: tuple[str, ...]
    tests: tuple[str, ...]
    benchmark: str
    note: str


@cache
def requirements() -> tuple[Requirement, ...]:
    with LIST.open(newline="") as file:
        return tuple(
            Requirement(
                r["id"], r["text"], tuple(r["code"].split()), tuple(r["tests"].split()), r["benchmark"], r["note"]
            )
            for r in csv.DictReader(file)
        )


@cache
def collected() -> tuple[str, ...]:
    """Return every test as `tests/<folder>/test_<module>.py::<class>::<test>`, as pytest collects them.

    Tests of a contract class have the file of that class, not the files of its subclasses.
    """
    inherited = {base.id for c in _classes() for base in c.bases if isinstance(base, ast.Name)}
    found: list[str] = []
    for path in python("tests"):
        for node in parsed(path).body:
            if isinstance(node, ast.ClassDef) and (node.name.startswith("Test") or node.name in inherited):
                found += [f"{name(path)}::{node.name}::{test}" for test in _tests(node.body)]
        if path.name.startswith("test_"):
            found += [f"{name(path)}::{test}" for test in _tests(parsed(path).body)]
    return tuple(found)


def _classes() -> list[ast.ClassDef]:
    return [node for path in python("tests") for node in parsed(path).body if isinstance(node, ast.ClassDef)]


def _tests(body: list[ast.stmt]) -> list[str]:
    return [n.name for n in body if isinstance(n, ast.FunctionDef) and n.name.startswith("test")]


def meant_by(wanted: str) -> list[str]:
    """Return the tests that a name matches. A correct name matches one."""
    return [test for test in collected() if test == wanted or test.endswith((f"/{wanted}", f"::{wanted}"))]


def is_there(place: str) -> bool:
    """Return whether a path, a module or a top-level name of a module exists."""
    wanted, file = place.partition(":")[2], file_of(place)
    if file.suffix != ".py":
        return file.exists()
    return file.is_file() and (not wanted or wanted in {n for node in parsed(file).body for n in _named(node)})


def file_of(place: str) -> Path:
    """Return the file of a path, a module or a name in a module. The file may be missing."""
    base = ROOT / place.partition(":")[0].replace(".", "/")
    return next((f for f in (base.with_suffix(".py"), base / "__init__.py") if f.is_file()), ROOT / place)


def _named(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)]


def place_now(place: str) -> str:
    """Return the place, or its new place if exactly one other module has the name."""
    _, _, wanted = place.partition(":")
    if is_there(place) or not wanted:
        return place
    found = [p for p in python(*CODE) if wanted in {n for node in parsed(p).body for n in _named(node)}]
    if len(found) != 1:
        return place
    return ".".join(found[0].relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") + f":{wanted}"


def name_now(wanted: str) -> str:
    """Return the name, or the test of this name if exactly one other file has it."""
    found = meant_by(wanted) or meant_by(wanted.rpartition("::")[2])
    return wanted if meant_by(wanted) or len(found) != 1 else found[0].removeprefix("tests/")


def follow_moves() -> list[str]:
    """Write the list with the present places and tests. Return those that are missing or not unique."""
    left: list[str] = []
    with LIST.open("r+", newline="") as file:
        rows = list(csv.DictReader(file))
        for row in rows:
            code, tests = map(place_now, row["code"].split()), map(name_now, row["tests"].split())
            row["code"], row["tests"] = " ".join(dict.fromkeys(code)), " ".join(dict.fromkeys(tests))
            left += [f"{row['id']}: {p}" for p in row["code"].split() if not is_there(p)]
            left += [f"{row['id']}: {t}" for t in row["tests"].split() if len(meant_by(t)) != 1]
        file.seek(0)
        file.truncate()
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return left


def page() -> str:
    """Return the lists of docs/requirements.md, one per group."""
    every = requirements()
    bare = [r.id for r in every if not r.tests]
    parts = [f"{len(every)} requirements; {len(bare)} of them have no test: {', '.join(bare)}."]
    for letter, title in GROUPS.items():
        group = (r for r in every if r.id.startswith(letter))
        parts += [f"## {letter}. {title}", "\n".join(_line(list(same)) for _, same in groupby(group, _links))]
    return "\n\n".join(parts)


def _line(same: list[Requirement]) -> str:
    """Write requirements in sequence with the same links: id, text and note of each, and the links once."""
    texts = [" ".join(filter(None, [f"**{r.id}**", r.text, r.note and f"*{r.note}*"])) for r in same]
    return " ".join(["-", *texts, _links(same[0])])


def _links(r: Requirement) -> str:
    """Link to the first place in the code, and to at most two tests or the benchmark."""
    shown = [found for wanted in r.tests for found in meant_by(wanted)][:2]
    links = [_link(r.code[0].rpartition(":")[2].removeprefix("docs/"), file_of(r.code[0]))]
    links += [_link(test.rpartition("::")[2], ROOT / test.partition("::")[0]) for test in shown]
    links += [_link(r.benchmark, file_of(r.benchmark))] if r.benchmark else []
    return " ".join(links)


def _link(text: str, file: Path) -> str:
    return f"[`{text}`]({relpath(file, PAGE.parent)})"


if __name__ == "__main__":
    print("\n".join(follow_moves()) or "every place and test is there")
