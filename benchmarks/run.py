"""Run all steps on a marketplace of one size, each in its own process; tabulate seconds and memory."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.steps import settings_of
from benchmarks.ways import Rate, rows
from local.servers import remove_home, servers
from models import registry

#: Numbers of users and startups; about 30 events a user.
SIZES = {"2k": (2_000, 500), "20k": (20_000, 5_000), "100k": (100_000, 20_000), "1m": (1_000_000, 50_000)}
#: Parts that a size leaves out: without the rankers it is the plain chain.
LEFT_OUT: Mapping[str, tuple[str, ...]] = {"1m": ("datasets", "rankers")}
#: File of a home with the reports of the finished steps.
DONE = "bench.json"


class StepFailed(Exception):
    """A step of the benchmark failed; its output was shown."""


class Bench:
    """The steps of one size in their own home; `taken` collects the report of each.

    A step is not repeated if the home has its report with the same arguments. without: may name datasets and rankers.
    """

    def __init__(self, home: Path, without: Container[str] = ()) -> None:
        self.home, self._without = home, without
        self.taken: dict[str, dict[str, Any]] = {}
        self._done = json.loads((home / DONE).read_text()) if (home / DONE).is_file() else {}

    def step(self, label: str, name: str, *arguments: str) -> dict[str, Any]:
        before = self._done.get(label)
        if before is None or before["arguments"] != list(arguments):
            self._done[label] = {"arguments": arguments, "report": self._run(label, name, arguments)}
            (self.home / DONE).write_text(json.dumps(self._done, indent=1))
        self.taken[label] = self._done[label]["report"]
        return self.taken[label]

    def _run(self, label: str, name: str, arguments: Sequence[str]) -> dict[str, Any]:
        sys.stderr.write(f"  {label} … ")
        sys.stderr.flush()
        command = [sys.executable, "-m", "benchmarks.steps", str(self.home), name, *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise StepFailed(f"{label} failed with status {done.returncode}")
        report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        sys.stderr.write(f"{report['seconds']:.1f} s, {report['cpu']:.1f} s CPU, {report['peak_mb']:.0f} MB\n")
        return report

    def all(self, users: int, startups: int) -> None:
        """Run all steps up to a live release, then the comparisons."""
        self.step("generate", "generate", str(users), str(startups))
        self.step("import", "load")
        self.step("plain COPY", "copy")
        ranker = "rules" if "rankers" in self._without else "auto"
        snapshot = self.step("export", "export", ranker)["snapshot"]
        if "datasets" not in self._without:
            self.step("datasets", "datasets", snapshot)
        bundles = {}
        for name in registry.bundles():
            bundles[name] = self.step(f"train {name}", "train", name, snapshot)["version"]
        learned = {} if "rankers" in self._without else self.step("train rankers", "rankers", snapshot)["bundles"]
        versions = json.dumps({n: v for n, v in (bundles | learned).items() if v})
        shards = self.step("score", "score", snapshot, versions)["shards"]
        release = self.step("assemble", "assemble", snapshot, versions, json.dumps(shards))["release"]
        self.step("publish", "publish", release)
        self.step("rates", "rates", snapshot, versions)


def measure(size: str, keep: Path | None = None, without: Collection[str] = ()) -> dict[str, dict[str, Any]]:
    """Return the reports of every step of a size. The home is removed afterwards, unless `keep` names one."""
    home = keep or Path(tempfile.mkdtemp(prefix="matchbook-bench-"))
    bench = Bench(home, [*without, *LEFT_OUT.get(size, ())])
    settings = settings_of(home)
    try:
        with servers(settings):
            bench.all(*SIZES[size])
    finally:
        if keep is None:
            remove_home(settings)
            shutil.rmtree(home, ignore_errors=True)
    return bench.taken


def table(size: str, taken: Mapping[str, Mapping[str, Any]]) -> str:
    users, startups = SIZES[size]
    load, score, publish, rates = (taken[n] for n in ("import", "score", "publish", "rates"))
    ranker = "the ranker as trained" if "train rankers" in taken else "the rule-based ranker (none was trained)"
    lines = [
        f"{users:,} users, {startups:,} startups, {load['interactions']:,} events",
        "",
        "| step | seconds | user CPU seconds | peak MB |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {t['seconds']:.1f} | {t['cpu']:.1f} | {t['peak_mb']:,.0f} |"
        for name, t in taken.items()
        if name != "rates"
    ]
    own, copied = taken["export"]["own_seconds"], taken["plain COPY"]["own_seconds"]
    lines += [
        "",
        f"- export at {copied / own:.2f} of plain COPY's speed ({own:.2f} s beside {copied:.2f} s, "
        "libraries not counted)",
        f"- scored: {score['owners'] / score['own_seconds']:,.0f} owners a second, all surfaces, every source, "
        f"{ranker}",
        f"- a stored list: {publish['encoded']:,.0f} bytes encoded, {publish['memory_usage']:,.0f} bytes by "
        f"MEMORY USAGE, {publish['used_memory']:,.0f} bytes of used_memory (item tables included), "
        f"{publish['lists']:,} lists",
        "",
    ]
    return "\n".join(lines + _comparison(rates))


def _comparison(rates: Mapping[str, Any]) -> list[str]:
    head = f"{rates['owners']:,} users, {rates['items']:,} items, {rates['factors']} factors, N = 100:"
    lines = [head, "", *rows({name: Rate(**r) for name, r in rates["rates"].items()}, rates["differing"])]
    return [
        *lines,
        "",
        f"The plain chain: sources {' + '.join(rates['sources'])} ({rates['candidates']} candidates each), "
        f"{rates['blend']} blend, ranker {rates['ranker']}, depth {rates['depth']}, {rates['product']}.",
    ]
