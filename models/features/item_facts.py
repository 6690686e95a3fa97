"""Facts of an item before the cutoff: age, activity, recent demand, and those of its facet values.

Ages are given in days, because funding rounds follow the calendar, and in events (`EventTime`), because "recent"
depends on how busy the marketplace is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.entities import UNKNOWN_TIME, Entities
from models.data.interactions import DAY_US, EventTime, Interactions
from models.features.location import coded, there
from models.schema import EventType

#: Windows and half-lives, as shares of all events.
WINDOWS = (0.003, 0.01, 0.03, 0.1, 0.3)
HALF_LIVES = (0.003, 0.01, 0.03, 0.1)
#: Recent events for the momentum and density of a facet value, as a share of all events.
RECENT = 0.05
#: Age and log days of what never happened. An age of 1 is before the first event.
NEVER, NEVER_DAYS = 1.2, 12.0
#: 0001-01-01 in days since 1970.
_YEAR_1 = -719_162


def item_facts(items: Entities, events: Interactions, clock: EventTime, now_us: int) -> dict[str, NDArray[np.float32]]:
    """Return facts (n,) of every entity by name, listed or not.

    events: before now_us, with the entities as owners.
    """
    wanted = events.where(events.kind != EventType.DISLIKE.code)
    facts = dict(_own(items, wanted, clock, now_us))
    facts["dislikes"] = np.log1p(_count(events.owner[events.kind == EventType.DISLIKE.code], len(items)))
    facts |= _partners(wanted, clock)
    facts |= _momentum(items, wanted, clock)
    return {name: np.asarray(value, np.float32) for name, value in facts.items()}


def last_age(events: Interactions, clock: EventTime) -> NDArray[np.float32]:
    """Return (owners,) age of the last event; NEVER without one."""
    last = np.full(len(events.owners), np.iinfo(np.int64).min)
    np.maximum.at(last, events.owner, events.at)
    return np.where(_count(events.owner, len(last)) > 0, clock.age(last), NEVER).astype(np.float32)


def _own(items: Entities, events: Interactions, clock: EventTime, now_us: int) -> Iterator[tuple[str, NDArray[Any]]]:
    """Compute facts of the item's own events. A round is a day with events."""
    n, item = len(items), events.owner
    count = _count(item, n)
    first, last = np.full(n, now_us), np.full(n, np.iinfo(np.int64).min)
    np.minimum.at(first, item, events.at)
    np.maximum.at(last, item, events.at)
    met = count > 0
    first, last = np.where(met, first, now_us), np.where(met, last, now_us)
    rounds = _count(np.unique(item.astype(np.int64) << 32 | _day(events.at)) >> 32, n)
    born = items.created_at != UNKNOWN_TIME
    age = clock.age(events.at)
    yield "met", met
    yield "first_age", np.where(met, clock.age(first), NEVER)
    yield "last_age", np.where(met, clock.age(last), NEVER)
    yield "first_days", np.where(met, _log_days(first, now_us), NEVER_DAYS)
    yield "last_days", np.where(met, _log_days(last, now_us), NEVER_DAYS)
    yield "born", born
    yield "born_days", np.where(born, _log_days(items.created_at, now_us), 0)
    yield "events", np.log1p(count)
    yield "partners", np.log1p(np.diff(events.pairs().indptr))
    yield "rounds", np.log1p(rounds)
    yield "events_a_round", count / np.maximum(rounds, 1)
    yield "days_a_round", np.where(rounds > 1, np.log1p((last - first) / DAY_US / np.maximum(rounds - 1, 1)), 0)
    yield "views", np.log1p(_count(item[events.kind == EventType.VIEW.code], n))
    for window in WINDOWS:
        yield f"events_in_{window}", np.log1p(_count(item[age < window], n))
    for half_life in HALF_LIVES:
        yield f"heat_{half_life}", np.log1p(100 * np.bincount(item, np.exp2(-age / half_life), n))


def _partners(events: Interactions, clock: EventTime) -> dict[str, NDArray[np.float64]]:
    """Compute facts of the item's partners: their activity and recency."""
    pairs = events.pairs().tocoo()
    n, busy = pairs.shape[0], np.log1p(_count(events.item, len(events.items)))
    lately = last_age(events.transposed(), clock)
    count = np.maximum(_count(pairs.row, n), 1)
    most = np.zeros(n)
    np.maximum.at(most, pairs.row, busy[pairs.col])
    return {
        "partners_busy": np.bincount(pairs.row, busy[pairs.col], n) / count,
        "partners_busiest": most,
        "partners_age": np.bincount(pairs.row, lately[pairs.col], n) / count,
    }


def _momentum(items: Entities, events: Interactions, clock: EventTime) -> dict[str, NDArray[np.float64]]:
    """Compute facts of facet values: share of events, relative recent share, recent events per item.

    Only entities known at the cutoff count, so that the future does not leak.
    """
    recent, here = events.owner[clock.age(events.at) < RECENT], there(items)
    found = {}
    for name, (codes, labels) in coded(items).items():
        n = len(labels) + 1  # the last is blank
        code = np.where(codes < 0, n - 1, codes)
        ever, lately, size = _count(code[events.owner], n), _count(code[recent], n), _count(code[here], n)
        share = (ever + 1) / (ever.sum() + n)
        found[f"{name}_share"] = np.log(share)[code]
        found[f"{name}_momentum"] = np.log((lately + 1) / (lately.sum() + n) / share)[code]
        found[f"{name}_density"] = np.log((lately + 0.5) / (size + 5))[code]
    return found


def _count(rows: NDArray[np.integer[Any]], n: int) -> NDArray[np.int64]:
    return np.bincount(rows, minlength=n)


def _day(at: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (n,) days since the year 1, at least 0 and below 2**32."""
    return at // DAY_US - _YEAR_1


def _log_days(at: NDArray[np.int64], now_us: int) -> NDArray[np.float64]:
    return np.log1p(np.maximum(now_us - np.where(at == UNKNOWN_TIME, now_us, at), 0) / DAY_US)
