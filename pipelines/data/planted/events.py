"""What people do: they meet startups, mostly of their own taste; a meeting is a view and, the better it fits, more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from models.schema import EventType as Kind
from pipelines.data.planted.market import DAY, NEVER, ROLES, SPAN_DAYS, Size, Startups, Users
from pipelines.data.planted.words import NICHES

USERS_AT_ONCE = 10_000
EVENT = np.dtype([("at", "<i8"), ("user", "<i4"), ("startup", "<i4"), ("kind", "<i1")])
_EVENTS_PER_MEETING = 1.9
_NICHE, _MARKET, _SECOND = 0.55, 0.25, 0.10  # where a meeting comes from; the rest is any startup
_HOURS = np.array([1, 1, 1, 1, 1, 2, 4, 7, 10, 13, 14, 13, 11, 12, 13, 12, 11, 9, 8, 9, 10, 9, 6, 3], float)
_WEEKEND = 0.45  # share of weekend meetings that stay there; the others move to a working day


@dataclass(frozen=True, eq=False)
class Shelf:
    """Startups sorted by market and niche, so that a draw by popularity from any of them is one binary search."""

    order: np.ndarray
    heap: np.ndarray  # (n + 1,) popularity up to each place
    bounds: np.ndarray  # (markets * NICHES + 1,) where each niche begins

    @classmethod
    def of(cls, startups: Startups, markets: int) -> Shelf:
        place = startups.market.astype(np.int64) * NICHES + startups.niche
        order = np.argsort(place, kind="stable")
        return cls(
            order,
            np.concatenate([[0.0], np.cumsum(startups.weight[order])]),
            np.searchsorted(place[order], np.arange(markets * NICHES + 1)),
        )

    def draw(self, random: np.random.Generator, first: np.ndarray, stop: np.ndarray) -> np.ndarray:
        """One startup for each range of niches, by popularity; of all where a range holds nobody known."""
        low, high = self.heap[self.bounds[first]], self.heap[self.bounds[stop]]
        empty = high <= low
        low, high = np.where(empty, 0.0, low), np.where(empty, self.heap[-1], high)
        point = low + (high - low) * random.random(len(first))
        place = np.searchsorted(self.heap, point, side="right") - 1
        drawn: np.ndarray = self.order[np.clip(place, 0, len(self.order) - 1)]
        return drawn.astype(np.int32)


def draw_events(size: Size, users: Users, startups: Startups, markets: int) -> Iterator[np.ndarray]:
    """Events (EVENT records, in no order) of ten thousand users at a time; memory does not grow with users."""
    if not startups.weight.any():
        return
    shelf = Shelf.of(startups, markets)
    for first in range(0, len(users.id), USERS_AT_ONCE):
        random = size.randomness(3, first)
        chosen = np.arange(first, min(first + USERS_AT_ONCE, len(users.id)))
        meetings = np.floor(users.events[chosen] / _EVENTS_PER_MEETING + random.random(len(chosen))).astype(np.int64)
        user = np.repeat(chosen, np.where(users.events[chosen] > 0, np.maximum(meetings, 1), 0)).astype(np.int32)
        startup = _meet(random, shelf, users, user, markets)
        at = _when(random, size, users, startups, user, startup)
        here = at != NEVER
        yield _acts(random, size, users, startups, user[here], startup[here], at[here])


def _meet(random: np.random.Generator, shelf: Shelf, users: Users, user: np.ndarray, markets: int) -> np.ndarray:
    how = random.random(len(user))
    market, second = users.market[user].astype(np.int64), users.second[user].astype(np.int64)
    niche = market * NICHES + users.niche[user]
    steps = [how < _NICHE, how < _NICHE + _MARKET, how < _NICHE + _MARKET + _SECOND]
    first = np.select(steps, [niche, market * NICHES, second * NICHES], 0)
    stop = np.select(steps, [niche + 1, (market + 1) * NICHES, (second + 1) * NICHES], markets * NICHES)
    return shelf.draw(random, first, stop)


def _when(
    random: np.random.Generator, size: Size, users: Users, startups: Startups, user: np.ndarray, startup: np.ndarray
) -> np.ndarray:
    """Seconds: both are there, the startup is not withdrawn; mostly by day, on a working day. NEVER: they miss."""
    begin = np.maximum(np.maximum(users.born[user], startups.born[startup]), size.end - SPAN_DAYS * DAY) + 1
    end = np.where(startups.withdrawn[startup] == NEVER, size.end, startups.withdrawn[startup]) - 3600
    raw = begin + ((end - begin) * random.random(len(user)) ** 0.8).astype(np.int64)
    day = raw // DAY
    weekday = (day + 3) % 7  # 1970-01-01 was a Thursday; 0 is Monday
    moves = (weekday >= 5) & (random.random(len(user)) > _WEEKEND)
    day = np.where(moves, day - 1 - random.integers(1, 5, len(user)), day)
    hour = random.choice(24, len(user), p=_HOURS / _HOURS.sum())
    nice = day * DAY + hour * 3600 + random.integers(0, 3600, len(user))
    at = np.where((nice >= begin) & (nice < end), nice, raw)
    return np.where(end > begin, at, NEVER)


def _acts(
    random: np.random.Generator,
    size: Size,
    users: Users,
    startups: Startups,
    user: np.ndarray,
    startup: np.ndarray,
    at: np.ndarray,
) -> np.ndarray:
    """The events of each meeting: always a view, then a click, an opinion, and an application or an interest."""
    market = startups.market[startup]
    fits = market == users.market[user]
    near = fits | (market == users.second[user])
    very = fits & (startups.niche[startup] == users.niche[user])
    clicks = random.random(len(user)) < np.select([very, near], [0.60, 0.45], 0.25)
    judges = random.random(len(user)) < np.select([very, near], [0.38, 0.28], 0.22)
    likes = random.random(len(user)) < np.select([very, near], [0.96, 0.85], 0.45)
    acts = judges & likes & (random.random(len(user)) < np.where(very, 0.45, 0.2))
    praise = np.where(random.random(len(user)) < 0.3, Kind.FAVORITE.code, Kind.LIKE.code)
    opinion = np.where(likes, praise, Kind.DISLIKE.code)
    investor = users.role[user] == ROLES.index("investor")
    deed = np.where(investor == (random.random(len(user)) < 0.9), Kind.INTEREST.code, Kind.APPLY.code)
    always = np.ones(len(user), bool)
    steps = ((always, always * Kind.VIEW.code), (clicks, always * Kind.CLICK.code), (judges, opinion), (acts, deed))
    events = [
        _event(user[did], startup[did], kind[did], at[did] + step * random.integers(5, 240, int(did.sum())))
        for step, (did, kind) in enumerate(steps)
    ]
    found = np.concatenate(events)
    return found[found["at"] < size.end]


def _event(user: np.ndarray, startup: np.ndarray, kind: np.ndarray, at: np.ndarray) -> np.ndarray:
    events = np.empty(len(user), EVENT)
    events["at"], events["user"], events["startup"], events["kind"] = at, user, startup, kind
    return events
