"""`python -m benchmarks.faults.outages [--seconds S] [--seed S]`: freeze or kill Redis and PostgreSQL.

Clients ask for lists of known and unseen owners. Meanwhile a server is frozen (SIGSTOP: it accepts and never answers)
or killed (SIGKILL), then restored. Printed for each fault: the number of answers, the answers that were not 200, hung
or degraded, the slowest answer, and the seconds until all answers were complete again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.faults.town import Client, Town, list_of, town
from local.servers import start_servers

Act = Callable[[], object]
CLIENTS = 4
STRANGERS = 0.2  # share of requests for unseen owners


@dataclass(frozen=True)
class Seen:
    """One answer: arrival time, status, whether degraded, seconds."""

    at: float
    status: int
    degraded: bool
    seconds: float


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults.outages", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5, help="duration of an outage")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    lines = ["| | answers | not 200 | hung | degraded | slowest s | complete again after s |", "|---|" + "---|" * 6]
    hung = 0
    with town(args.seed) as place:
        for name, away, back in faults(place):
            seen, back_at = watched(place, away, back, args.seconds, args.seed)
            hung += sum(s.status == -1 for s in seen)
            lines.append(row(name, seen, back_at))
    sys.stdout.write("\n".join(lines) + "\n")
    return int(hung > 0)


def faults(place: Town) -> Iterator[tuple[str, Act, Act]]:
    """Yield (name, stop a server, restore it)."""
    yield "nothing happens", lambda: None, lambda: None
    for server in ("redis", "postgres"):
        told = partial(tell, place, server)
        yield f"{server} frozen", partial(told, signal.SIGSTOP), partial(told, signal.SIGCONT)
        yield f"{server} killed", partial(told, signal.SIGKILL), partial(start_servers, place.home)


def tell(place: Town, server: str, what: signal.Signals) -> None:
    """Send a signal to a server and all its child processes."""
    pid = json.loads((place.home.home / "servers.json").read_text())[server]["pid"]
    for one in (*children(pid), pid):
        os.kill(one, what)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def watched(place: Town, away: Act, back: Act, seconds: float, seed: int) -> tuple[list[Seen], float]:
    """Return every answer since the start of the outage, and the time when the server was back."""
    with asking(place, seed) as seen:
        time.sleep(2)
        start = time.monotonic()
        away()
        time.sleep(seconds)
        back()
        back_at = time.monotonic()
        time.sleep(seconds)
        return [s for s in list(seen) if s.at >= start], back_at


@contextmanager
def asking(place: Town, seed: int) -> Iterator[list[Seen]]:
    """Run clients during the block; yield their answers."""
    seen: list[Seen] = []
    stop = threading.Event()
    clients = [threading.Thread(target=ask, args=(place, random.Random(seed + i), stop, seen)) for i in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        yield seen
    finally:
        stop.set()
        for client in clients:
            client.join()


def ask(place: Town, rng: random.Random, stop: threading.Event, seen: list[Seen]) -> None:
    client, owners = Client(place.port), place.owners
    while not stop.is_set():
        stranger = rng.random() < STRANGERS
        owner = str(uuid.UUID(int=rng.getrandbits(128), version=4)) if stranger else rng.choice(owners)
        status, body, seconds = client.ask(list_of(owner))
        degraded = status == 200 and bool(json.loads(body)["degraded"])
        seen.append(Seen(time.monotonic(), status, degraded, seconds))
    client.close()


def row(name: str, seen: list[Seen], back: float) -> str:
    bad = [s.at for s in seen if (s.degraded or s.status != 200) and s.at > back]
    again = max(bad, default=back) - back
    return (
        f"| {name} | {len(seen):,} | {sum(s.status not in (200, -1) for s in seen):,} | "
        f"{sum(s.status == -1 for s in seen)} | {sum(s.degraded for s in seen) / max(len(seen), 1):.1%} | "
        f"{max(s.seconds for s in seen):.2f} | {again:.1f} |"
    )


if __name__ == "__main__":
    raise SystemExit(main())
