"""Erase a person in Redis and PostgreSQL: replace loaded releases, clean keys, delete our rows."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from sqlalchemy import text

import sql
from models.errors import ReleaseTooBig
from models.lists.redis_format import TrendingList
from models.lists.release import ERASED
from models.schema import LIST_KINDS, Entity, Surface
from models.settings.settings import Settings
from pipelines.erased import Person, normal_id
from pipelines.postgres import engine, transaction
from pipelines.publish.lease import Lease
from pipelines.publish.load import Loadable, load
from pipelines.publish.publish import note_publish, retire, switch
from pipelines.redis_client import decoded
from pipelines.refs import PublishRef
from pipelines.store.artifacts import Artifacts

log = logging.getLogger(__name__)


def replace_loaded(settings: Settings, held: Lease, successors: Mapping[str, str]) -> int:
    """Load the successors of loaded releases and switch to each, the live one atomically; return their number.

    Keys of replaced releases stay until `drop_unfinished`. If Redis has no room for the successor of a release that is
    not live, that release is only removed; its stored successor can be promoted.
    """
    live = decoded(held.client.get(held.keys.current))
    before = [decoded(v) for v in held.client.lrange(held.keys.history, 0, -1)]
    there = [name for name in (live, *before) if name in successors]
    for name in there:
        loadable = Loadable.open(Artifacts(settings), successors[name])
        try:
            load(settings, held, loadable)
        except ReleaseTooBig as error:
            if name == live:
                raise
            log.warning("%s is removed from Redis; its successor is only stored: %s", name, error)
            retire(held, name)
        else:
            switch(held, loadable.manifest, replaces=name)
            if name == live:
                note_publish(settings, PublishRef(True, successors[name], ERASED, name))
    return len(there)


def forget_keys(held: Lease, person: Person) -> dict[str, int]:
    """Remove every key about the person, and the person from other keys; return counts."""
    keys = held.keys
    own = [keys.count(e, person.id) for e in Entity]
    for kind in ("live", "flight"):  # also of releases that no longer exist
        own += [decoded(k) for k in held.client.scan_iter(f"{keys.namespace}:{kind}:*:{person.id}", 1000)]
    return {
        "live lists and counts": int(held.write("UNLINK", own)),
        "since hashes": _forget_since(held, person),
        "hidden sets": _forget_hidden(held, person),
        "trending lists": sum(_forget_trending(held, person, s) for s in Surface),
        "waiting events": _forget_events(held, person),
    }


def forget_fields(held: Lease, person: Person, releases: Iterable[str]) -> int:
    """Remove the person's own lists from releases that readers may use for some seconds; return the count."""
    hashes = [held.keys.lists(r, kind) for r in releases for kind in LIST_KINDS]
    return sum(int(held.write("HDEL", [h], person.packed)) for h in hashes)


def _forget_since(held: Lease, person: Person) -> int:
    """Remove the person's own hashes, and their field in all others; return the count.

    All hashes are searched: if the person's own hash expired first, no record of the others remains.
    """
    removed = int(held.write("UNLINK", [held.keys.since(e, person.id) for e in Entity]))
    names = (decoded(key) for key in held.client.scan_iter(f"{held.keys.namespace}:since:*", 1000))
    while part := list(islice(names, 1000)):
        pipe = held.client.pipeline(transaction=False)
        for name in part:
            held.write("HDEL", [name], person.packed, pipe=pipe)
        removed += sum(pipe.execute())
    return removed


def _forget_hidden(held: Lease, person: Person) -> int:
    removed = sum(int(held.write("SREM", [held.keys.hidden(e)], person.packed)) for e in Entity)
    if removed:
        held.write("INCR", [held.keys.hidden_version])
    return removed


def _forget_trending(held: Lease, person: Person, surface: Surface) -> int:
    key = held.keys.trending(surface)
    stored = held.client.get(key)
    listing = TrendingList.decode(stored) if isinstance(stored, bytes) else None
    if listing is None or person.id not in listing.ids:
        return 0
    kept = listing.ids != person.id
    held.write("SET", [key], replace(listing, ids=listing.ids[kept], score=listing.score[kept]).encode(), "KEEPTTL")
    return 1


def _forget_events(held: Lease, person: Person) -> int:
    """Remove posted events that were not drained yet; return their number."""
    entries: Any = held.client.xrange(held.keys.events)
    mine = [entry for entry, fields in entries if any(person.within(v) for v in fields.values())]
    return int(held.write("XDEL", [held.keys.events], *mine)) if mine else 0


def all_releases(settings: Settings, held: Lease) -> set[str]:
    """Return every release that is stored or loaded, or was loaded recently."""
    client, keys = held.client, held.keys
    loaded = [client.get(keys.current), *client.lrange(keys.history, 0, -1), *client.smembers(keys.loading)]
    return {p.name for p in Artifacts(settings).stored("releases")} | {decoded(v) for v in loaded if v}


_FOLDER = "erasure"
_DELETES = "delete_"


def person_of(settings: Settings, given: str) -> Person:
    """Return the person with an id, known or not. Raises DataError if it is no id."""
    known = normal_id(given)
    with transaction(engine(settings)) as connection:
        return Person(known, str(connection.scalar(text(sql.load("mark", _FOLDER)), {"id": known})))


def erase_rows(settings: Settings, person: Person) -> dict[str, int]:
    """Set the tombstone and delete our rows in one transaction; return counts."""
    scripts = [name.rpartition("/")[2].removesuffix(".sql") for name, _ in sql.scripts(_FOLDER)]
    with transaction(engine(settings)) as connection:
        connection.execute(text(sql.load("tombstone", _FOLDER)), {"id": person.id})
        named = {"id": person.id, "spelt": person.spelt.pattern}
        return {
            name.removeprefix(_DELETES): connection.execute(text(sql.load(name, _FOLDER)), named).rowcount
            for name in scripts
            if name.startswith(_DELETES)
        }


def rows_with(settings: Settings, person: Person) -> list[str]:
    """Return our own tables that still hold the id, in any column and text form."""
    with transaction(engine(settings)) as connection:
        tables = [str(name) for name in connection.scalars(text(sql.load("tables", _FOLDER)))]
        holding = "SELECT EXISTS (SELECT 1 FROM {} AS r WHERE CAST(r AS text) ~* :pattern)"
        return [
            table
            for table in tables
            if connection.scalar(text(holding.format(table)), {"pattern": person.spelt.pattern})
        ]


def stands_on_platform(settings: Settings, person: Person) -> bool:
    """Return whether the platform's own tables still name the person."""
    with transaction(engine(settings)) as connection:
        return bool(connection.scalar(text(sql.load("standing", _FOLDER)), {"id": person.id}))
