"""`python -m benchmarks.faults.publishers [--kills N] [--stops N] [--seed S]`: kill or pause publishers.

Each publisher is a process. It is killed (SIGKILL) at a random instant, or stopped (SIGSTOP) until another one has
published and then continued (SIGCONT). Meanwhile a thread reads the live release with one script call, which sees a
single instant. The next publish must work and leave no key without a release.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import redis

import pipelines.publish.lease as leases
from benchmarks.serving.reader import random_release
from local.servers import servers
from models.errors import MatchbookError
from models.lists.redis_format import POPULAR_FIELD, Keys, encode_lists
from models.schema import LIST_KINDS, Surface
from models.settings.environment import Secret
from models.settings.settings import Settings
from pipelines.publish.history import promote
from pipelines.publish.load import Loadable
from pipelines.redis_client import connect, decoded
from pipelines.store.artifacts import Artifacts

USERS, STARTUPS, RELEASES = 2000, 500, 5
#: Shorter than the real lease, so that hundreds of kills do not take hours.
LEASE_S = 0.5
#: Return the state at one instant: the pointer, whether manifest and item tables exist, and for each surface the number
#: of lists and one list. ARGV: the namespace, then for each surface its name and a field.
_LOOK = """
local release = redis.call('GET', ARGV[1] .. ':current')
local own = ARGV[1] .. ':release:' .. release .. ':'
local found = {release, redis.call('EXISTS', own .. 'manifest', own .. 'items:user', own .. 'items:startup')}
for i = 2, #ARGV, 2 do
  found[#found + 1] = redis.call('HLEN', own .. ARGV[i])
  found[#found + 1] = redis.call('HGET', own .. ARGV[i], ARGV[i + 1])
end
return found
"""


@dataclass
class Outcome:
    """Counts of events and violations. Only `reads`, `kills`, `stops` and the moments may be above 0."""

    kills: int = 0
    stops: int = 0
    moments: Counter[str] = field(default_factory=Counter)
    reads: int = 0
    partial: int = 0
    mixed: int = 0
    next_failed: int = 0
    keys_left: int = 0
    keys_missing: int = 0
    late_writes: int = 0
    waits_s: list[float] = field(default_factory=list)

    def table(self) -> str:
        waits = sorted(self.waits_s) or [0.0]
        moments = ", ".join(f"{n} {what}" for what, n in sorted(self.moments.items()))
        rows = {
            f"publishers killed ({moments})": self.kills,
            "publishers stopped, and continued after another had published": self.stops,
            "reads": self.reads,
            "reads that saw an incomplete release": self.partial,
            "reads that saw a list of another release": self.mixed,
            "publishes after a kill or stop that failed": self.next_failed,
            "keys left without a release": self.keys_left,
            "keys of kept releases missing": self.keys_missing,
            "changes by a late publisher": self.late_writes,
            "seconds of the publish after a kill: median, most": f"{waits[len(waits) // 2]:.2f}, {waits[-1]:.2f}",
        }
        return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])


class Town:
    """Releases to publish, their expected lists, and the publisher processes."""

    def __init__(self, settings: Settings, seed: int, users: int = USERS, startups: int = STARTUPS) -> None:
        leases.LEASE_S = LEASE_S
        self.settings, self.rng = settings, random.Random(seed)
        self.client, self.keys = connect(settings), Keys(settings.namespace)
        numbers = np.random.default_rng(seed)
        self.releases = [
            random_release(settings, numbers, f"202405{day:02d}T020000Z", users, startups)[0].id
            for day in range(1, RELEASES + 1)
        ]
        self.lists = {r: _lists(settings, r) for r in self.releases}
        promote(settings, self.releases[0])
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload([__name__])
        self.seconds = min(self._timed() for _ in range(3))

    def other(self) -> str:
        there = {
            decoded(self.client.get(self.keys.current)),
            *map(decoded, self.client.lrange(self.keys.history, 0, -1)),
        }
        return self.rng.choice([r for r in self.releases if r not in there])

    def publisher(self, release: str) -> Any:
        """Start a process that makes a release live; return it once it has the lease."""
        process = self._processes.Process(target=_publish, args=[self.settings, release])
        process.start()
        while process.is_alive() and not self.client.exists(self.keys.publisher):
            time.sleep(0.0002)
        return process

    def keys_off(self) -> tuple[int, int]:
        """Return (number of keys without an owner, number of missing keys)."""
        kept = [
            decoded(self.client.get(self.keys.current)),
            *map(decoded, self.client.lrange(self.keys.history, 0, -1)),
        ]
        owned = {self.keys.current, self.keys.history, self.keys.fence, *map(self.keys.trending, Surface)}
        for release in kept:
            gone = set(LIST_KINDS) - set(Artifacts(self.settings).release(release).kinds)
            owned |= {*self.keys.of_release(release)} - {self.keys.lists(release, kind) for kind in gone}
        there = {decoded(key) for key in self.client.scan_iter(f"{self.settings.namespace}:*", 1000)}
        return len(there - owned), len(owned - there)

    def picture(self) -> dict[bytes, Any]:
        """Return every key with its content, except the two of the lease."""
        own = {self.keys.publisher.encode(), self.keys.fence.encode()}
        return {
            k: content(self.client, k)
            for k in self.client.scan_iter(f"{self.settings.namespace}:*", 1000)
            if k not in own
        }

    def _timed(self) -> float:
        """Return the seconds of an undisturbed publish from the lease on."""
        process, start = self.publisher(self.other()), time.perf_counter()
        process.join()
        return time.perf_counter() - start


def content(client: redis.Redis, key: bytes) -> Any:
    """Return the content of a key. DUMP would not do: it changes while the server resizes a hash's table."""
    return client.hgetall(key) if client.type(key) == b"hash" else client.dump(key)


class Reading(threading.Thread):
    """A thread that reads the live release until stopped."""

    def __init__(self, town: Town, outcome: Outcome) -> None:
        super().__init__(name="reading", daemon=True)
        self.town, self.outcome, self.stop = town, outcome, threading.Event()
        self.failed: list[BaseException] = []
        self.last = decoded(town.client.get(town.keys.current))

    def run(self) -> None:
        look = connect(self.town.settings).register_script(_LOOK)
        choose = random.Random(1)
        fields = {r: {s: list(lists[s]) for s in Surface} for r, lists in self.town.lists.items()}
        try:
            while not self.stop.is_set():
                asked = {s: choose.choice(fields[self.last][s]) for s in Surface}
                words = [word for pair in asked.items() for word in pair]
                time.sleep(0.0005)  # the publishers share the same two cores
                self._check(look(args=[self.town.settings.namespace, *words]), asked)
        except redis.RedisError as error:
            self.failed.append(error)

    def _check(self, found: list[Any], asked: Mapping[Surface, bytes]) -> None:
        release, tables, *rest = found
        self.last = decoded(release)
        expected = self.town.lists[self.last]
        counts = all(n == len(expected[s]) for s, n in zip(Surface, rest[::2], strict=True))
        values = [(expected[s].get(asked[s]), value) for s, value in zip(Surface, rest[1::2], strict=True)]
        self.outcome.reads += 1
        self.outcome.partial += not (tables == 3 and counts)
        self.outcome.mixed += any(wanted != value for wanted, value in values)


def run(town: Town, kills: int, stops: int) -> Outcome:
    """Kill and stop publishers; count violations instead of raising them."""
    outcome = Outcome()
    reading = Reading(town, outcome)
    reading.start()
    for _ in range(kills):
        _kill(town, outcome)
    for _ in range(stops):
        _stop(town, outcome)
    reading.stop.set()
    reading.join()
    outcome.next_failed += len(reading.failed)
    return outcome


def _kill(town: Town, outcome: Outcome) -> None:
    release = town.other()
    process = town.publisher(release)
    time.sleep(town.rng.uniform(0, 1.2 * town.seconds))
    _signal(process, signal.SIGKILL)
    process.join()
    outcome.kills += 1
    outcome.moments[_moment(town, release)] += 1
    start = time.perf_counter()
    _next(town, outcome)
    outcome.waits_s.append(time.perf_counter() - start)


def _moment(town: Town, release: str) -> str:
    if decoded(town.client.get(town.keys.current)) == release:
        return "after the switch"
    return "while it loaded" if town.client.sismember(town.keys.loading, release) else "before its first byte"


def _stop(town: Town, outcome: Outcome) -> None:
    """Stop a publisher, then publish the same release or another one."""
    release = town.other()
    process = town.publisher(release)
    time.sleep(town.rng.uniform(0, 1.2 * town.seconds))
    _signal(process, signal.SIGSTOP)
    outcome.stops += 1
    _next(town, outcome, release if town.rng.random() < 0.5 else None)
    before = town.picture()
    _signal(process, signal.SIGCONT)
    process.join()
    outcome.late_writes += town.picture() != before


def _signal(process: Any, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it just ended
        os.kill(process.pid, number)


def _next(town: Town, outcome: Outcome, release: str | None = None) -> None:
    try:
        promote(town.settings, release or town.other())
    except MatchbookError as error:
        sys.stderr.write(f"the next publish failed: {error}\n")
        outcome.next_failed += 1
    left, missing = town.keys_off()
    outcome.keys_left += left
    outcome.keys_missing += missing


def _publish(settings: Settings, release: str) -> None:
    leases.LEASE_S = LEASE_S
    logging.basicConfig(level=logging.CRITICAL)
    try:
        promote(settings, release)
    except MatchbookError:  # it lost the lease, as expected after a stop
        raise SystemExit(1) from None


def _lists(settings: Settings, release: str) -> dict[Surface, dict[bytes, bytes]]:
    found = Loadable.open(Artifacts(settings), release)
    lists = {s: {POPULAR_FIELD: found.popular(s)} for s in Surface}
    for s in Surface:
        for fields, shard in found.shards(s):
            lists[s] |= dict(zip(fields, encode_lists(shard), strict=True))
    return lists


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults.publishers", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--stops", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="matchbook-bench-") as home:
        Path(home).chmod(0o755)
        unused = Settings(home=Path(home) / "home", database_url=Secret("postgresql://nobody@127.0.0.1:1/none"))
        with servers(unused) as settings:
            outcome = run(Town(settings.layered({"keep_releases": 3}, "given"), args.seed), args.kills, args.stops)
    sys.stdout.write(outcome.table() + "\n")
    clean = (outcome.partial, outcome.mixed, outcome.next_failed, outcome.keys_left, outcome.keys_missing)
    return int(any(clean) or outcome.late_writes > 0)


if __name__ == "__main__":
    raise SystemExit(main())
