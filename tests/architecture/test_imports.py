"""Imports follow the declared direction, by contract and by the modules that a running reader loads."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.tree import CODE, NEVER_LOADED, PACKAGES, name, parsed, python
from tests.paths import ROOT


def imported(path: Path) -> set[str]:
    """Return every module that a file imports, at any place."""
    found: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def under(modules: set[str], package: str) -> list[str]:
    return sorted(m for m in modules if m == package or m.startswith(f"{package}."))


def test_import_contracts_hold() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", ["serving.wsgi", "models.recommender.surface"])
def test_a_reader_really_loads_nothing_that_trains(module: str, tmp_path: Path) -> None:
    program = f"import sys, {module}; print([m for m in {NEVER_LOADED!r} if m in sys.modules])"
    env = os.environ | {
        "PYTHONPATH": str(ROOT),
        "MATCHBOOK_HOME": str(tmp_path),
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    }
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def trains(module: str) -> bool:
    """Return whether a module of models/ may be opened by pipelines only."""
    parts = module.split(".")
    return parts[0] == "models" and (
        parts[2:3] == ["fit"] or parts[1:3] in (["two_tower", "network"], ["two_tower", "inputs"])
    )


def test_only_pipelines_opens_what_trains() -> None:
    own = [p for p in python(*CODE) if p.relative_to(ROOT).parts[0] not in ("pipelines", "benchmarks")]
    modules = {p: ".".join(p.relative_to(ROOT).with_suffix("").parts) for p in own}
    found = {name(p): sorted(filter(trains, imported(p))) for p, module in modules.items() if not trains(module)}
    found = {p: m for p, m in found.items() if m}
    assert not found, f"only pipelines may open what trains: {found}"


def test_nobody_imports_dags_or_tests() -> None:
    names = {p.stem for p in (ROOT / "dags").iterdir()} | {"dags", "tests", "benchmarks"}
    found = {name(p): sorted(m for m in imported(p) if m.split(".")[0] in names) for p in python(*PACKAGES)}
    assert not {p: m for p, m in found.items() if m}


#: Declarations need only the standard library.
LIGHT = {"models", "models.registry", "models.schema", "models.spec"}


def test_dags_import_nothing_heavy_at_the_top() -> None:
    allowed = {"__future__", "airflow", *sys.stdlib_module_names}
    for path in python("dags"):
        top = [n for n in parsed(path).body if isinstance(n, ast.Import | ast.ImportFrom)]
        named = {n.module or "" if isinstance(n, ast.ImportFrom) else a.name for n in top for a in n.names}
        named |= {
            f"models.{a.name}" for n in top if isinstance(n, ast.ImportFrom) and n.module == "models" for a in n.names
        }
        foreign = {r for r in named - LIGHT if r.split(".")[0] not in allowed and not r.startswith("matchbook_")}
        assert not foreign, f"{name(path)}: import {foreign} inside the tasks; a DAG file is read every few seconds"


def test_every_package_is_one_and_comes_from_here() -> None:
    for path in python(*PACKAGES):
        assert (path.parent / "__init__.py").is_file(), f"{name(path.parent)} lacks __init__.py: contracts skip it"
    for package in PACKAGES:
        found = __import__(package).__file__
        assert found is not None and Path(found).resolve().is_relative_to(ROOT), f"{package} comes from {found}"
