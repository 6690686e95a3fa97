"""The platform's own rows into the keys that answers are filtered by: what never came through the reader counts too.

Only what is new is read: rows since the last look, and a quarter of an hour before it for rows that arrive late. All
that happened since the live release's cutoff is read again when another release went live, when Redis lost its data,
and once an hour: for rows that arrive later still, and for startups and people that came back.
"""

from __future__ import annotations

import csv
import io
import logging
import tempfile
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

import redis
from sqlalchemy import Engine

from models.nouns.release import OWN, Keys, since_value
from models.nouns.vocabulary import Entity, EventKind
from models.settings import Settings
from pipelines.postgres import copy_out, engine, rows
from pipelines.release.cache import live_release
from pipelines.runs.run import EPOCH, microseconds, parse_instant

log = logging.getLogger(__name__)

LATE = timedelta(minutes=15)
ALL_AGAIN = timedelta(hours=1)
AHEAD = timedelta(days=1)  # later rows have not happened
BATCH = 1000
_HIDDEN = {Entity.USER: "since/opted_out", Entity.STARTUP: "since/withdrawn"}


class Met(NamedTuple):
    """A pair that is not to be shown to each other. value: see `since_value`."""

    user: str
    startup: str
    value: bytes


def refresh_since(settings: Settings, client: redis.Redis, keys: Keys, full: bool = False) -> dict[str, Any]:
    """Bring since hashes and hidden sets up to date; the caller wraps Redis errors.

    Returns {release, full, met, hidden, shown}: pairs that were not known, ids that went into the hidden sets and ids
    that came out. release is None while none is live: then no list can hold a pair, but whoever is hidden is followed.
    """
    release = live_release(client, keys)
    live = release.id if release else ""
    seconds, micros = client.time()
    now, note = EPOCH + timedelta(seconds=seconds, microseconds=micros), _noted(client, keys)
    full = full or note.get("release") != live or now - _instant(note["full"]) > ALL_AGAIN
    until, start = microseconds(now), now if full else _instant(note["until"]) - LATE
    hidden, shown = _refresh_hidden(engine(settings), client, keys, "-infinity" if full else start, now, full)
    met = 0
    if release is not None:
        start = parse_instant(release.built) if full else start
        met = _write(client, keys, settings, _met(settings.with_recorded(release.settings), start, now))
    client.hset(keys.drain, mapping={"release": live, "until": until, **({"full": until} if full else {})})
    done = {"release": live or None, "full": full and bool(live), "met": met, "hidden": hidden, "shown": shown}
    log.info("filters are up to date: %s", done)
    return done


def _noted(client: redis.Redis, keys: Keys) -> dict[str, str]:
    found: Any = client.hgetall(keys.drain)
    return {k.decode(): v.decode() for k, v in found.items()}


def _instant(us: str) -> datetime:
    return EPOCH + timedelta(microseconds=int(us))


def _met(settings: Settings, start: datetime, now: datetime) -> Iterator[Met]:
    """Pairs that met since, and founders with their startups."""
    window = {"since": start, "as_of": now + AHEAD}
    for query in ("since/interactions", "since/dismissals"):
        for row in _streamed(engine(settings), query, window):
            kind = row["interaction_type"]
            if kind in set(EventKind) and row["user_id"] and row["startup_id"]:  # the export reports what is neither
                at_us = microseconds(datetime.fromisoformat(row["occurred_at"]))
                if EventKind(kind).hides(settings.views_are_seen):
                    yield Met(row["user_id"], row["startup_id"], since_value(EventKind(kind).code, at_us))
    for founded in rows(engine(settings), "since/founders", since=start):
        yield Met(str(founded.user_id), str(founded.startup_id), since_value(OWN, microseconds(now)))


def _streamed(database: Engine, query: str, window: dict[str, datetime]) -> Iterator[dict[str, str]]:
    """The rows of a query as text, by way of a file: however many, at constant memory."""
    with tempfile.TemporaryFile() as sink, io.TextIOWrapper(sink, encoding="utf-8", newline="") as lines:
        copy_out(database, query, window, sink)
        sink.seek(0)
        yield from csv.DictReader(lines)


def _write(client: redis.Redis, keys: Keys, settings: Settings, met: Iterable[Met]) -> int:
    """Into the hashes of both sides; what is known stays as it was, and lives on. Returns how many pairs were not."""
    ttl_s, new = int(settings.release_ttl_hours * 3600), 0
    rest = iter(met)
    while part := list(islice(rest, BATCH)):
        pipe = client.pipeline(transaction=False)
        for user, startup, value in part:
            mine, theirs = keys.since(Entity.USER, user), keys.since(Entity.STARTUP, startup)
            pipe.hsetnx(mine, UUID(startup).bytes, value)
            pipe.hsetnx(theirs, UUID(user).bytes, value)
            pipe.expire(mine, ttl_s)
            pipe.expire(theirs, ttl_s)
        new += sum(pipe.execute()[::4])
    return new


def _refresh_hidden(database: Engine, client: redis.Redis, keys: Keys, since: object, now: datetime,
                    full: bool) -> tuple[int, int]:
    """Both sets and their version in one transaction, and only where something changed: (put in, taken out)."""
    hidden = shown = 0
    pipe = client.pipeline(transaction=True)
    for entity, query in _HIDDEN.items():
        held: Any = client.smembers(keys.hidden(entity)) if full else set()
        asked = [UUID(bytes=i) for i in held]
        found = {row.id.bytes: row.hidden for row in rows(database, query, since=since, as_of=now, held=asked)}
        there: Any = client.smismember(keys.hidden(entity), list(found)) if found else []
        into = [i for i, known in zip(found, there, strict=True) if found[i] and not known]
        out = [i for i, gone in found.items() if not gone]
        if into:
            pipe.sadd(keys.hidden(entity), *into)
        if out:
            pipe.srem(keys.hidden(entity), *out)
        hidden, shown = hidden + len(into), shown + len(out)
    if hidden or shown:
        pipe.set(keys.hidden_version, microseconds(now) // 1_000_000, nx=True)  # never a number that a reader has held
        pipe.incr(keys.hidden_version)
        pipe.execute()
    return hidden, shown
