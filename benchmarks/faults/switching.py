"""`python -m benchmarks.faults.switching [--reads N] [--seed S]`: promote and roll back releases continuously.

Every answer is compared with its owner's list in the release that it names. Mixed, empty, degraded and failed answers
are counted; all counts must be 0.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import sys
import time
from collections import Counter
from contextlib import suppress
from multiprocessing.synchronize import Event
from typing import Any

from benchmarks.faults.town import Client, Lists, list_of, town
from models.errors import ReleaseNotFound
from pipelines.publish.history import promote, rollback

READERS = 2
ASKED = 300  # number of owners


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults.switching", description=__doc__)
    parser.add_argument("--reads", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    found = run(args.reads, args.seed)
    sys.stdout.write(table(found) + "\n")
    return int(any(found[name] for name in ("mixed", "empty", "failed", "degraded")))


def run(reads: int, seed: int) -> Counter[str]:
    """Return counts by name, with "switches" and "seconds"."""
    with town(seed, releases=3) as place:
        owners = random.Random(seed).sample(place.owners, ASKED)
        expected = {r: {o: lists[o] for o in owners} for r, lists in place.releases.items()}
        context = multiprocessing.get_context("forkserver")
        stop, done = context.Event(), context.Queue()
        asked = [context.Value("q", 0) for _ in range(READERS)]
        readers = [
            context.Process(target=read, args=(place.port, expected, seed + i, stop, asked[i], done))
            for i in range(READERS)
        ]
        for reader in readers:
            reader.start()
        start, found = time.monotonic(), Counter[str]()
        try:
            while sum(a.value for a in asked) < reads and all(r.is_alive() for r in readers):
                found["switches"] += switch(place.settings, list(expected), found["switches"])
        finally:
            stop.set()
            for _ in readers:
                found.update(done.get(timeout=60))
            for reader in readers:
                reader.join()
        found["seconds"] = round(time.monotonic() - start)
    return found


def switch(settings: Any, releases: list[str], turn: int) -> int:
    """Make another release live, every third time by rollback if it can go back; return the number of switches."""
    if turn % 3 == 2:
        with suppress(ReleaseNotFound):
            rollback(settings)
            return 1
    promote(settings, releases[(turn - turn // 3) % len(releases)])
    return 1


def read(port: int, expected: dict[str, Lists], seed: int, stop: Event, asked: Any, done: Any) -> None:
    """Send requests until stopped; put the counts into `done`."""
    client, rng, found = Client(port), random.Random(seed), Counter[str]()
    owners = sorted(next(iter(expected.values())))
    while not stop.is_set():
        owner = rng.choice(owners)
        status, body, _ = client.ask(list_of(owner))
        found["reads"] += 1
        found.update(judged(status, body, owner, expected))
        asked.value = found["reads"]
    done.put(found)


def judged(status: int, body: bytes, owner: str, expected: dict[str, Lists]) -> list[str]:
    if status != 200:
        return ["failed"]
    answer = json.loads(body)
    items = tuple(place["id"] for place in answer["startups"])
    wrong = [] if items else ["empty"]
    if items != expected.get(answer["release"], {}).get(owner):
        wrong.append("mixed")
    return wrong + (["degraded"] if answer["degraded"] or answer["source"] != "cache" else [])


def table(found: Counter[str]) -> str:
    names = ("reads", "switches", "seconds", "mixed", "empty", "failed", "degraded")
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {found[name]:,} |" for name in names)])


if __name__ == "__main__":
    raise SystemExit(main())
