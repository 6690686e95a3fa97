"""Small files, short functions, folders that fit on a screen (the budget of the house)."""

from __future__ import annotations

import statistics
from collections import defaultdict
from pathlib import Path

from tests.house.tree import CODE, ROOT, functions, length, name, python, tracked

FILE_LINES, TEST_LINES = 300, 400
FUNCTION_LINES, FUNCTION_P90, FUNCTION_MEDIAN = 60, 30, 12
ENTRIES = 12
TESTS = 16  # one folder per folder of the source, and what they share


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_files_are_short() -> None:
    long = {name(p): lines(p) for p in python(*CODE) if lines(p) > FILE_LINES}
    long |= {name(p): lines(p) for p in python("tests") if lines(p) > TEST_LINES}
    assert not long, f"split these by what they are about: {long}"


def test_functions_are_short() -> None:
    measured = {f"{name(p)}:{f.name}": length(f) for p in python(*CODE) for f in functions(p)}
    long = {where: n for where, n in measured.items() if n > FUNCTION_LINES}
    assert not long, f"over {FUNCTION_LINES} lines: {long}"
    assert statistics.median(measured.values()) <= FUNCTION_MEDIAN
    assert statistics.quantiles(measured.values(), n=10)[-1] <= FUNCTION_P90


def test_folders_fit_on_a_screen() -> None:
    inside: dict[Path, set[str]] = defaultdict(set)
    for path in tracked():
        parts = path.relative_to(ROOT).parts
        for depth in range(1, len(parts)):
            inside[Path(*parts[:depth])].add(parts[depth])
    most = {Path("tests"): TESTS}
    full = {str(folder): len(found) for folder, found in inside.items() if len(found) > most.get(folder, ENTRIES)}
    assert not full, f"over {ENTRIES} entries; group them: {full}"
