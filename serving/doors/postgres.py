"""The door to PostgreSQL: what the live fallback must know of one owner, within a time-out whatever the server does."""

from __future__ import annotations

import math
import os
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, Row, TextClause, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

import sql
from models.errors import ServiceError
from models.nouns.id_map import NIL
from models.nouns.vocabulary import Entity, InteractionKind, Role
from models.settings import Settings
from serving.doors.breaker import Breaker

_KINDS = [k.value for k in InteractionKind]
_CODES = {k.value: k.code for k in InteractionKind}


@dataclass(frozen=True, eq=False)
class OwnerRecord:
    """What the platform says of one owner now.

    role: of a user, None for a startup and for people of other roles. profile: text by CSV column. item: (n,) U36 ids
    of whom or what the events are about, kind: (n,) int8 codes, at: (n,) int64 microseconds. own: ids that must never
    be shown to this owner. dismissed: ids and when, of whom or what was waved away.
    """

    role: Role | None
    opted_out: bool
    profile: Mapping[str, str]
    item: np.ndarray
    kind: np.ndarray
    at: np.ndarray
    own: tuple[str, ...]
    dismissed: Mapping[str, int]

    def count(self, entity: Entity) -> int:
        """The interaction count (R09): events of a user, different people for a startup."""
        return len(self.item) if entity is Entity.USER else len(np.unique(self.item))


class Database:
    """The reader's questions to PostgreSQL. Each raises ServiceError where it does not answer in time."""

    def __init__(self, settings: Settings) -> None:
        self.breaker = Breaker("PostgreSQL")
        self._patience_s, self._earliest = settings.database_timeout_s, settings.earliest_at
        self._engine = _engine(settings) if settings.reader_sqlalchemy_url else None

    def owner(self, entity: Entity, owner: str, as_of: datetime) -> OwnerRecord | None:
        """Everything about one owner before an instant; None where the platform does not know the id, or it is nil."""
        if owner == NIL:
            return None
        with self._connection() as connection:
            known = {"as_of": as_of} if entity is Entity.USER else {}
            found = _rows(connection, f"owner/{entity}", owner=owner, **known)
            if not found:
                return None
            events = _rows(connection, f"owner/{entity}_events", owner=owner, as_of=as_of,
                           earliest=self._earliest, kinds=_KINDS)
            dismissed = _rows(connection, f"owner/{entity}_dismissals", owner=owner, as_of=as_of)
            profile = dict(found[0]._mapping)
            if entity is Entity.USER:
                own = tuple(str(r.startup_id) for r in _rows(connection, "owner/founded", owner=owner))
            else:
                own = (str(profile["founder_id"]),) if profile["founder_id"] else ()
        return OwnerRecord(Role.of(profile.pop("role", None) or ""), bool(profile.pop("opted_out", False)),
                           {k: v for k, v in profile.items() if isinstance(v, str)},
                           np.array([str(e.item) for e in events], "<U36"),
                           np.array([_CODES[e.kind] for e in events], np.int8),
                           np.array([e.at_us for e in events], np.int64), own,
                           {str(d.item): d.at_us for d in dismissed})

    def find(self, entity: Entity, word: str, roles: Sequence[str], most: int) -> list[tuple[str, str, str | None]]:
        """(id, name, role) of those whose name holds the word, any case, or whose id begins with it."""
        escaped = word.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        of_role = {"roles": list(roles)} if entity is Entity.USER else {}
        with self._connection() as connection:
            found = _rows(connection, f"owner/find_{entity}", word=escaped, most=most, **of_role)
        return [(str(r.id), r.name, Role.of(r.role or "") or r.role) for r in found]

    def names(self, entity: Entity, ids: Sequence[str]) -> dict[str, str]:
        """What each of these ids is called; unknown ones are left out."""
        with self._connection() as connection:
            return {str(r.id): r.name for r in _rows(connection, f"owner/{entity}_names", ids=list(ids))}

    def ping(self) -> None:
        """Ask for a sign of life."""
        with self._connection() as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        if self._engine is None:
            raise ServiceError("no PostgreSQL is known: set DATABASE_URL, or start everything with `make up`")
        with self.breaker.guard(SQLAlchemyError, OSError), self._engine.connect() as connection, \
                _cut_after(connection, self._patience_s):
            yield connection


def _engine(settings: Settings) -> Engine:
    patience_s = settings.database_timeout_s
    return create_engine(
        settings.reader_sqlalchemy_url, pool_size=settings.live_workers, max_overflow=2, pool_timeout=patience_s,
        pool_pre_ping=True, isolation_level="AUTOCOMMIT",
        connect_args={"connect_timeout": max(1, math.ceil(patience_s)), "application_name": "matchbook-reader",
                      "options": f"-c statement_timeout={int(patience_s * 1000)} -c default_transaction_read_only=on"})


@contextmanager
def _cut_after(connection: Connection, patience_s: float) -> Iterator[None]:
    """Cut the connection if it is still in use after the time-out: a frozen server obeys no statement_timeout."""
    raw: Any = connection.connection.dbapi_connection
    wire = socket.socket(fileno=os.dup(raw.fileno()))
    timer = threading.Timer(patience_s, _cut, [wire])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        wire.close()


def _cut(wire: socket.socket) -> None:
    try:
        wire.shutdown(socket.SHUT_RDWR)
    except OSError:  # it was closed in the same moment
        return


def _rows(connection: Connection, query: str, **params: Any) -> list[Row[Any]]:
    return list(connection.execute(_statement(query), params))


@cache
def _statement(query: str) -> TextClause:
    return text(sql.load(query))
