"""Record time and memory of every step of a build: one JSON line per step in the staging of its run.

{"step": "train.als", "index": null, "wall_s": 3.1, "cpu_s": 5.9, "peak_mb": 412.3, "at": "2024-05-01T02:03:04Z"}

index: instance of a mapped task, else null. wall_s, cpu_s: seconds. CPU includes ended children.
peak_mb: largest resident set of the process during the step, plus that of its largest child.
at: end of the step. The last line of a repeated step counts.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.store.artifacts import append_private

STEPS, RECORD = "steps.jsonl", "run.json"
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_FORGET_PEAK = "5"
_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes per unit of getrusage's values
MB = 1 << 20


@dataclass(frozen=True)
class Stopwatch:
    """Clock values at the start of a step, and the size in bytes of the largest child that had ended."""

    wall: float
    cpu: float
    child: int

    @classmethod
    def now(cls) -> Stopwatch:
        """Start a step. Reset the peak of memory if the system can (Linux)."""
        with suppress(OSError):  # otherwise the peak is that of the whole process
            _CLEAR.write_text(_FORGET_PEAK)
        return cls(time.perf_counter(), _cpu_s(), _largest_child())

    def measured(self, step: str, index: int | None = None) -> dict[str, Any]:
        child = _largest_child()
        peak = _peak_bytes() + (child if child > self.child else 0)
        at = datetime.now(UTC).isoformat(timespec="seconds")  # noqa: TID251 a label, which no list depends on
        return {
            "step": step,
            "index": index,
            "wall_s": round(time.perf_counter() - self.wall, 3),
            "cpu_s": round(_cpu_s() - self.cpu, 3),
            "peak_mb": round(peak / MB, 1),
            "at": at,
        }


@contextmanager
def step(directory: Path, name: str, index: int | None = None) -> Iterator[None]:
    """Measure the body and record it in the run's `directory`, even if it fails.

    Does nothing without a run's record.
    """
    began = Stopwatch.now()
    try:
        yield
    finally:
        if (directory / RECORD).is_file():
            append_timing(directory, began.measured(name, index))


def append_timing(directory: Path, line: dict[str, Any]) -> None:
    """Append one line. Several processes may do it at once."""
    append_private(directory / STEPS, json.dumps(line))


def steps_of(directory: Path) -> list[dict[str, Any]]:
    """Return the newest complete line of every step and index, ordered by their ends."""
    path = directory / STEPS
    found: dict[tuple[str, int | None], dict[str, Any]] = {}
    for text in path.read_text().splitlines() if path.is_file() else ():
        try:
            line = json.loads(text)
            key = (line["step"], line["index"])
        except (ValueError, KeyError, TypeError):
            continue
        found.pop(key, None)
        found[key] = line
    return list(found.values())


def _cpu_s() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _peak_bytes() -> int:
    """Return the largest resident set since the last `now`."""
    try:
        line = next(x for x in _STATUS.read_text().splitlines() if x.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT
    return int(line.split()[1]) * 1024


def _largest_child() -> int:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * _UNIT
