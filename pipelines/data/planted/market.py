"""The truth: who is who, what each one likes, what is popular, and when each came. Arrays only, one row an id."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from models.errors import DataError
from pipelines.data.planted.words import MARKETS, NICHES

DAY = 86_400
SPAN_DAYS = 730
ROLES = ("developer", "investor", "founder")
_ROLE_SHARES = (0.68, 0.27, 0.05)
NEVER = np.int64(-1)  # an instant that is blank in the file
_LONGEST = 600  # events of the most active user, in means of all


@dataclass(frozen=True)
class Size:
    """What to draw. ends: nothing happens at or after it."""

    users: int
    startups: int
    events_per_user: float
    seed: int
    ends: datetime

    def __post_init__(self) -> None:
        if self.users < 2 or self.startups < 1 or self.events_per_user < 0 or self.seed < 0:
            got = f"{self.users}, {self.startups}, {self.events_per_user:g} and {self.seed}"
            raise DataError(
                "a sample needs at least 2 users (a developer and an investor), 1 startup, events per user "
                f">= 0 and a seed >= 0, got {got}"
            )
        if self.ends.tzinfo is None or self.ends < datetime(1980, 1, 1, tzinfo=UTC) + timedelta(days=SPAN_DAYS):
            raise DataError(f"a sample needs an end with a time zone, from 1982 on, got {self.ends.isoformat()}")

    @property
    def end(self) -> int:
        """Seconds since 1970 UTC."""
        return int(self.ends.timestamp())

    def randomness(self, *part: int) -> np.random.Generator:
        """Independent numbers for each part, so that a part does not depend on how others were cut."""
        return np.random.default_rng([self.seed, *part])


@dataclass(frozen=True, eq=False)
class Startups:
    """n startups. id (n, 16) uint8; market, second, niche (n,) int16: what it is about; weight (n,) float64:
    popularity, 0 where nobody will come; born, withdrawn, updated (n,) int64 seconds or NEVER; city (n,) int16;
    founder (n,) int32 user row or -1."""

    id: np.ndarray
    market: np.ndarray
    second: np.ndarray
    niche: np.ndarray
    weight: np.ndarray
    born: np.ndarray
    withdrawn: np.ndarray
    updated: np.ndarray
    city: np.ndarray
    founder: np.ndarray


@dataclass(frozen=True, eq=False)
class Users:
    """n users, columns as in Startups. role (n,) int8 place in ROLES; events (n,) int64: how many to expect;
    opted_out (n,) int64 seconds or NEVER."""

    id: np.ndarray
    role: np.ndarray
    market: np.ndarray
    second: np.ndarray
    niche: np.ndarray
    events: np.ndarray
    born: np.ndarray
    updated: np.ndarray
    opted_out: np.ndarray
    city: np.ndarray


def draw_users(size: Size) -> Users:
    """Roles, tastes, and how active each is: a long tail from nobody heard of to hundreds of events."""
    random, n = size.randomness(1), size.users
    role = random.choice(len(ROLES), n, p=_ROLE_SHARES).astype(np.int8)
    role[:2] = 0, 1  # both surfaces exist at any size
    market, second, niche = _tastes(random, n, size)
    activity = random.lognormal(0, 1.25, n) * (random.random(n) > 0.04)
    share = np.minimum(activity / max(activity.mean(), 1e-9), _LONGEST)
    events = np.rint(share * size.events_per_user).astype(np.int64)
    born = _births(random, n, size)
    opted_out = np.where(_share(random, n, 0.02), size.end - random.integers(1, 60 * DAY, n), NEVER)
    return Users(
        _ids(random, n),
        role,
        market,
        second,
        niche,
        events,
        born,
        _later(random, born, size),
        np.where(opted_out > born, opted_out, NEVER),
        _cities(random, market),
    )


def draw_startups(size: Size, users: Users) -> Startups:
    """Markets, popularity (a few are known to all, one in twelve to nobody), births, withdrawals, founders."""
    random, n = size.randomness(2), size.startups
    market, second, niche = _tastes(random, n, size)
    weight = random.lognormal(0, 1.3, n) * (random.random(n) > 1 / 12 if n >= 12 else 1)
    born = _births(random, n, size)
    withdrawn = np.where(_share(random, n, 0.03), size.end - random.integers(1, 90 * DAY, n), NEVER)
    founders = np.flatnonzero(users.role == ROLES.index("founder"))
    founder = random.choice(founders, n) if len(founders) else np.full(n, -1)
    return Startups(
        _ids(random, n),
        market,
        second,
        niche,
        weight,
        born,
        np.where(withdrawn > born, withdrawn, NEVER),
        _later(random, born, size),
        _cities(random, market),
        np.where(random.random(n) < 0.9, founder, -1).astype(np.int32),
    )


def markets_of(size: Size) -> int:
    """Few startups share few markets, so that each has several."""
    return int(np.clip(size.startups // 8, 1, len(MARKETS)))


def _tastes(random: np.random.Generator, n: int, size: Size) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    markets = markets_of(size)
    share = 1 / np.arange(2, markets + 2)  # some markets are larger, for users and startups alike
    market, second = (random.choice(markets, n, p=share / share.sum()).astype(np.int16) for _ in range(2))
    return market, second, random.integers(0, NICHES, n).astype(np.int16)


def _births(random: np.random.Generator, n: int, size: Size) -> np.ndarray:
    """More and more come, the newest in the last hours; one in a hundred was always there."""
    born = size.end - 1 - (SPAN_DAYS * DAY * (1 - random.random(n) ** 0.6)).astype(np.int64)
    return np.where(_share(random, n, 0.01), NEVER, born)


def _later(random: np.random.Generator, born: np.ndarray, size: Size) -> np.ndarray:
    """When a record was last written; blank for three in ten."""
    since = np.maximum(born, size.end - SPAN_DAYS * DAY)
    at = size.end - 1 - ((size.end - 1 - since) * random.random(len(born)) ** 2).astype(np.int64)
    return np.where(random.random(len(born)) < 0.7, at, NEVER)


def _share(random: np.random.Generator, n: int, share: float) -> np.ndarray:
    """(n,) bool: this share of rows, and at least one from twenty rows on: every trait exists in every sample."""
    chosen = random.random(n) < share
    if n >= 20 and not chosen.any():
        chosen[random.integers(0, n)] = True
    return chosen


def _cities(random: np.random.Generator, market: np.ndarray) -> np.ndarray:
    """Half of all sit in a hub of their market; -1: not said."""
    hub = 2 * market + random.integers(0, 2, len(market))
    city = np.where(random.random(len(market)) < 0.5, hub, random.integers(0, 2 * len(MARKETS), len(market)))
    return np.where(random.random(len(market)) < 0.9, city, -1).astype(np.int16)


def _ids(random: np.random.Generator, n: int) -> np.ndarray:
    """(n, 16) uint8: random UUIDs of version 4."""
    ids = random.integers(0, 256, (n, 16), dtype=np.uint8)
    ids[:, 6] = (ids[:, 6] & 0x0F) | 0x40
    ids[:, 8] = (ids[:, 8] & 0x3F) | 0x80
    return ids
