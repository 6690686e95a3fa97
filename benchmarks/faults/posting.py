"""Thirty days of normal events, while one caller forges all events that its limit allows: memory use in Redis.

python -m benchmarks.faults.posting [--days 30] [--pairs 200]

Each day one active person has events with `pairs` startups and a build goes live. Meanwhile a caller posts events of
unseen users until it is refused. Printed: stored pairs of the active person by day, bytes of the forged events.
"""

from __future__ import annotations

import argparse
import sys
import uuid
from datetime import UTC, datetime, timedelta

from benchmarks.faults.town import Town, town
from models.data.event import Event
from models.errors import TooManyEvents
from models.lists.redis_format import since_value
from models.schema import Entity, EventType
from models.settings.settings import Settings
from pipelines.publish.filter_keys import SeenPair, _write
from pipelines.redis_client import connect
from pipelines.run.run import microseconds
from serving.clients.redis import Cache

MB = 1 << 20
KEPT = 3  # builds that stay loaded


def main() -> int:
    """Return 1 if the active person's hash or the forged events exceed their limit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults.posting", description=__doc__)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--pairs", type=int, default=200)
    args = parser.parse_args()
    with town(seed=1) as found:
        held = active(found, args.days, args.pairs)
        taken, grown, budget = forged(found.settings.layered({"events_memory_mb": 16}, "given"))
    sys.stdout.write(
        f"pairs held of the active person, day by day: {held}\n"
        f"forged events taken of one caller in a day: {taken}, {grown / MB:.1f} MB in since hashes, "
        f"budget {budget / MB:.0f} MB\n"
    )
    return int(max(held) > KEPT * args.pairs or grown > 2 * budget)


def active(found: Town, days: int, pairs: int) -> list[int]:
    """Give a user `pairs` events a day; return the pairs in their hash after each day's drain."""
    client, cache, user = connect(found.settings), Cache(found.settings), str(uuid.UUID(int=1))
    start, held = datetime.now(UTC) - timedelta(days=days), list[int]()
    for day in range(days):
        at = start + timedelta(days=day)
        met = [
            SeenPair(user, str(uuid.uuid4()), since_value(EventType.LIKE.code, microseconds(at))) for _ in range(pairs)
        ]
        needed = microseconds(at - timedelta(days=KEPT - 1, minutes=15))  # the cutoff of the oldest loaded build
        _write(client, cache.keys, found.settings, met, needed)
        held.append(client.hlen(cache.keys.since(Entity.USER, user)))
    cache.close()
    return held


def _of_strangers(at: datetime) -> Event:
    event, user, startup = (str(uuid.uuid4()) for _ in range(3))
    return Event(event, user, startup, EventType.DISMISS, at)


def forged(settings: Settings) -> tuple[int, int, int]:
    """Post events of unseen users until refused; return their number, the bytes of their hashes, the byte limit."""
    client, cache, taken = (
        connect(settings),
        Cache(settings.layered({"events_rate_limit": 10**9, "events_waiting_most": 10**9}, "given")),
        0,
    )
    before = client.info("memory")["used_memory"]
    try:
        while True:
            now = datetime.now(UTC)
            events = [_of_strangers(now) for _ in range(200)]
            cache.post("forger", events, cache.now())
            taken += len(events)
    except TooManyEvents:
        stream = client.memory_usage(cache.keys.events, samples=0) or 0
    cache.close()
    return taken, client.info("memory")["used_memory"] - before - stream, settings.events.memory_mb * MB


if __name__ == "__main__":
    sys.exit(main())
