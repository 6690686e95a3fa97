"""Shared by both PostgreSQL clients: settings of a transaction, and the meaning of driver errors.

Nothing is set for a whole connection: a pooler (PgBouncer) refuses start-up options and may give every transaction
another connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import DBAPIError

#: The oldest version that the queries are tested with.
LEAST_VERSION = 14
READ_ONLY = "25006"  # SQLSTATE
_STARTING = (
    "starting up",
    "shutting down",
    "recovery mode",
    "not yet accepting",
    "terminating connection",
    "pooler is shut down",
    "server_login_retry",
    "server conn crashed",
    "query_wait_timeout",
    "connect failed",
)
_GONE = ("08", "57P01", "57P02", "57P03")
_HINTS = {
    "42501": "give this role the rights of sql/grants/ (`python -m pipelines grants`)",
    "57014": "the server answers, but this query exceeded its time-out; check whether an index is missing, or raise "
    "the time-out",
    READ_ONLY: "this server is a standby or read-only; DATABASE_URL must name the primary",
    "53": "the server lacks room, memory or connections",
}
_REFUSED = "check the user, password, database and connection limits of DATABASE_URL"


@dataclass(frozen=True)
class Failure:
    """The meaning of an error.

    answered: the server is up and refused. said: its first line. hint: what to do, or "". code: its SQLSTATE, or "".
    """

    answered: bool
    said: str
    hint: str
    code: str

    def __str__(self) -> str:
        return f"{self.said}; {self.hint}" if self.hint else self.said


def failure_of(error: BaseException) -> Failure:
    """Classify an error of SQLAlchemy or psycopg2."""
    original = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    said = (str(original).strip().splitlines() or [type(original).__name__])[0]
    code = getattr(original, "pgcode", None) or ""
    if any(words in said for words in _STARTING) or code.startswith(_GONE):
        return Failure(False, said, "", code)
    if code:
        return Failure(True, said, _HINTS.get(code) or _HINTS.get(code[:2], ""), code)
    if "FATAL:" in said:  # refused while connecting: the driver then has no SQLSTATE
        return Failure(True, said, _REFUSED, code)
    answered = (
        isinstance(error, DBAPIError)
        and not error.connection_invalidated
        and type(original).__name__ in ("DataError", "ProgrammingError", "NotSupportedError")
    )  # the driver itself could not convert a value
    return Failure(answered, said, "", code)


def begin_with(engine: Engine, **values: str) -> None:
    """Set values at the beginning of every transaction of an engine, in one round trip."""
    statement = "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in values.items())

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(statement)


def old_version(connection: Connection) -> str:
    """Return why this server is too old, or ""."""
    number: Any = connection.scalar(text("SELECT current_setting('server_version_num')"))
    if int(number) >= LEAST_VERSION * 10_000:
        return ""
    return (
        f"expected PostgreSQL {LEAST_VERSION} or newer, got {int(number) // 10_000}; upgrade the server, or point "
        "DATABASE_URL at another"
    )
