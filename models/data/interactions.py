"""Events between users and startups. Only this module defines their orientation and weights."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.data.entities import IdMap
from models.errors import DataError
from models.schema import COUNTED_TYPES, EventType

#: `Span` leaves out this share of events at either end, at least one event; none if there are FEW or fewer.
TAIL, FEW = 0.01, 20
#: A weight stops decaying after this many half-lives, so that 32 bits hold it.
MOST = 100.0


class Span(NamedTuple):
    """Time range of most events.

    newest_us: its end, microseconds since 1970 UTC. length_us: its length, or 0.
    """

    newest_us: int
    length_us: float

    @classmethod
    def from_times(cls, at: NDArray[np.int64]) -> Span:
        """Compute the span from quantile TAIL to 1 - TAIL.

        at: (n,) int64 microseconds since 1970 UTC, in any order.
        """
        n = len(at)
        if not n:
            return cls(0, 0.0)
        cut = max(1, int(TAIL * n)) if n > FEW else 0
        ordered = np.partition(at, sorted({cut, n - 1 - cut}))
        first, last = int(ordered[cut]), int(ordered[n - 1 - cut])
        return cls(last, float(last - first))

    def fading(self, at: NDArray[np.int64], share: float) -> NDArray[np.float64]:
        """Return (n,) factors in 0..1: 1 from `newest_us` on, halved every `share` of the span before it.

        With share 0 all are 1.
        """
        if not (share > 0 and self.length_us > 0):
            return np.ones(len(at))
        return faded(at, self.newest_us, share * self.length_us)


def leaving(at: NDArray[np.int64], share: float) -> int:
    """Return the instant from which on the last `share` (above 0) of the events happened.

    at: (n,) in any order, n > 0.
    """
    place = int(len(at) * (1 - share))
    return int(np.partition(at, place)[place])


def faded(at: NDArray[np.int64], newest_us: int, half_life_us: float) -> NDArray[np.float64]:
    """Return (n,) factors in (0, 1]: 1 from `newest_us` on, halved for each half-life before it.

    A factor never reaches 0, which would mean "no interaction".
    """
    return np.exp2(np.clip((at - newest_us) / half_life_us, -MOST, 0.0))


DAY_US = 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_POSITION = re.compile(r"[0-9]{1,4}")
LAST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
#: By `EventType.code`: weight (C01-C07), 0 without one, and whether it is an explicit opinion.
EVENT_WEIGHTS = np.zeros(EventType.codes(), np.float32)
EXPLICIT = np.zeros(EventType.codes(), bool)
#: By `EventType.code`: the bit in `Interactions.kinds`, 0 for a type without a verb.
_COUNTED = np.zeros(EventType.codes(), np.uint16)
for _type in COUNTED_TYPES:
    _COUNTED[_type.code] = 1 << _type.code
for _type in EventType:
    EVENT_WEIGHTS[_type.code], EXPLICIT[_type.code] = _type.weight or 0.0, _type.explicit


class Pairs(NamedTuple):
    """Owner and item rows, (n,) int32, and times, (n,) int64 microseconds since 1970 UTC."""

    owner: NDArray[Any]
    item: NDArray[Any]
    at: NDArray[Any]

    def where(self, mask: NDArray[np.bool_]) -> Pairs:
        return Pairs(self.owner[mask], self.item[mask], self.at[mask])


NO_PAIRS = Pairs(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.int64))


@dataclass(frozen=True, eq=False)
class Interactions:
    """Events as parallel arrays, one row per event, in any order.

    owners, items: ids of the rows; users and startups in a snapshot. Only `transposed()` swaps them.
    owner, item: (n,) int32 rows. kind: (n,) int8 `EventType.code`. at: (n,) int64 microseconds since 1970 UTC.
    dismissed: pairs excluded from lists. They are not events and never counted or trained on.
    In `csr()` a positive cell is interest, a negative cell is a dislike, and an absent cell is no interaction (for ALS
    a weak dislike). No 0 is stored, because the solver would read it as "no opinion" (R07).
    """

    owners: IdMap
    items: IdMap
    owner: NDArray[np.int32]
    item: NDArray[np.int32]
    kind: NDArray[np.int8]
    at: NDArray[np.int64]
    dismissed: Pairs = NO_PAIRS

    def __post_init__(self) -> None:
        sizes = {len(self.owner), len(self.item), len(self.kind), len(self.at)}
        if len(sizes) != 1:
            raise DataError(f"expected owner, item, kind and at of one length, got lengths {sorted(sizes)}")
        for name, rows, ids in (
            ("owner", self.owner, self.owners),
            ("item", self.item, self.items),
            ("dismissed owner", self.dismissed.owner, self.owners),
            ("dismissed item", self.dismissed.item, self.items),
        ):
            if len(rows) and (rows.min() < 0 or rows.max() >= len(ids)):
                raise DataError(f"expected {name} rows in 0..{len(ids) - 1}, got {rows.min()}..{rows.max()}")

    def __len__(self) -> int:
        return len(self.owner)

    def where(self, mask: NDArray[Any]) -> Interactions:
        """Select events by a boolean mask. Row numbers and dismissed pairs stay."""
        return replace(self, owner=self.owner[mask], item=self.item[mask], kind=self.kind[mask], at=self.at[mask])

    def of_owner(self, owner: int, events: NDArray[np.int64]) -> Interactions:
        """Select these events, with a single owner row."""
        owners = self.owners.taken(slice(owner, owner + 1))
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
        """Select events and dismissals strictly before an instant."""
        early = self.at < instant_us
        gone = self.dismissed.where(self.dismissed.at < instant_us)
        return replace(self if early.all() else self.where(early), dismissed=gone)

    def transposed(self) -> Interactions:
        gone = Pairs(self.dismissed.item, self.dismissed.owner, self.dismissed.at)
        return Interactions(self.items, self.owners, self.item, self.owner, self.kind, self.at, gone)

    def counts(self) -> NDArray[np.int32]:
        """Return (owners,) number of events: the interaction count of users (R09)."""
        return np.bincount(self.owner, minlength=len(self.owners)).astype(np.int32)

    def distinct_counts(self) -> NDArray[np.int32]:
        """Return (owners,) distinct items. On `transposed()` events: the interaction count of startups (R09)."""
        return np.diff(self.pairs().indptr).astype(np.int32)

    def pairs(self) -> sparse.csr_matrix:
        """Return (owners, items) bool: pairs with any event."""
        return self._matrix(self.owner, self.item, np.ones(len(self), bool))

    def disliked(self) -> sparse.csr_matrix:
        """Return (owners, items) bool: pairs whose last explicit event is a dislike (R07)."""
        last = self._last_opinions()
        mask = last[self.kind[last] == EventType.DISLIKE.code]
        return self._matrix(self.owner[mask], self.item[mask], np.ones(len(mask), bool))

    def barred(self, views_are_seen: bool) -> sparse.csr_matrix:
        """Return (owners, items) bool: pairs never to recommend (seen, disliked or dismissed)."""
        seen = self if views_are_seen else self.where(self.kind != EventType.VIEW.code)
        gone = self._matrix(self.dismissed.owner, self.dismissed.item, np.ones(len(self.dismissed.at), bool))
        return (seen.pairs() + self.disliked() + gone).tocsr()

    def csr(
        self, half_life_days: float | None = None, now_us: int | None = None, damping: str = "none"
    ) -> sparse.csr_matrix:
        """Return (owners, items) float32 weights.

        The weights of positive events (EVENT_WEIGHTS) add up, each halved every `half_life_days` before `now_us`, by
        default the end of their `Span`. If a pair's last explicit event is a dislike, the cell is the dislike's weight.
        damping of positive cells: "none", "log" (log1p of the sum) or "binary" (1.0).
        """
        weight = EVENT_WEIGHTS[self.kind]
        if half_life_days and len(self):
            newest = Span.from_times(self.at).newest_us if now_us is None else now_us
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

    def kinds(self) -> sparse.csr_matrix:
        """Return (owners, items) uint16: the event types of each pair, a bit `1 << code` for each type.

        Types without a verb (`EventType.done`) are left out.
        """
        counted = _COUNTED[self.kind]
        key = (self.owner.astype(np.int64) * max(len(self.items), 1) + self.item)[counted > 0]
        order = np.argsort(key, kind="stable")
        key = key[order]
        first = np.flatnonzero(np.append(True, key[1:] != key[:-1])[: len(key)])
        bits = np.bitwise_or.reduceat(counted[counted > 0][order], first) if len(key) else np.zeros(0, np.uint16)
        owner, item = np.divmod(key[first], max(len(self.items), 1))
        return self._matrix(owner, item, bits)

    def _last_opinions(self) -> NDArray[np.int64]:
        """Return the row number of each pair's last explicit event. Ties go to the higher kind code."""
        rows = np.flatnonzero(EXPLICIT[self.kind])
        rows = rows[np.lexsort((self.kind[rows], self.at[rows], self.item[rows], self.owner[rows]))]
        pair = self.owner[rows].astype(np.int64) * max(len(self.items), 1) + self.item[rows]
        return rows[np.append(pair[1:] != pair[:-1], True)] if len(rows) else rows

    def _matrix(self, owner: NDArray[np.int32], item: NDArray[np.int32], data: NDArray[Any]) -> sparse.csr_matrix:
        shape = (len(self.owners), len(self.items))
        matrix = sparse.coo_matrix((data, (owner, item)), shape=shape).tocsr()
        matrix.sort_indices()
        return matrix


def instant_us(at: datetime) -> int:
    """Return microseconds since 1970 UTC."""
    return (at - _EPOCH) // timedelta(microseconds=1)


#: Most instants that `EventTime` stores. Equally many events lie between them.
TICKS = 2048


@dataclass(frozen=True, eq=False)
class EventTime:
    """Measures the age of an instant as the share of events at or after it: 0 is now, 1 the beginning.

    instant: (q,) int64 microseconds since 1970 UTC, ascending, q > 0. share: (q,) float64, the age of each.
    """

    instant: NDArray[np.int64]
    share: NDArray[np.float64]

    @classmethod
    def from_times(cls, at: NDArray[np.int64]) -> EventTime:
        """Make the clock from (n,) int64 event times in any order. Without events every age is 1."""
        ordered = np.sort(at)
        if not len(ordered):
            return cls(np.zeros(1, np.int64), np.ones(1))
        place = np.unique(np.linspace(0, len(ordered) - 1, TICKS).astype(np.int64))
        instant, first = np.unique(ordered[place], return_index=True)
        return cls(instant, 1 - place[first] / len(ordered))

    def age(self, at: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the ages of int64 instants, in the same shape. A future instant has the newest event's age."""
        return np.interp(at.astype(np.float64), self.instant.astype(np.float64), self.share).astype(np.float32)


def faded_csr(interactions: Interactions, share: float, damping: str) -> sparse.csr_matrix:
    """Compute `Interactions.csr` with the half-life as a share of the events' `Span`; 0: no decay.

    Events are sorted first, because sums of floats must not depend on the order of rows.
    """
    half_life = half_life_days(interactions, share)
    if not half_life:
        return interactions.csr(damping=damping)
    order = np.lexsort((interactions.kind, interactions.at, interactions.item, interactions.owner))
    return interactions.where(order).csr(half_life_days=half_life, damping=damping)


def half_life_days(interactions: Interactions, share: float) -> float:
    """Convert a share of the events' `Span` to a half-life in days; 0: no decay."""
    return share * Span.from_times(interactions.at).length_us / DAY_US


def last_seen(
    interactions: Interactions, owner: NDArray[np.integer[Any]], item: NDArray[np.int32]
) -> NDArray[np.int64]:
    """Return (pairs,) time of each pair's last event. Pairs ascend."""
    stride = max(len(interactions.items), 1)
    key = interactions.owner.astype(np.int64) * stride + interactions.item
    last = np.full(len(owner), np.iinfo(np.int64).min)
    wanted = owner.astype(np.int64) * stride + item
    place = np.minimum(np.searchsorted(wanted, key), max(len(wanted) - 1, 0))
    hit = wanted[place] == key if len(wanted) else np.zeros(len(key), bool)
    np.maximum.at(last, place[hit], interactions.at[hit])
    return last


def newest(
    owner: NDArray[np.integer[Any]], item: NDArray[np.int32], last: NDArray[np.int64], longest: int
) -> NDArray[np.int64]:
    """Return row numbers of each owner's `longest` newest pairs, ties by item. Owners ascend."""
    order = np.lexsort((item, -last, owner))
    first = np.searchsorted(owner, np.arange(owner[-1] + 1 if len(owner) else 0))
    return np.sort(order[np.arange(len(order)) - first[owner[order]] < longest])
