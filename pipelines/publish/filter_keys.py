"""Copy the platform's own rows into the keys that filter answers, so that all interactions count.

Each pass reads rows since the last pass, and 15 minutes before it for late rows. A full pass reads everything since
the live release's cutoff: after a publish, after a data loss in Redis, and once an hour.

A release excludes pairs from before its cutoff. So older pairs are removed once no loaded release needs them.
"""

from __future__ import annotations

import csv
import io
import logging
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

import redis
from sqlalchemy import Engine

from models.data.entities import ID_BYTES, KEY_FIELD, Erased
from models.lists.redis_format import OWN, Keys, since_value
from models.lists.redis_server import message_of
from models.lists.release import Release
from models.schema import Entity, EventType
from models.settings.settings import Settings
from pipelines.erased import read_erased
from pipelines.postgres import copy_out, engine, rows, transaction
from pipelines.redis_client import clock, decoded, live_release
from pipelines.run.run import EPOCH, microseconds, parse_instant

log = logging.getLogger(__name__)

LATE = timedelta(minutes=15)
ALL_AGAIN = timedelta(hours=1)
AHEAD = timedelta(days=1)  # later rows have impossible times
BATCH = 1000
_HIDDEN = {Entity.USER: "since/opted_out", Entity.STARTUP: "since/withdrawn"}


#: Remove fields whose time (see `since_value`) is before ARGV[1] from the hashes KEYS.
_TRIM = """
for _, key in ipairs(KEYS) do
  local pairs_of = redis.call('HGETALL', key)
  for i = 1, #pairs_of, 2 do
    local value = pairs_of[i + 1]
    if #value ~= 9 or select(2, struct.unpack('<Bi8', value)) < tonumber(ARGV[1]) then
      redis.call('HDEL', key, pairs_of[i])
    end
  end
end
"""
#: Remove a pair from the hashes of both sides (KEYS) if its time is not after ARGV[3]. ARGV 1, 2: the fields.
_FORGET = """
for i, key in ipairs(KEYS) do
  local value = redis.pcall('HGET', key, ARGV[i])
  if type(value) == 'string' and #value == 9 then
    local code, at = struct.unpack('<Bi8', value)
    if code ~= 255 and at <= tonumber(ARGV[3]) then redis.call('HDEL', key, ARGV[i]) end
  end
end
"""


class SeenPair(NamedTuple):
    """Two ids to hide from each other. value: see `since_value`."""

    user: str
    startup: str
    value: bytes


def refresh_since(settings: Settings, client: redis.Redis, keys: Keys, full: bool = False) -> dict[str, Any]:
    """Update the since hashes and the hidden sets. The caller wraps Redis errors.

    Returns {release, full, met, hidden, shown}: new pairs, ids added to the hidden sets, ids removed. Without a live
    release, `release` is None and only the hidden sets are updated.
    """
    release = live_release(client, keys)
    live = release.id if release else ""
    now = clock(client)
    known, until = None if full else _known_until(client, keys, live, now), microseconds(now)
    full, start = known is None, (known or (parse_instant(release.built) if release else now)) - LATE
    hidden, shown = _refresh_hidden(engine(settings), client, keys, "-infinity" if full else start, now, full)
    met = 0
    if release is not None:
        met = _write(
            client,
            keys,
            settings,
            _met(settings.with_recorded(release.settings), start, now),
            _needed_from(client, keys),
        )
    client.hset(keys.drain, mapping={"release": live, "until": until, **({"full": until} if full else {})})
    done = {"release": live or None, "full": full and bool(live), "met": met, "hidden": hidden, "shown": shown}
    log.info("filters are up to date: %s", done)
    return done


def fill_since(settings: Settings, client: redis.Redis, keys: Keys, release: Release) -> int:
    """Store the events since a release's cutoff before it goes live; return the number of new pairs.

    The caller wraps Redis errors. Raises ServiceError, DataError.
    """
    now = clock(client)
    start = parse_instant(release.built) - LATE
    return _write(client, keys, settings, _met(settings.with_recorded(release.settings), start, now), 0)


def written_anew(
    settings: Settings, client: redis.Redis, keys: Keys, pairs: Sequence[tuple[str, str]], until: datetime | None
) -> None:
    """Rewrite pairs with a retraction as PostgreSQL has them now.

    Removes Redis data of these pairs up to `until`. Rows that the platform still has stay or return.
    """
    if not pairs or until is None:
        return
    pipe = client.pipeline(transaction=False)
    for user, startup in pairs:
        names = [keys.since(Entity.USER, user), keys.since(Entity.STARTUP, startup)]
        pipe.eval(_FORGET, 2, *names, UUID(startup).bytes, UUID(user).bytes, microseconds(until))
    pipe.execute()
    release = live_release(client, keys)
    if release is not None:
        shaped = settings.with_recorded(release.settings)
        window = {
            "users": [u for u, _ in pairs],
            "startups": [s for _, s in pairs],
            "as_of": until + AHEAD,
            "since": EPOCH + timedelta(microseconds=_needed_from(client, keys)),
        }
        asked = rows(engine(settings), "since/pairs", **window)
        found = [{name: str(value) for name, value in row._mapping.items()} for row in asked]
        _write(client, keys, settings, _hiding(shaped, found), 0)


def _needed_from(client: redis.Redis, keys: Keys) -> int:
    """Return microseconds: the oldest build cutoff of a loaded release, less LATE; 0 if none is loaded.

    No release needs earlier pairs, because each excludes pairs from before its cutoff.
    """
    names = [decoded(v) for v in (client.get(keys.current), *client.lrange(keys.history, 0, -1)) if v]
    manifests: Any = client.mget([keys.manifest(name) for name in names]) if names else []
    built = [parse_instant(Release.from_json(m).built) for m in manifests if m]
    return microseconds(min(built) - LATE) if built else 0


def _known_until(client: redis.Redis, keys: Keys, release: str, now: datetime) -> datetime | None:
    """Return the time up to which every row was read for this release; None to read all again.

    None also if the record of the last drain is unreadable or in the future.
    """
    told: list[Any] = client.hmget(keys.drain, "release", "until", "full")
    try:
        until, full = (EPOCH + timedelta(microseconds=int(us)) for us in told[1:])
    except (TypeError, ValueError, OverflowError):
        return None
    return until if told[0] == release.encode() and until <= now and now - ALL_AGAIN <= full <= now else None


def _met(settings: Settings, start: datetime, now: datetime) -> Iterator[SeenPair]:
    """Yield pairs with events since `start`, and founders with their startups."""
    window = {"since": start, "as_of": now + AHEAD}
    for query in ("since/interactions", "since/posted"):
        yield from _hiding(settings, _streamed(engine(settings), query, window))
    for founded in rows(engine(settings), "since/founders", since=start):
        yield SeenPair(str(founded.user_id), str(founded.startup_id), since_value(OWN, microseconds(now)))


def _hiding(settings: Settings, found: Iterable[Mapping[str, str]]) -> Iterator[SeenPair]:
    """Yield the pairs to hide from each other, from rows as text."""
    for row in found:
        kind = row["interaction_type"]
        if kind in set(EventType) and row["user_id"] and row["startup_id"]:  # the export reports other rows
            at_us = microseconds(datetime.fromisoformat(row["occurred_at"]))
            if EventType(kind).hides(settings.lists.views_are_seen):
                yield SeenPair(row["user_id"], row["startup_id"], since_value(EventType(kind).code, at_us))


def _streamed(database: Engine, query: str, window: dict[str, datetime]) -> Iterator[dict[str, str]]:
    """Yield the rows of a query as text, in constant memory."""
    with tempfile.TemporaryFile() as sink, io.TextIOWrapper(sink, encoding="utf-8", newline="") as lines:
        copy_out(database, query, window, sink)
        sink.seek(0)
        yield from csv.DictReader(lines)


def _write(client: redis.Redis, keys: Keys, settings: Settings, met: Iterable[SeenPair], needed_us: int) -> int:
    """Write pairs into the hashes of both sides; return the number of new pairs.

    Removes entries older than `needed_us`.
    """
    ttl_s, new, touched = int(settings.releases.ttl_hours * 3600), 0, set[str]()
    rest = iter(met)
    while part := list(islice(rest, BATCH)):
        pipe, named = client.pipeline(transaction=False), list[str]()
        for user, startup, value in part:
            mine, theirs = keys.since(Entity.USER, user), keys.since(Entity.STARTUP, startup)
            pipe.hsetnx(mine, UUID(startup).bytes, value)
            pipe.hsetnx(theirs, UUID(user).bytes, value)
            pipe.expire(mine, ttl_s)
            pipe.expire(theirs, ttl_s)
            named += [mine, theirs, mine, theirs]
        answers = pipe.execute(raise_on_error=False)
        new += sum(n for n in answers[::4] if isinstance(n, int))
        touched |= set(named) - _begun_anew(client, named, answers)
    _trim(client, touched, needed_us)
    return new


def _begun_anew(client: redis.Redis, names: Sequence[str], answers: Sequence[Any]) -> set[str]:
    """Delete and return keys that are not hashes, so that one broken key does not block the others.

    A full pass fills them again. Raises any other error among the answers.
    """
    refused = [(name, said) for name, said in zip(names, answers, strict=True) if isinstance(said, redis.ResponseError)]
    for _, said in refused:
        if "WRONGTYPE" not in message_of(said):
            raise said
    broken = {name for name, _ in refused}
    if broken:
        log.error("%d keys of seen pairs are not hashes; they were deleted and are filled again", len(broken))
        client.unlink(*broken)
    return broken


def _trim(client: redis.Redis, names: Iterable[str], needed_us: int) -> None:
    rest = iter(names)
    while needed_us and (part := list(islice(rest, BATCH // 10))):
        client.eval(_TRIM, len(part), *part, needed_us)


def _refresh_hidden(
    database: Engine, client: redis.Redis, keys: Keys, since: object, now: datetime, full: bool
) -> tuple[int, int]:
    """Update both hidden sets and their version in one transaction, if they changed; return (added, removed)."""
    hidden = shown = 0
    pipe = client.pipeline(transaction=True)
    for entity, query in _HIDDEN.items():
        held: Any = client.smembers(keys.hidden(entity)) if full else set()
        asked = [UUID(bytes=i) for i in held if len(i) == ID_BYTES]
        found = {row.id.bytes: row.hidden for row in rows(database, query, since=since, as_of=now, held=asked)}
        there: Any = client.smismember(keys.hidden(entity), list(found)) if found else []
        into = [i for i, known in zip(found, there, strict=True) if found[i] and not known]
        out = [i for i, gone in found.items() if not gone] + [i for i in held if len(i) != ID_BYTES]
        if into:
            pipe.sadd(keys.hidden(entity), *into)
        if out:
            pipe.srem(keys.hidden(entity), *out)
        hidden, shown = hidden + len(into), shown + len(out)
    if hidden or shown:
        pipe.set(keys.hidden_version, microseconds(now) // 1_000_000, nx=True)  # never a number that a reader has seen
        pipe.incr(keys.hidden_version)
        pipe.execute()
    return hidden, shown


_ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
Entry = tuple[bytes, dict[bytes, bytes] | None]


def follow_erased(database: Engine, client: redis.Redis, keys: Keys) -> Erased:
    """Copy the erasure marks from PostgreSQL to Redis; readers apply them within a second.

    The caller wraps Redis errors.
    """
    with transaction(database) as connection:
        erased = read_erased(connection)
    wanted = len(erased.marks) + 1 if erased.marks else 0
    if client.hlen(keys.erased) != wanted or (wanted and client.hget(keys.erased, KEY_FIELD) != erased.key):
        seconds, _ = client.time()
        pipe = client.pipeline(transaction=True)
        pipe.delete(keys.erased)
        if wanted:
            pipe.hset(keys.erased, mapping=erased.fields())
        pipe.set(keys.hidden_version, seconds, nx=True)  # never a number that a reader has seen
        pipe.incr(keys.hidden_version)
        pipe.execute()
    return erased


def without_erased(client: redis.Redis, keys: Keys, erased: Erased, entries: Sequence[Entry]) -> list[Entry]:
    """Return the stream entries that name no erased person; remove keys of the others."""
    kept = list[Entry]()
    for name, fields in entries:
        said = _said(fields or {})
        gone = erased.named_in(said)
        if gone:
            _take_back(client, keys, gone, {str(UUID(i)) for i in _ID.findall(said)} - gone)
        else:
            kept.append((name, fields))
    if len(kept) < len(entries):
        log.info("%d entries about erased people are dropped", len(entries) - len(kept))
    return kept


def _said(fields: Mapping[bytes, bytes]) -> str:
    return "\n".join(part.decode(errors="replace") for pair in fields.items() for part in pair)


def _take_back(client: redis.Redis, keys: Keys, gone: set[str], others: set[str]) -> None:
    pipe = client.pipeline(transaction=False)
    for entity in Entity:
        for id in gone:
            pipe.unlink(keys.since(entity, id))
            for other in others:
                pipe.hdel(keys.since(entity, other), UUID(id).bytes)
    pipe.execute()
