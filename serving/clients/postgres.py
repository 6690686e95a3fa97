"""Read from PostgreSQL, within a time-out, what the live fallback needs about one owner."""

from __future__ import annotations

import math
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, Row, TextClause, create_engine, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

import sql
from models.data.entities import NIL
from models.errors import ServiceError
from models.schema import INTERACTION_TYPES, Entity, Role
from models.settings.settings import Settings
from serving.clients.breaker import PAUSE_S, Breaker
from sql.server import begin_with, failure_of, old_version

#: Each purpose has its own breaker, so a failure of one does not stop the others.
OWNERS, PAGE, FILTERS, SIGN_OF_LIFE = "owners", "page", "filters", "sign of life"
HIDDEN_BY = {Entity.USER: "opted_out", Entity.STARTUP: "withdrawn"}
#: The queries of `Database.owner`.
_OF_OWNERS = ("owner/founded", *(f"owner/{e}{what}" for e in Entity for what in ("", "_events", "_dismissals")))
_CODES = {t.value: t.code for t in INTERACTION_TYPES}
_KINDS = list(_CODES)


@dataclass(frozen=True, eq=False)
class OwnerRecord:
    """What the platform knows about one owner now.

    role: of a user, None for a startup and for other roles. profile: text by CSV column.
    items (n,) U36 ids, kind (n,) int8 codes, at (n,) int64 microseconds: the owner's events.
    own: ids that must never be shown to this owner. dismissed: dismissed ids and their microseconds.
    """

    role: Role | None
    opted_out: bool
    profile: Mapping[str, str]
    item: NDArray[np.str_]
    kind: NDArray[np.int8]
    at: NDArray[np.int64]
    own: tuple[str, ...]
    dismissed: Mapping[str, int]

    def count(self, entity: Entity) -> int:
        """Return the interaction count: events of a user, distinct users of a startup (R09)."""
        return len(self.item) if entity is Entity.USER else len(np.unique(self.item))


class Database:
    """Sends the reader's queries. Each raises ServiceError if PostgreSQL does not answer in time."""

    def __init__(self, settings: Settings) -> None:
        self.breakers = {
            p: Breaker("PostgreSQL", _is_silent, failure_of, 0 if p == SIGN_OF_LIFE else PAUSE_S)
            for p in (OWNERS, PAGE, FILTERS, SIGN_OF_LIFE)
        }
        self._patience_s, self._earliest = settings.reader.database_timeout_s, settings.earliest_at
        self._engines: dict[str, Engine] = {}
        if settings.reader_sqlalchemy_url:  # a slow search must not use the connections of list requests
            others = _engine(settings, 1)
            self._engines = dict.fromkeys(self.breakers, others) | {
                OWNERS: _engine(settings, settings.reader.live_workers)
            }

    def owner(self, entity: Entity, owner: str, as_of: datetime, purpose: str = OWNERS) -> OwnerRecord | None:
        """Return the record of one owner before an instant. None if the id is unknown or nil."""
        if owner == NIL:
            return None
        with self._connection(purpose) as connection:
            known = {"as_of": as_of} if entity is Entity.USER else {}
            found = _rows(connection, f"owner/{entity}", owner=owner, **known)
            if not found:
                return None
            events = _rows(
                connection, f"owner/{entity}_events", owner=owner, as_of=as_of, earliest=self._earliest, kinds=_KINDS
            )
            dismissed = _rows(connection, f"owner/{entity}_dismissals", owner=owner, as_of=as_of)
            profile = dict(found[0]._mapping)
            if entity is Entity.USER:
                own = tuple(str(r.startup_id) for r in _rows(connection, "owner/founded", owner=owner))
            else:
                own = (str(profile["founder_id"]),) if profile["founder_id"] else ()
        return OwnerRecord(
            Role.of(profile.pop("role", None) or ""),
            bool(profile.pop("opted_out", False)),
            {k: v for k, v in profile.items() if isinstance(v, str)},
            np.array([str(e.item) for e in events], "<U36"),
            np.array([_CODES[e.kind] for e in events], np.int8),
            np.array([e.at_us for e in events], np.int64),
            own,
            {str(d.item): d.at_us for d in dismissed},
        )

    def hidden(self, as_of: datetime) -> dict[Entity, frozenset[bytes]]:
        """Return the 16 id bytes of each withdrawn startup and of each user who opted out."""
        params = {"since": "-infinity", "as_of": as_of, "held": []}
        with self._connection(FILTERS) as connection:
            return {
                e: frozenset(UUID(str(r.id)).bytes for r in _rows(connection, f"since/{query}", **params) if r.hidden)
                for e, query in HIDDEN_BY.items()
            }

    def find(self, entity: Entity, word: str, roles: Sequence[str], most: int) -> list[tuple[str, str, str | None]]:
        """Return (id, name, role) where the id or a word of the name starts with `word`, in any case."""
        escaped = word.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        asked = {"word": escaped, "words": _lexemes(word), "most": most, **_id_range(word)}
        of_role = {"roles": list(roles)} if entity is Entity.USER else {}
        with self._connection(PAGE) as connection:
            found = _rows(connection, f"owner/find_{entity}", **asked, **of_role)
        return [(str(r.id), r.name, Role.of(r.role or "") or r.role) for r in found]

    def names(self, entity: Entity, ids: Sequence[str]) -> dict[str, str]:
        with self._connection(PAGE) as connection:
            return {str(r.id): r.name for r in _rows(connection, f"owner/{entity}_names", ids=list(ids))}

    def profile(self, entity: Entity, owner: str) -> dict[str, Any] | None:
        """Return every column of the platform's view for one person or startup. None if the id is unknown."""
        with self._connection(PAGE) as connection:
            found = _rows(connection, f"owner/{entity}_profile", owner=owner)
        return dict(found[0].profile) if found else None

    def history(self, user: str, before: tuple[datetime, str, str], most: int) -> list[dict[str, Any]]:
        """Return up to `most` events of a person before one of them (at, item, kind), newest first."""
        at, item, kind = before
        asked = {"before": at, "before_id": item, "before_kind": kind, "since": self._earliest, "most": most}
        return self._page("owner/user_history", owner=user, **asked)

    def shown(self, entity: Entity, owner: str, before: tuple[datetime, str], most: int) -> list[dict[str, Any]]:
        """Return up to `most` items that answers showed to an owner before one of them (at, event), newest first."""
        asked = {"before": before[0], "before_event": before[1], "most": most}
        return self._page(f"owner/{entity}_shown", owner=owner, **asked)

    def any_event(self, before: datetime) -> bool:
        """Return whether a plausible event happened before an instant."""
        return bool(self._page("events/any_before", earliest=self._earliest, as_of=before)[0]["found"])

    def earned(self, entity: Entity, item: str, since: datetime, as_of: datetime) -> list[dict[str, Any]]:
        """Return how often answers of a window showed an item, and what their owners did, by surface and method."""
        return self._page(f"owner/{entity}_earned", owner=item, since=since, as_of=as_of)

    def activity(self, startup: str, since: datetime, as_of: datetime) -> list[dict[str, Any]]:
        """Return the events of a window with a startup, and the people behind them, by type."""
        return self._page("owner/startup_activity", owner=startup, since=since, as_of=as_of)

    def _page(self, query: str, **asked: Any) -> list[dict[str, Any]]:
        with self._connection(PAGE) as connection:
            return [
                {k: str(v) if isinstance(v, UUID) else v for k, v in r._mapping.items()}
                for r in _rows(connection, query, **asked)
            ]

    def ping(self) -> None:
        """Check that the server answers, that its schema is new enough, and that live lists may read it."""
        with self._connection(SIGN_OF_LIFE) as connection:
            if too_old := old_version(connection):
                raise ServiceError(too_old)
            asked = {"owner": NIL, "as_of": datetime.now(UTC), "earliest": self._earliest, "kinds": _KINDS}
            for query in _OF_OWNERS:
                _rows(connection, query, **{name: asked[name] for name in _statement(query)._bindparams})

    def close(self) -> None:
        for engine in self._engines.values():
            engine.dispose()

    @contextmanager
    def _connection(self, purpose: str) -> Iterator[Connection]:
        """Open a transaction. Only silence opens the breaker of a purpose; a refusal does not."""
        if not self._engines:
            raise ServiceError("no PostgreSQL is known: set DATABASE_URL, or start everything with `make up`")
        with self.breakers[purpose].guard(SQLAlchemyError, OSError), self._begun(self._engines[purpose]) as connection:
            yield connection

    @contextmanager
    def _begun(self, engine: Engine) -> Iterator[Connection]:
        """Begin the transaction. If the server restarted and the connection died, replace it once."""
        started = time.monotonic()
        with _Cut(self._patience_s) as cut:
            connection = cut.watched(engine.connect())
            try:
                connection.begin()
            except DBAPIError as error:
                connection.close()
                if not error.connection_invalidated or time.monotonic() - started > self._patience_s / 2:
                    raise
                connection = cut.watched(engine.connect())
                connection.begin()
            with connection:
                yield connection


def _engine(settings: Settings, connections: int) -> Engine:
    patience_s = settings.reader.database_timeout_s
    engine = create_engine(
        settings.reader_sqlalchemy_url,
        pool_size=connections,
        max_overflow=1,
        pool_timeout=patience_s,
        pool_recycle=60,  # after a failover the host name may point to another server
        connect_args={"connect_timeout": max(1, math.ceil(patience_s)), "application_name": "matchbook-reader"},
    )
    begin_with(engine, transaction_read_only="on", statement_timeout=str(int(patience_s * 1000)))
    return engine


class _Cut:
    """Closes a connection some time after the time-out: a frozen server ignores statement_timeout."""

    def __init__(self, patience_s: float) -> None:
        self._wire: socket.socket | None = None
        self._timer = threading.Timer(1.5 * patience_s, self._cut)  # the server's own time-out comes first
        self._timer.daemon = True

    def __enter__(self) -> _Cut:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._let_go()

    def watched(self, connection: Connection) -> Connection:
        self._let_go()
        raw: Any = connection.connection.dbapi_connection
        self._wire = socket.socket(fileno=os.dup(raw.fileno()))
        return connection

    def _let_go(self) -> None:
        if self._wire is not None:
            self._wire.close()

    def _cut(self) -> None:
        with suppress(OSError):  # already closed
            if self._wire is not None:
                self._wire.shutdown(socket.SHUT_RDWR)


def _lexemes(words: str) -> str:
    """Make a text search query for words with these prefixes. All input is quoted, so it has no operators."""
    return " & ".join("'" + w.replace("\\", "\\\\").replace("'", "''") + "':*" for w in words.lower().split())


def _id_range(word: str) -> dict[str, str]:
    """Return the first and the last id that start with a word, or an empty range if no id can."""
    digits = word.replace("-", "").lower()
    if not digits or len(digits) > 32 or set(digits) - set("0123456789abcdef"):
        return {"first": "f" * 32, "last": "0" * 32}
    return {"first": digits.ljust(32, "0"), "last": digits.ljust(32, "f")}


def _is_silent(error: BaseException) -> bool:
    return not isinstance(error, PoolTimeout) and not failure_of(error).answered


def _rows(connection: Connection, query: str, **params: Any) -> list[Row[Any]]:
    return list(connection.execute(_statement(query), params))


@cache
def _statement(query: str) -> TextClause:
    return text(sql.load(query))
