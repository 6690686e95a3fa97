"""Functions are short, and files are no longer than one concept needs."""

from __future__ import annotations

import statistics
from pathlib import Path

from tests.architecture.tree import CODE, functions, length, name, python

FILE_LINES = 500  # a longer file holds a second concept
FUNCTION_LINES, FUNCTION_P90, FUNCTION_MEDIAN = 60, 30, 12


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_files_are_short() -> None:
    long = {name(p): lines(p) for p in python(*CODE, "tests") if lines(p) > FILE_LINES}
    assert not long, f"split these by what they are about: {long}"


def test_functions_are_short() -> None:
    measured = {f"{name(p)}:{f.name}": length(f) for p in python(*CODE) for f in functions(p)}
    long = {where: n for where, n in measured.items() if n > FUNCTION_LINES}
    assert not long, f"over {FUNCTION_LINES} lines: {long}"
    assert statistics.median(measured.values()) <= FUNCTION_MEDIAN
    assert statistics.quantiles(measured.values(), n=10)[-1] <= FUNCTION_P90
