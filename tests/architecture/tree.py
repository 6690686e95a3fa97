"""List the source files that the architecture tests check."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.paths import ROOT

#: Modules that no reader process loads: they train models or are large.
NEVER_LOADED = (
    "airflow",
    "implicit",
    "torch",
    "lightgbm",
    "matplotlib",
    "pandas",
    "sklearn",
    "models.two_tower.network",
    "models.two_tower.inputs",
    "models.mlp_ranker.fit",
    "models.gbdt.fit",
    "pipelines",
    "pyarrow",
)

PACKAGES = ("models", "pipelines", "serving", "sql")
CODE = (*PACKAGES, "dags", "benchmarks")


@cache
def tracked() -> tuple[Path, ...]:
    """Return the files that git tracks or would add. Without git, return everything outside hidden folders."""
    asked = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if asked.returncode == 0:
        found = [ROOT / line for line in asked.stdout.splitlines()]
    else:
        found = [p for p in ROOT.rglob("*") if not any(part.startswith(".") for part in p.relative_to(ROOT).parts)]
    return tuple(sorted(p for p in found if p.is_file() and "__pycache__" not in p.parts))


def python(*folders: str) -> list[Path]:
    """Return the Python files in these folders of the repository."""
    return [p for p in tracked() if p.suffix == ".py" and p.relative_to(ROOT).parts[0] in folders]


def name(path: Path) -> str:
    """Return a path as messages show it."""
    return str(path.relative_to(ROOT))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function and method of a file, also nested ones."""
    return (node for node in ast.walk(parsed(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of the body, without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None and len(function.body) > 1 else function.body
    return (body[-1].end_lineno or body[-1].lineno) - body[0].lineno + 1
