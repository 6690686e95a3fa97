"""What both doors to PostgreSQL share: how a transaction begins, and what an error of the driver means.

Nothing is set for a connection as a whole: a pooler in front of the server (PgBouncer) refuses start-up options and may
give every transaction another connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import DBAPIError

#: The least version that the queries are tested with; older ones are out of support.
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
    "57014": "the server answers, but this question took longer than it may; see whether it lacks an index, or raise "
    "the time-out",
    READ_ONLY: "this server is a standby or read-only; DATABASE_URL must name the primary",
    "53": "the server lacks room, memory or connections",
}
_REFUSED = "check the user, the password, the database and the limits that DATABASE_URL meets"


@dataclass(frozen=True)
class Failure:
    """What an error means. answered: the server is there and said no. said: its own first line. hint: what to do, may
    be empty. code: its SQLSTATE, empty where it gave none."""

    answered: bool
    said: str
    hint: str
    code: str

    def __str__(self) -> str:
        return f"{self.said}; {self.hint}" if self.hint else self.said


def failure_of(error: BaseException) -> Failure:
    """What an error of SQLAlchemy or psycopg2 means."""
    original = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    said = (str(original).strip().splitlines() or [type(original).__name__])[0]
    code = getattr(original, "pgcode", None) or ""
    if any(words in said for words in _STARTING) or code.startswith(_GONE):
        return Failure(False, said, "", code)
    if code:
        return Failure(True, said, _HINTS.get(code) or _HINTS.get(code[:2], ""), code)
    if "FATAL:" in said:  # refused while connecting: the driver keeps no SQLSTATE then
        return Failure(True, said, _REFUSED, code)
    answered = (
        isinstance(error, DBAPIError)
        and not error.connection_invalidated
        and type(original).__name__ in ("DataError", "ProgrammingError", "NotSupportedError")
    )  # the driver itself could not read or write a value
    return Failure(answered, said, "", code)


def begin_with(engine: Engine, **values: str) -> None:
    """Every transaction of an engine begins by setting these for itself, in one round trip."""
    told = "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in values.items())

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(told)


def old_version(connection: Connection) -> str:
    """Why this server is too old, empty where it is not."""
    number: Any = connection.scalar(text("SELECT current_setting('server_version_num')"))
    if int(number) >= LEAST_VERSION * 10_000:
        return ""
    return (
        f"expected PostgreSQL {LEAST_VERSION} or newer, got {int(number) // 10_000}; upgrade the server, or point "
        "DATABASE_URL at another"
    )
