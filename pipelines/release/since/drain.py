"""Posted events from the stream into matchbook_events: each kept once, each deleted from the stream only when kept."""

from __future__ import annotations

import json
import logging
import os
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import redis
from sqlalchemy import Engine, text

import sql
from models.errors import DataError
from models.nouns.interactions import Event
from models.nouns.release import DRAIN_GROUP, Keys
from models.nouns.release.answers import ShownAnswer
from models.settings import Settings
from pipelines.postgres import engine, transaction
from pipelines.release.cache import checked, nicety, wrapped
from pipelines.release.restore import restore_live
from pipelines.release.since.refresh import refresh_since

log = logging.getLogger(__name__)

BATCH = 1000
CLAIM_AFTER_S = 60.0  # whoever has held entries for so long without keeping them is dead
CONSUMER_GONE_MS = 3_600_000  # longer than any drain may run
Entry = tuple[bytes, dict[bytes, bytes]]


def drain_events(settings: Settings, full: bool = False, claim_after_s: float = CLAIM_AFTER_S) -> dict[str, Any]:
    """Keep what waits in the stream, load again what was live if Redis has lost it (then the answer has `restored`),
    bring the filter keys up to date with the platform's own rows.

    full: read everything since the live release's cutoff, not only what is new. Returns {drained, new, set_aside} and
    what `refresh_since` returns. Raises ServiceError where a server does not answer: what was not kept is still in the
    stream, and the next drain takes it.
    """
    with wrapped("draining the posted events"):
        client, keys = checked(settings), Keys(settings.namespace)
        done = {"drained": 0, "new": 0, "set_aside": 0}
        _begin_group(client, keys)
        consumer = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        for entries in _batches(client, keys, consumer, claim_after_s):
            new, set_aside = _keep(engine(settings), entries)
            _acknowledge(client, keys, [entry for entry, _ in entries], set_aside)
            done["drained"] += len(entries) - set_aside
            done["new"], done["set_aside"] = done["new"] + new, done["set_aside"] + set_aside
        _end_consumers(client, keys, consumer)
        log.info("events drained %s", done)
        restored = restore_live(settings, client, keys)
        return done | ({"restored": restored} if restored else {}) | refresh_since(settings, client, keys, full)


@dataclass(frozen=True)
class _Kept:
    """An event of the stream: what its answer id says, the name of its entry, when the reader took it."""

    event: Event
    shown: ShownAnswer | None
    entry: str
    received: datetime


@dataclass(frozen=True)
class _Aside:
    """An entry that is no event."""

    entry: str
    reason: str
    content: str


def _begin_group(client: redis.Redis, keys: Keys) -> None:
    try:
        client.xgroup_create(keys.events, DRAIN_GROUP, id="0", mkstream=True)
    except redis.ResponseError as error:
        full = isinstance(error, redis.OutOfMemoryError)  # it is emptied by draining it
        if "BUSYGROUP" not in str(error) and not full:
            raise


def _batches(client: redis.Redis, keys: Keys, consumer: str, claim_after_s: float) -> Iterator[list[Entry]]:
    """First what a drain that died had taken and not kept, then what is new."""
    cursor: Any = "0-0"
    while True:
        cursor, entries, *_ = client.xautoclaim(keys.events, DRAIN_GROUP, consumer, int(1000 * claim_after_s),
                                                start_id=cursor, count=BATCH)
        if entries:
            log.warning("%d events were taken by a drain that did not keep them", len(entries))
            yield entries
        if cursor in (b"0-0", "0-0"):
            break
    while True:
        answer: Any = client.xreadgroup(DRAIN_GROUP, consumer, {keys.events: ">"}, count=BATCH)
        entries = answer[0][1] if answer else []
        if entries:
            yield entries
        if len(entries) < BATCH:
            return


def _keep(database: Engine, entries: Sequence[Entry]) -> tuple[int, int]:
    """Commit the entries: (events that were not kept before, entries set aside). Raises ServiceError."""
    events, aside = _read(entries)
    try:
        return _store(database, events, aside), len(aside)
    except DataError:  # PostgreSQL refuses one of them: find out which
        log.warning("a batch of %d events is refused as a whole and is kept one by one", len(events))
    new = 0
    for event in events:
        try:
            new += _store(database, [event], [])
        except DataError as error:
            aside.append(_Aside(event.entry, str(error), json.dumps(event.event.entry())))
    _store(database, [], aside)
    return new, len(aside)


def _read(entries: Sequence[Entry]) -> tuple[list[_Kept], list[_Aside]]:
    """The events, and what is none."""
    events, aside = list[_Kept](), list[_Aside]()
    for entry, fields in entries:
        name = entry.decode()
        given = {k.decode(errors="replace"): v.decode(errors="replace") for k, v in fields.items()}
        received = datetime.fromtimestamp(int(name.split("-")[0]) / 1000, UTC)
        try:
            event = Event.of_entry(given, received)
            shown = ShownAnswer.read(event.answer_id) if event.answer_id else None
        except DataError as error:
            aside.append(_Aside(name, str(error), json.dumps(given)))
        else:
            events.append(_Kept(event, shown, name, received))
    return events, aside


def _store(database: Engine, events: Sequence[_Kept], aside: Sequence[_Aside]) -> int:
    """One transaction; returns how many of the events were not kept before."""
    answers = {e.event.answer_id: e.shown for e in events if e.shown is not None}
    with transaction(database) as connection:
        kept = connection.execute(text(sql.load("keep_events", "staging")), _columns(events)).rowcount
        if answers:
            connection.execute(text(sql.load("keep_answers", "staging")), _answers(answers))
        if aside:
            log.error("set aside: %d entries, the first: %s", len(aside), aside[0])
            connection.execute(text(sql.load("set_events_aside", "staging")),
                               {c: [getattr(a, c).replace("\x00", "�") for a in aside]
                                for c in ("entry", "reason", "content")})
    return int(kept)


def _columns(events: Sequence[_Kept]) -> dict[str, list[Any]]:
    """The columns of matchbook_events."""
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
    """The columns of matchbook_answers."""
    shown = list(answers.values())
    return {
        "answer_id": list(answers),
        **{c: [getattr(s, c).value for s in shown] for c in ("surface", "method", "route")},
        **{c: [getattr(s, c) for s in shown] for c in ("release", "live")},
        **{c: [getattr(s, c) or None for s in shown] for c in ("experiment", "edition", "arm")},
        "day": [date(1970, 1, 1) + timedelta(days=s.day) for s in shown],
    }


def _acknowledge(client: redis.Redis, keys: Keys, entries: Sequence[bytes], set_aside: int) -> None:
    """What is committed leaves the stream; only now, so that a drain that dies before loses nothing."""
    pipe = client.pipeline(transaction=True)
    pipe.xack(keys.events, DRAIN_GROUP, *entries)
    pipe.xdel(keys.events, *entries)
    pipe.execute()
    figures = {"drained": len(entries) - set_aside, "set_aside": set_aside}
    for name, count in figures.items():  # apart: a full Redis may delete, but not count
        nicety(partial(client.hincrby, keys.drain, name, count), 0)


def _end_consumers(client: redis.Redis, keys: Keys, consumer: str) -> None:
    """Forget this consumer, which holds nothing any more, and those of drains that died long ago."""
    there: list[Any] = nicety(lambda: client.xinfo_consumers(keys.events, DRAIN_GROUP), [])
    for other in there:
        gone = other["idle"] > CONSUMER_GONE_MS or other["name"].decode() == consumer
        if gone and not other["pending"]:
            nicety(partial(client.xgroup_delconsumer, keys.events, DRAIN_GROUP, other["name"]), 0)
