"""An event as a client posts it, validated before it is queued."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from models.data.entities import NIL, is_id
from models.data.interactions import _EPOCH, _POSITION, LAST, instant_us
from models.errors import MalformedEvent
from models.schema import EventType

AHEAD = timedelta(minutes=5)  # tolerance for a client's clock; too short for a wrong time zone
_EVENT_ID = re.compile(r"[!-~]{1,128}")
_FIELDS = ("event_id", "user_id", "startup_id", "type", "at", "answer_id", "position")
_ANSWER_ID = re.compile(r"[A-Za-z0-9_-]{30,240}")
POSITION_MOST = 1000


@dataclass(frozen=True)
class Event:
    """A posted event.

    event_id: a retry sends the same one, so that the event counts once. user, startup: ids, lower case. at: UTC.
    answer_id: the answer that showed the item, or empty. position: rank in that list, from 1; 0 if unknown.
    """

    event_id: str
    user: str
    startup: str
    kind: EventType
    at: datetime
    answer_id: str = ""
    position: int = 0

    @classmethod
    def read(cls, given: Any, received: datetime, until: datetime | None = None) -> Event:
        """Validate the fields of a request or stream entry. `at` defaults to the time of receipt.

        until: latest valid `at`, by default AHEAD after receipt.
        Raises MalformedEvent for the first invalid field.
        """
        if not isinstance(given, Mapping):
            raise MalformedEvent("event", f"an object with {', '.join(_FIELDS)}", given, "send one object per event")
        unknown = sorted(set(given) - set(_FIELDS))
        if unknown:
            raise MalformedEvent(
                unknown[0][:40], "only the fields " + ", ".join(_FIELDS), given[unknown[0]], "leave it out"
            )
        event_id = given.get("event_id")
        if not isinstance(event_id, str) or not _EVENT_ID.fullmatch(event_id):
            raise MalformedEvent(
                "event_id",
                "1 to 128 visible ASCII characters",
                event_id,
                "give every event a unique id, e.g. a UUID, and send the same id on a retry",
            )
        user, startup = _id_of(given, "user_id"), _id_of(given, "startup_id")
        kind, at = _kind_of(given), _at(given, received, until or received + AHEAD)
        return cls(event_id, user, startup, kind, at, _answer_id(given), _position(given))

    def entry(self) -> dict[str, str]:
        entry = {
            "event_id": self.event_id,
            "user_id": self.user,
            "startup_id": self.startup,
            "type": self.kind.value,
            "at": self.at.isoformat(),
        }
        optional = {"answer_id": self.answer_id, "position": str(self.position or "")}
        return entry | {name: value for name, value in optional.items() if value}

    @classmethod
    def of_entry(cls, entry: Mapping[str, str], received: datetime) -> Event:
        """Invert `entry`. Raises MalformedEvent.

        A future time is valid here: it was checked on receipt.
        """
        position = entry.get("position", "")
        whole = {"position": int(position)} if _POSITION.fullmatch(position) else {}
        return cls.read(dict(entry) | whole, received, LAST)

    @property
    def at_us(self) -> int:
        return instant_us(self.at)


def _id_of(given: Mapping[str, Any], field: str) -> str:
    value = given.get(field)
    if not isinstance(value, str) or not is_id(value) or value == NIL:
        raise MalformedEvent(
            field,
            "a UUID such as 3f2b8c1e-9d4a-4c57-8e21-0b6f5d9a7c10",
            value,
            "send the platform's id, with its four dashes",
        )
    return value.lower()


def _kind_of(given: Mapping[str, Any]) -> EventType:
    value = given.get("type")
    if not isinstance(value, str) or value not in set(EventType):
        raise MalformedEvent("type", f"one of {', '.join(EventType)}", value, "docs/reference/api.md describes each")
    return EventType(value)


def _answer_id(given: Mapping[str, Any]) -> str:
    value = given.get("answer_id")
    if value is None:
        return ""
    if not isinstance(value, str) or not _ANSWER_ID.fullmatch(value):
        raise MalformedEvent("answer_id", "the answer_id of an answer", value, "send it unchanged, or leave it out")
    return value


def _position(given: Mapping[str, Any]) -> int:
    value = given.get("position")
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= POSITION_MOST:
        raise MalformedEvent(
            "position",
            f"a whole number from 1 to {POSITION_MOST}",
            value,
            "send the position in the list, from 1, or leave it out",
        )
    return value


def _at(given: Mapping[str, Any], received: datetime, until: datetime) -> datetime:
    """Read the time. Raises MalformedEvent if it is invalid, before 1970 or after `until`."""
    value = given.get("at")
    if value is None:
        return received
    hint = "send the time of the event in UTC, or leave it out for the time of receipt"
    try:
        at = datetime.fromisoformat(value)
        at = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise MalformedEvent("at", "an ISO 8601 instant such as 2024-05-01T14:03:00Z", value, hint) from None
    if not _EPOCH <= at <= until:
        raise MalformedEvent("at", f"an instant since 1970 and before {until.isoformat()}", value, hint)
    return at
