"""Processor time of everything that `make up` runs: `python -m benchmarks.idle [--seconds 120]`.

Run it beside a detached `make up` with the same MATCHBOOK_HOME. It reads /proc and changes nothing. A row is one
process that `make up` started, with its descendants. Ended children count in their parent.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from models.settings.settings import Settings

TICKS = os.sysconf("SC_CLK_TCK")


def roots(home: Path) -> dict[str, int]:
    """Return process ids by name from the records of `make up`: services and embedded servers."""
    found = {
        name: note["pid"]
        for record in ("servers.json", "running.json")
        if (home / record).is_file()
        for name, note in json.loads((home / record).read_text()).items()
        if isinstance(note, dict) and "pid" in note
    }
    return {name: pid for name, pid in found.items() if psutil.pid_exists(pid)}


def used(pid: int, others: Collection[int]) -> tuple[float, int, float]:
    """Return seconds of processor time, number of processes and megabytes of PSS of a process tree.

    others: processes with a row of their own.
    """
    seconds, count, memory = 0.0, 0, 0.0
    for process in below(psutil.Process(pid), others):
        with suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            # utime, stime, cutime, cstime: the last two are of ended children
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:15]
            seconds, count = seconds + sum(map(int, fields)) / TICKS, count + 1
            memory += memory_of(process) / 2**20
    return seconds, count, memory


def memory_of(process: psutil.Process) -> int:
    """Return bytes of PSS, or of anonymous memory, an upper bound, where only root may read it (Airflow's workers)."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.AccessDenied:
        about = process.memory_info()
        return int(about.rss - about.shared)


def below(process: psutil.Process, others: Collection[int]) -> list[psutil.Process]:
    children = list[psutil.Process]()
    with suppress(psutil.NoSuchProcess):
        children = [child for child in process.children() if child.pid not in others]
    return [process, *(p for child in children for p in below(child, others))]


def measured(names: Mapping[str, int]) -> dict[str, tuple[float, int, float]]:
    return {name: used(pid, names.values()) for name, pid in names.items()}


def table(
    before: Mapping[str, tuple[float, int, float]], after: Mapping[str, tuple[float, int, float]], s: float
) -> str:
    lines = ["| process | % of one core | seconds | processes | MB (PSS) |", "|---|---|---|---|---|"]
    spent = {name: after[name][0] - before[name][0] for name in before}
    for name, seconds in sorted(spent.items(), key=lambda item: -item[1]):
        lines.append(f"| {name} | {seconds / s:.1%} | {seconds:.2f} | {after[name][1]} | {after[name][2]:,.0f} |")
    total, count = sum(spent.values()), sum(after[name][1] for name in before)
    memory = sum(after[name][2] for name in before)
    return "\n".join([*lines, f"| **together** | **{total / s:.1%}** | {total:.2f} | {count} | {memory:,.0f} |"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.idle", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0)
    args = parser.parse_args()
    names = roots(Settings.from_env().home)
    if not names:
        sys.stderr.write("nothing of this MATCHBOOK_HOME runs: `make up DETACH=1` starts it\n")
        return 1
    before, start = measured(names), time.monotonic()
    time.sleep(args.seconds)
    after, seconds = measured(names), time.monotonic() - start
    sys.stdout.write(f"{seconds:.0f} s\n\n{table(before, after, seconds)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
