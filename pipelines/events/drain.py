"""Move each posted event once from the stream into matchbook_events. Only committed entries leave the stream."""

from __future__ import annotations

import json
import logging
import os
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

import redis
from sqlalchemy import Engine, text

import sql
from models.data.event import AHEAD, Event
from models.errors import DataError
from models.lists.answer_id import ShownAnswer
from models.lists.redis_format import DRAIN_GROUP, Keys
from models.settings.settings import Settings
from pipelines.postgres import engine, transaction
from pipelines.publish.filter_keys import Entry, follow_erased, refresh_since, without_erased, written_anew
from pipelines.publish.history import restore_live
from pipelines.redis_client import checked, clock, nicety, redis_errors
from pipelines.run.run import EPOCH

log = logging.getLogger(__name__)

BATCH = 1000
CLAIM_AFTER_S = 60.0  # a consumer that holds entries for longer is dead
CONSUMER_GONE_MS = 3_600_000  # longer than any drain may run
ASIDE_MOST = 10_000  # stored characters of a rejected entry
FAR_US = 253_402_300_799_000_000  # the last second of the year 9999
Pair = tuple[str, str]


def drain_events(settings: Settings, full: bool = False, claim_after_s: float = CLAIM_AFTER_S) -> dict[str, Any]:
    """Store the stream's entries, restore a live release that Redis lost, and update the filter keys.

    full: read all rows since the live release's cutoff, not only new ones.
    Returns {drained, new, set_aside}, the result of `refresh_since`, and `restored` if a release was restored.
    Broken entries are rejected, and stream ids ahead of the clock are repaired.
    Raises ServiceError if a server does not answer; the next drain stores the remaining entries.
    """
    with redis_errors("draining the posted events"):
        client, keys = checked(settings), Keys(settings.namespace)
        follow_erased(engine(settings), client, keys)
        done = drain_stream(settings, client, keys, claim_after_s)
        restored = restore_live(settings, client, keys)
        return done | ({"restored": restored} if restored else {}) | refresh_since(settings, client, keys, full)


def drain_stream(
    settings: Settings, client: redis.Redis, keys: Keys, claim_after_s: float = CLAIM_AFTER_S, wait_s: float = 0.0
) -> dict[str, int]:
    """Store the stream's entries; return {drained, new, set_aside}. The caller wraps Redis errors.

    wait_s: how long to wait for an entry if there is none.
    """
    done = {"drained": 0, "new": 0, "set_aside": 0}
    _begin_group(client, keys)
    consumer = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    for entries in _batches(client, keys, consumer, claim_after_s, wait_s):
        erased = follow_erased(engine(settings), client, keys)  # now, because a person may be erased during the wait
        events, aside = _read(without_erased(client, keys, erased, entries), clock(client))
        new, retracted = _keep(engine(settings), events, aside)
        set_aside = len(aside)
        written_anew(settings, client, keys, retracted, max(e.received for e in events) if events else None)
        _acknowledge(client, keys, [entry for entry, _ in entries], set_aside)
        done["drained"] += len(entries) - set_aside
        done["new"], done["set_aside"] = done["new"] + new, done["set_aside"] + set_aside
    _end_consumers(client, keys, consumer)
    _set_back(client, keys)
    if any(done.values()):
        log.info("events drained %s", done)
    return done


@dataclass(frozen=True)
class _StoredEvent:
    """An event of the stream, its decoded answer id, its entry id, and when the reader received it."""

    event: Event
    shown: ShownAnswer | None
    entry: str
    received: datetime


@dataclass(frozen=True)
class _RejectedEntry:
    """An entry without a valid event."""

    entry: str
    reason: str
    content: str


#: Suffix of the new name for a key that is no stream, or for a stream that accepts no entries.
_BROKEN = ":broken"
#: Repair ids that are ahead of the clock; return 1 after a repair.
#: An empty stream whose last id is ahead gives new entries that time, or refuses them. A group that is ahead of its
#: stream receives nothing. The script makes both anew.
#: KEYS: 1 stream. ARGV: 1 consumer group, 2 allowed milliseconds ahead.
_SET_BACK = """
local function of(about, name)
  for i = 1, #about, 2 do
    if about[i] == name then return tonumber(string.match(about[i + 1], '^%d+')) end
  end
  return 0
end
local last, delivered = of(redis.call('XINFO', 'STREAM', KEYS[1]), 'last-generated-id'), 0
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  for i = 1, #group, 2 do
    if group[i] == 'name' and group[i + 1] == ARGV[1] then delivered = of(group, 'last-delivered-id') end
  end
end
if delivered > last then
  redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], '0')
  return 1
end
local now = redis.call('TIME')
if redis.call('XLEN', KEYS[1]) > 0 or last <= now[1] * 1000 + tonumber(ARGV[2]) then return 0 end
redis.call('DEL', KEYS[1])
redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
return 1
"""


def _begin_group(client: redis.Redis, keys: Keys) -> None:
    """Create the stream and its group. Rename a key of another type, because it would stop every drain and POST."""
    try:
        client.xgroup_create(keys.events, DRAIN_GROUP, id="0", mkstream=True)
    except redis.ResponseError as error:
        full = isinstance(error, redis.OutOfMemoryError)  # draining empties it
        if "WRONGTYPE" in str(error):
            log.error("%s is no stream; it was renamed to %s", keys.events, keys.events + _BROKEN)
            client.rename(keys.events, keys.events + _BROKEN)
            client.xgroup_create(keys.events, DRAIN_GROUP, id="0", mkstream=True)
        elif "BUSYGROUP" not in str(error) and not full:
            raise
    _set_back(client, keys)


def _set_back(client: redis.Redis, keys: Keys) -> None:
    ahead_ms = int(AHEAD.total_seconds() * 1000)
    if nicety(lambda: client.eval(_SET_BACK, 1, keys.events, DRAIN_GROUP, ahead_ms), 0):
        log.warning("the ids of the event stream, or of its consumer group, are ahead of the clock; they start again")


def _batches(
    client: redis.Redis, keys: Keys, consumer: str, claim_after_s: float, wait_s: float
) -> Iterator[list[Entry]]:
    """Yield entries that a dead drain claimed and did not store, then new ones.

    wait_s: how long to wait for the first new one.
    """
    cursor: Any = "0-0"
    while True:
        cursor, entries, *_ = client.xautoclaim(
            keys.events, DRAIN_GROUP, consumer, int(1000 * claim_after_s), start_id=cursor, count=BATCH
        )
        if entries:
            log.warning("%d events were claimed by a drain that did not store them", len(entries))
            yield entries
        if cursor in (b"0-0", "0-0"):
            break
    block_ms = int(1000 * wait_s) or None
    while True:
        answer: Any = client.xreadgroup(DRAIN_GROUP, consumer, {keys.events: ">"}, count=BATCH, block=block_ms)
        entries, block_ms = answer[0][1] if answer else [], None
        if entries:
            yield entries
        if len(entries) < BATCH:
            return


def _keep(database: Engine, events: Sequence[_StoredEvent], aside: list[_RejectedEntry]) -> tuple[int, list[Pair]]:
    """Commit the entries; return (number of new events, pairs with a retraction).

    Rejects events that PostgreSQL refuses. Raises ServiceError.
    """
    try:
        return _store(database, events, aside)
    except DataError:  # PostgreSQL refuses at least one of them: store them one by one
        log.warning("PostgreSQL refused a batch of %d events; they are stored one by one", len(events))
    new, retracted = 0, list[Pair]()
    for event in events:
        try:
            more, pairs = _store(database, [event], [])
            new, retracted = new + more, retracted + pairs
        except DataError as error:
            aside.append(_aside(event.entry, str(error), event.event.entry()))
    _store(database, [], aside)
    return new, retracted


def _read(entries: Sequence[Entry], now: datetime) -> tuple[list[_StoredEvent], list[_RejectedEntry]]:
    """Split the entries into valid events and rejected entries."""
    events, aside = list[_StoredEvent](), list[_RejectedEntry]()
    for entry, fields in entries:
        if fields is None:  # it was deleted while a drain held it
            continue
        name = entry.decode()
        given = {k.decode(errors="replace"): v.decode(errors="replace") for k, v in fields.items()}
        received = _received(name, now)
        try:
            event = Event.of_entry(given, received)
            shown = ShownAnswer.read(event.answer_id) if event.answer_id else None
        except DataError as error:
            aside.append(_aside(name, str(error), given))
        except Exception as error:  # one broken entry must not stop the others
            log.exception("entry %s cannot be read", name)
            aside.append(_aside(name, f"{type(error).__name__}: {error}", given))
        else:
            events.append(_StoredEvent(event, shown, name, received))
    return events, aside


def _received(entry: str, now: datetime) -> datetime:
    """Return when the reader received an entry: its id holds milliseconds and the order in a request.

    Returns `now` if the id is ahead of the clock.
    """
    milliseconds, _, place = entry.partition("-")
    us = int(milliseconds) * 1000 + min(int(place), 999)
    return min(EPOCH + timedelta(microseconds=us), now) if us < FAR_US else now


def _aside(entry: str, reason: str, given: Mapping[str, str]) -> _RejectedEntry:
    """Return a rejected entry, cut to ASIDE_MOST characters."""
    return _RejectedEntry(entry, reason[:ASIDE_MOST], json.dumps(given)[:ASIDE_MOST])


def _store(database: Engine, events: Sequence[_StoredEvent], aside: Sequence[_RejectedEntry]) -> tuple[int, list[Pair]]:
    """Store everything in one transaction; return (number of new events, their pairs with a retraction)."""
    answers = {e.event.answer_id: e.shown for e in events if e.shown is not None}
    with transaction(database) as connection:
        kept = connection.execute(text(sql.load("keep_events", "staging")), _columns(events)).rowcount
        pairs = {"user_id": [e.event.user for e in events], "startup_id": [e.event.startup for e in events]}
        retracted = [
            (str(row.user_id), str(row.startup_id))
            for row in connection.execute(text(sql.load("retracted_pairs", "staging")), pairs)
        ]
        if retracted:
            connection.execute(text(sql.load("retract", "staging")), pairs)
        if answers:
            connection.execute(text(sql.load("keep_answers", "staging")), _answers(answers))
        if aside:
            log.error("rejected: %d entries, the first: %s", len(aside), aside[0].entry)  # no content: it names people
            connection.execute(
                text(sql.load("set_events_aside", "staging")),
                {c: [getattr(a, c).replace("\x00", "�") for a in aside] for c in ("entry", "reason", "content")},
            )
    return int(kept), retracted


def _columns(events: Sequence[_StoredEvent]) -> dict[str, list[Any]]:
    return {
        "event_id": [e.event.event_id for e in events],
        "user_id": [e.event.user for e in events],
        "startup_id": [e.event.startup for e in events],
        "type": [e.event.kind.value for e in events],
        "at": [e.event.at for e in events],
        "received_at": [e.received for e in events],
        "answer_id": [e.event.answer_id or None for e in events],
        "position": [e.event.position or None for e in events],
    }


def _answers(answers: Mapping[str, ShownAnswer]) -> dict[str, list[Any]]:
    shown = list(answers.values())
    return {
        "answer_id": list(answers),
        **{c: [getattr(s, c).value for s in shown] for c in ("surface", "method", "route")},
        **{c: [getattr(s, c) for s in shown] for c in ("release", "live")},
        **{c: [getattr(s, c) or None for s in shown] for c in ("experiment", "edition", "arm")},
        "day": [date(1970, 1, 1) + timedelta(days=s.day) for s in shown],
    }


def _acknowledge(client: redis.Redis, keys: Keys, entries: Sequence[bytes], set_aside: int) -> None:
    """Delete committed entries from the stream. A drain that dies before this loses nothing."""
    pipe = client.pipeline(transaction=True)
    pipe.xack(keys.events, DRAIN_GROUP, *entries)
    pipe.xdel(keys.events, *entries)
    pipe.execute()
    figures = {"drained": len(entries) - set_aside, "set_aside": set_aside}
    for name, count in figures.items():  # separate commands, because a full Redis may delete but not count
        nicety(partial(client.hincrby, keys.drain, name, count), 0)


def _end_consumers(client: redis.Redis, keys: Keys, consumer: str) -> None:
    """Delete this consumer and those of dead drains, unless they hold entries."""
    there: list[Any] = nicety(lambda: client.xinfo_consumers(keys.events, DRAIN_GROUP), [])
    for other in there:
        gone = other["idle"] > CONSUMER_GONE_MS or other["name"] == consumer.encode()
        if gone and not other["pending"]:
            nicety(partial(client.xgroup_delconsumer, keys.events, DRAIN_GROUP, other["name"]), 0)
