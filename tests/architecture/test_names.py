"""File names describe their content, and texts do not depend on a machine."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.architecture.tree import CODE, PACKAGES, name, parsed, python, tracked
from tests.paths import ROOT

FORBIDDEN = {
    "utils",
    "util",
    "helpers",
    "helper",
    "common",
    "manager",
    "managers",
    "engine",
    "service",
    "services",
    "base",
    "misc",
    "core",
    "shared",
    "stuff",
}
TEXT = {".py", ".md", ".sql", ".toml", ".txt", ".in", ".yml", ".yaml", ".json", ".html", ".js", ".css", ".sh", ""}
HOMES = re.compile(r"(?<![\w.])/(?:home|root|Users|work|mnt)/[\w.-]+")
HOSTS = re.compile(r"https?://(?:[\w.-]*(?:pypi|artifactory|nexus|registry|mirror|download\.pytorch)[\w.-]*)", re.I)
SECRET = re.compile(r"(?i)\b(?:password|secret|token|api_key)\b\s*[=:]\s*['\"][A-Za-z0-9+/_-]{16,}['\"]")


def text_files() -> list[Path]:
    return [p for p in tracked() if p.suffix in TEXT and p != Path(__file__)]


def test_no_file_is_named_after_nothing() -> None:
    found = [name(p) for p in tracked() if {p.stem, *p.relative_to(ROOT).parts[:-1]} & FORBIDDEN]
    assert not found, f"name these after what is in them: {found}"


def test_module_names_are_words() -> None:
    odd = [name(p) for p in python(*CODE) if not re.fullmatch(r"(__)?[a-z][a-z_]*(__)?", p.stem)]
    assert not odd


def test_tests_are_folders_and_no_packages() -> None:
    assert not [name(p) for p in python("tests") if p.name == "__init__.py"]


def test_no_path_or_address_of_one_machine() -> None:
    for path in text_files():
        text = path.read_text(errors="replace")
        assert not HOMES.findall(text), f"{name(path)} names a folder of one machine"
        assert not HOSTS.findall(text), f"{name(path)} names a package registry"


def test_no_secret_is_written_down() -> None:
    found = {name(p): SECRET.findall(p.read_text(errors="replace")) for p in text_files()}
    assert not {p: s for p, s in found.items() if s}


RUNTIME, TESTING = "requirements", "requirements-dev"


def pins(lock: str) -> dict[str, str]:
    lines = (x.split(" ; ")[0].split("==") for x in _lines(f"{lock}.txt"))
    return {re.sub(r"\[.*", "", name): version for name, version in lines}


def asked(lock: str) -> set[str]:
    """Return the packages in the source file of a lock."""
    found = (re.match(r"[A-Za-z0-9._-]+", line) for line in _lines(f"{lock}.in"))
    return {re.sub(r"[-_.]+", "-", m[0]).lower() for m in found if m}


def _lines(file: str) -> list[str]:
    return [x for x in (ROOT / file).read_text().splitlines() if x and not x.startswith("#")]


@pytest.mark.parametrize("lock", [RUNTIME, TESTING])
def test_a_lock_installs_anywhere(lock: str) -> None:
    for line in _lines(f"{lock}.txt"):
        assert re.fullmatch(r"[a-z0-9._-]+(\[[a-z0-9,-]+\])?==[^+@;\s]+( ; .*)?", line), f"not a plain pin: {line}"
        assert not re.match(r"(nvidia-|triton|cuda-|cupy)", line), f"{line}: CUDA comes by ordinary resolution"


@pytest.mark.parametrize("lock", [RUNTIME, TESTING])
def test_a_lock_answers_every_requirement(lock: str) -> None:
    assert asked(lock) <= set(pins(lock)), f"run `make lock`: {asked(lock) - set(pins(lock))}"
    assert len(pins(lock)) > len(asked(lock)), "a lock names everything, not only what we ask for"


@pytest.mark.parametrize(("package", "least"), [("implicit", (0, 7, 0)), ("scipy", (1, 10, 0))])
def test_libraries_are_new_enough(package: str, least: tuple[int, ...]) -> None:
    assert tuple(map(int, pins(RUNTIME)[package].split("."))) >= least


def test_the_locks_agree() -> None:
    runtime, testing = pins(RUNTIME), pins(TESTING)
    assert {p: v for p, v in testing.items() if runtime.get(p, v) != v} == {}, "run `make lock`"


def test_what_tests_use_is_not_in_the_image() -> None:
    assert not asked(TESTING) & asked(RUNTIME)
    found = asked(TESTING) & set(pins(RUNTIME))
    assert found <= {"jsonschema", "pyyaml", "websockets"}, f"{found}: only tests ask for it"  # required by Airflow


@pytest.mark.parametrize("path", python(*CODE), ids=name)
def test_every_file_begins_with_what_it_is(path: Path) -> None:
    assert ast.get_docstring(parsed(path)), f"{name(path)} needs a first line that says what is in it"


def test_what_models_offers_is_described() -> None:
    """Public functions and classes of models/ have a docstring. Methods need none if their class has one."""
    bare: list[str] = []
    for path in python("models"):
        for node in parsed(path).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                bare += [f"{name(path)}:{node.name}"] * (ast.get_docstring(node) is None)
    assert not bare, f"say what it means, its shapes and units, its errors: {bare}"


def test_no_pickle_and_nothing_that_is_evaluated() -> None:
    banned = re.compile(
        r"\b(?:pickle|joblib|dill|cloudpickle)\.|allow_pickle\s*=\s*True|weights_only\s*=\s*False"
        r"|(?<![.\w])(?:eval|exec)\("
    )
    found = {name(p): banned.findall(p.read_text()) for p in python(*CODE)}
    assert not {p: f for p, f in found.items() if f}, "what is stored is arrays and JSON (R12)"


def test_one_module_reads_arrays() -> None:
    """Parsers of array headers may not run in two threads at once (see `models.data.mapped`)."""
    calls = re.compile(r"\b(?:np|numpy)\.(?:load|lib\.format)\b|\bopen_memmap\b|\bliteral_eval\b")
    found = {name(p) for p in python(*PACKAGES) if calls.search(p.read_text())}
    assert found == {"models/data/mapped.py"}
