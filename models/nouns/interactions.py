"""Who did what with which startup, and when: the one place that knows orientation and meaning."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from models.errors import DataError, MalformedEvent
from models.nouns.id_map import NIL, IdMap, is_id
from models.nouns.span import Span, faded
from models.schema import EventType

DAY_US = 86_400_000_000
AHEAD = timedelta(minutes=5)  # a client's clock may run ahead of ours; its time zone may not
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EVENT_ID = re.compile(r"[!-~]{1,128}")
_FIELDS = ("event_id", "user_id", "startup_id", "type", "at", "answer_id", "position")
_ANSWER_ID = re.compile(r"[A-Za-z0-9_-]{30,240}")
POSITION_MOST = 1000
_POSITION = re.compile(r"[0-9]{1,4}")
LAST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
#: By the code of an event's type: its weight (C01-C07), 0 where it has none, and whether it is an explicit opinion.
EVENT_WEIGHTS = np.zeros(EventType.codes(), np.float32)
EXPLICIT = np.zeros(EventType.codes(), bool)
for _type in EventType:
    EVENT_WEIGHTS[_type.code], EXPLICIT[_type.code] = _type.weight or 0.0, _type.explicit


class Pairs(NamedTuple):
    """Pairs of entity rows and when: (n,) int32 owner and item, (n,) int64 microseconds since 1970 UTC."""

    owner: np.ndarray
    item: np.ndarray
    at: np.ndarray

    def where(self, mask: np.ndarray) -> Pairs:
        """The pairs of a boolean mask."""
        return Pairs(self.owner[mask], self.item[mask], self.at[mask])


NO_PAIRS = Pairs(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.int64))


@dataclass(frozen=True, eq=False)
class Interactions:
    """Events as parallel arrays, one row an event, in any order.

    owners, items: the ids behind the row numbers. As read from a snapshot owners are users and items are
    startups; `transposed()` turns both round and is the only place that does.
    owner, item: (n,) int32 rows. kind: (n,) int8 `EventType.code`. at: (n,) int64 microseconds since
    1970 UTC.

    In the matrix of `csr()` a positive cell is summed interest, a negative cell a confident dislike, an absent
    cell "never met" (weakly disliked by ALS). No cell is ever stored as 0, which the solver would read as
    "no opinion" (R07).

    dismissed: pairs of which one was waved away. They travel with the events wherever these go, so that no way to a
    list forgets them; they are no events: they teach nothing and count for nothing.
    """

    owners: IdMap
    items: IdMap
    owner: np.ndarray
    item: np.ndarray
    kind: np.ndarray
    at: np.ndarray
    dismissed: Pairs = NO_PAIRS

    def __post_init__(self) -> None:
        sizes = {len(self.owner), len(self.item), len(self.kind), len(self.at)}
        if len(sizes) != 1:
            raise DataError(f"owner, item, kind and at must be equally long, got {sorted(sizes)}")
        for name, rows, ids in (
            ("owner", self.owner, self.owners),
            ("item", self.item, self.items),
            ("dismissed owner", self.dismissed.owner, self.owners),
            ("dismissed item", self.dismissed.item, self.items),
        ):
            if len(rows) and (rows.min() < 0 or rows.max() >= len(ids)):
                raise DataError(f"{name} rows must lie in 0..{len(ids) - 1}, got {rows.min()}..{rows.max()}")

    def __len__(self) -> int:
        return len(self.owner)

    def where(self, mask: np.ndarray) -> Interactions:
        """The events of a boolean mask; ids keep their numbers, and what was dismissed stays dismissed."""
        return replace(self, owner=self.owner[mask], item=self.item[mask], kind=self.kind[mask], at=self.at[mask])

    def of_one(self, owner: int, events: np.ndarray) -> Interactions:
        """These events, all of one owner, who is alone in it: (1, items)."""
        owners = IdMap(self.owners.ids[owner : owner + 1])
        nobody = np.zeros(len(events), np.int32)
        gone = self.dismissed.where(self.dismissed.owner == owner)
        return Interactions(
            owners,
            self.items,
            nobody,
            self.item[events],
            self.kind[events],
            self.at[events],
            gone._replace(owner=np.zeros(len(gone.at), np.int32)),
        )

    def before(self, instant_us: int) -> Interactions:
        """What happened strictly before an instant."""
        gone = self.dismissed.where(self.dismissed.at < instant_us)
        return replace(self.where(self.at < instant_us), dismissed=gone)

    def transposed(self) -> Interactions:
        """The same events seen from the startups: owners become items."""
        gone = Pairs(self.dismissed.item, self.dismissed.owner, self.dismissed.at)
        return Interactions(self.items, self.owners, self.item, self.owner, self.kind, self.at, gone)

    def counts(self) -> np.ndarray:
        """(owners,) int32 events per owner: the interaction count of a user (R09)."""
        return np.bincount(self.owner, minlength=len(self.owners)).astype(np.int32)

    def distinct_counts(self) -> np.ndarray:
        """(owners,) int32 different items per owner: the interaction count of a startup, once transposed (R09)."""
        return np.diff(self.pairs().indptr).astype(np.int32)

    def pairs(self) -> sparse.csr_matrix:
        """(owners, items) bool: every pair that ever met."""
        return self._matrix(self.owner, self.item, np.ones(len(self), bool))

    def disliked(self) -> sparse.csr_matrix:
        """(owners, items) bool: pairs whose last explicit opinion is a dislike (R07)."""
        last = self._last_opinions()
        mask = last[self.kind[last] == EventType.DISLIKE.code]
        return self._matrix(self.owner[mask], self.item[mask], np.ones(len(mask), bool))

    def barred(self, views_are_seen: bool) -> sparse.csr_matrix:
        """(owners, items) bool: pairs that are never to be shown to each other: seen, disliked, dismissed."""
        seen = self if views_are_seen else self.where(self.kind != EventType.VIEW.code)
        gone = self._matrix(self.dismissed.owner, self.dismissed.item, np.ones(len(self.dismissed.at), bool))
        return (seen.pairs() + self.disliked() + gone).tocsr()

    def csr(
        self, half_life_days: float | None = None, now_us: int | None = None, damping: str = "none"
    ) -> sparse.csr_matrix:
        """(owners, items) float32 weights.

        Positive events add up (EVENT_WEIGHTS, each halved every `half_life_days` before `now_us`, by default the end of
        their `Span`); a pair whose
        last explicit opinion is a dislike is the dislike's weight alone. damping: "none", "log" (log1p of the
        sum) or "binary" (1.0), applied to positive cells.
        """
        weight = EVENT_WEIGHTS[self.kind]
        if half_life_days and len(self):
            newest = Span.of(self.at).newest_us if now_us is None else now_us
            weight = weight * faded(self.at, newest, half_life_days * DAY_US).astype(np.float32)
        positive = self.kind != EventType.DISLIKE.code
        summed = self._matrix(self.owner[positive], self.item[positive], weight[positive])
        if damping != "none":
            summed.data = np.log1p(summed.data) if damping == "log" else np.ones_like(summed.data)
        disliked = self.disliked().astype(np.float32)
        kept = summed - summed.multiply(disliked)
        matrix = (kept + disliked * EVENT_WEIGHTS[EventType.DISLIKE.code]).tocsr().astype(np.float32)
        matrix.eliminate_zeros()
        matrix.sort_indices()
        return matrix

    def _last_opinions(self) -> np.ndarray:
        """Row numbers of each pair's last explicit event; of several at one instant the higher kind code."""
        rows = np.flatnonzero(EXPLICIT[self.kind])
        rows = rows[np.lexsort((self.kind[rows], self.at[rows], self.item[rows], self.owner[rows]))]
        pair = self.owner[rows].astype(np.int64) * max(len(self.items), 1) + self.item[rows]
        return rows[np.append(pair[1:] != pair[:-1], True)] if len(rows) else rows

    def _matrix(self, owner: np.ndarray, item: np.ndarray, data: np.ndarray) -> sparse.csr_matrix:
        shape = (len(self.owners), len(self.items))
        matrix = sparse.coo_matrix((data, (owner, item)), shape=shape).tocsr()
        matrix.sort_indices()
        return matrix


@dataclass(frozen=True)
class Event:
    """One event as the reader is told of it. event_id: whoever sends it again sends the same; it counts once.

    user, startup: ids, lower case. at: UTC. answer_id: of the answer that showed the one to the other, empty where none
    is told. position: the place in that list, from 1; 0 where none is told.
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
        """From the fields of a request or of the stream; `at` may be missing: then it is when it was received.

        until: the last instant that is taken for `at`; default AHEAD after it was received. Raises MalformedEvent
        naming the first field that is wrong.
        """
        if not isinstance(given, Mapping):
            raise MalformedEvent("event", f"an object with {', '.join(_FIELDS)}", given, "send one object an event")
        unknown = sorted(set(given) - set(_FIELDS))
        if unknown:
            raise MalformedEvent(
                unknown[0][:40], "no other field than " + ", ".join(_FIELDS), given[unknown[0]], "leave it out"
            )
        event_id = given.get("event_id")
        if not isinstance(event_id, str) or not _EVENT_ID.fullmatch(event_id):
            raise MalformedEvent(
                "event_id",
                "1 to 128 visible ASCII characters",
                event_id,
                "give every event an id of its own, e.g. a UUID, and send the same again on a retry",
            )
        user, startup = _id_of(given, "user_id"), _id_of(given, "startup_id")
        kind, at = _kind_of(given), _at(given, received, until or received + AHEAD)
        return cls(event_id, user, startup, kind, at, _answer_id(given), _position(given))

    def entry(self) -> dict[str, str]:
        """The fields of its entry in the stream; `of_entry` takes them."""
        entry = {
            "event_id": self.event_id,
            "user_id": self.user,
            "startup_id": self.startup,
            "type": self.kind.value,
            "at": self.at.isoformat(),
        }
        told = {"answer_id": self.answer_id, "position": str(self.position or "")}
        return entry | {name: value for name, value in told.items() if value}

    @classmethod
    def of_entry(cls, entry: Mapping[str, str], received: datetime) -> Event:
        """The inverse, from the texts of the stream. Raises MalformedEvent, but never for a time in the future: whoever
        took the event judged its time, by the clock of Redis, and what was taken is kept."""
        position = entry.get("position", "")
        whole = {"position": int(position)} if _POSITION.fullmatch(position) else {}
        return cls.read(dict(entry) | whole, received, LAST)

    @property
    def at_us(self) -> int:
        """Microseconds since 1970 UTC."""
        return instant_us(self.at)


def instant_us(at: datetime) -> int:
    """Microseconds since 1970 UTC."""
    return (at - _EPOCH) // timedelta(microseconds=1)


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
        raise MalformedEvent("type", f"one of {', '.join(EventType)}", value, "docs/api.md says what each does")
    return EventType(value)


def _answer_id(given: Mapping[str, Any]) -> str:
    value = given.get("answer_id")
    if value is None:
        return ""
    if not isinstance(value, str) or not _ANSWER_ID.fullmatch(value):
        raise MalformedEvent("answer_id", "the answer_id of an answer", value, "send it as it came, or leave it out")
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
            "send the place in the list, from 1, or leave it out",
        )
    return value


def _at(given: Mapping[str, Any], received: datetime, until: datetime) -> datetime:
    """Raises MalformedEvent also for an instant before 1970 or after `until`."""
    value = given.get("at")
    if value is None:
        return received
    hint = "send when it happened, in UTC, or leave it out for the time of receipt"
    try:
        at = datetime.fromisoformat(value)
        at = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise MalformedEvent("at", "an ISO 8601 instant such as 2024-05-01T14:03:00Z", value, hint) from None
    if not _EPOCH <= at <= until:
        raise MalformedEvent("at", f"an instant since 1970 and before {until.isoformat()}", value, hint)
    return at
