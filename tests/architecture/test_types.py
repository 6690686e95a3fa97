"""mypy checks every Python file, and no file disables it."""

from __future__ import annotations

import ast
import tomllib

from tests.architecture.tree import name, tracked
from tests.paths import ROOT


def test_mypy_reads_every_file_of_ours() -> None:
    read = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["files"])
    ours = {p.relative_to(ROOT).parts[0] for p in tracked() if p.suffix == ".py"}
    assert not ours - read, f"put into [tool.mypy] files: {sorted(ours - read)}"


def test_no_file_is_overlooked_as_a_whole() -> None:
    word = "mypy: " + "ignore-errors"
    found = [name(p) for p in tracked() if p.suffix == ".py" and word in p.read_text()]
    assert not found, f"annotate these instead: {found}"


def test_arrays_say_what_they_hold() -> None:
    """A bare np.ndarray in an annotation has no element type; NDArray[np.float32] has."""
    found = [
        f"{name(path)}:{bare.lineno}"
        for path in tracked()
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in ("models", "pipelines", "serving", "local")
        for node in ast.walk(ast.parse(path.read_text()))
        for annotation in (getattr(node, "annotation", None), getattr(node, "returns", None))
        if annotation is not None
        for bare in ast.walk(annotation)
        if isinstance(bare, ast.Attribute) and bare.attr == "ndarray"
    ]
    assert not found, f"say what is in the arrays: {found}"
