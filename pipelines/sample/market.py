"""Draw the sample's ground truth: roles, interests, popularity and times. Arrays have one row per id."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import DataError
from models.schema import EventType as Kind

NICHES = 3


@dataclass(frozen=True)
class Market:
    """A category. Its three niches are `fields`. Each niche uses some words more often than the others."""

    category: str
    fields: tuple[str, str, str]
    words: tuple[str, ...]
    skills: tuple[str, ...]
    hubs: tuple[str, str]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _market(category: str, fields: str, words: str, skills: str, hubs: str) -> Market:
    one, two, three = fields.split(", ")
    first, second = hubs.split("; ")
    return Market(category, (one, two, three), _words(words), tuple(skills.split(", ")), (first, second))


MARKETS = (
    _market(
        "fintech",
        "payments, lending, insurance",
        "checkout card merchant wallet settlement invoice credit loan borrower underwriting repayment score policy "
        "claim premium broker actuary risk",
        "payments APIs, Java, risk modelling, compliance, Kafka, SQL",
        "London, GB; New York, US",
    ),
    _market(
        "health",
        "diagnostics, telemedicine, wellness",
        "imaging biomarker screening radiology lab sample doctor consultation prescription triage remote ward "
        "sleep nutrition habit coach therapy heartrate",
        "Python, FHIR, computer vision, clinical research, regulatory affairs, Swift",
        "Boston, US; Basel, CH",
    ),
    _market(
        "education",
        "tutoring, courseware, campus",
        "lesson tutor homework exam pupil feedback course video curriculum quiz certificate teacher campus alumni "
        "admission dormitory library student",
        "React, instructional design, content, mobile, Ruby, learning analytics",
        "Cambridge, GB; Bangalore, IN",
    ),
    _market(
        "climate",
        "solar, storage, carbon",
        "panel rooftop inverter yield photovoltaic installer battery cell grid charge cycle peak offset emission "
        "registry forest footprint audit",
        "power electronics, C++, energy modelling, GIS, hardware, embedded",
        "Copenhagen, DK; Austin, US",
    ),
    _market(
        "mobility",
        "logistics, micromobility, fleet",
        "parcel route warehouse courier dispatch freight scooter bike dock rider helmet commute truck telematics "
        "driver maintenance fuel mileage",
        "operations research, Go, Android, maps, IoT, scheduling",
        "Berlin, DE; Detroit, US",
    ),
    _market(
        "games",
        "mobile games, esports, studios",
        "puzzle level player booster casual session tournament team league stream arena rank engine shader "
        "narrative quest character console",
        "Unity, C#, game design, 3D art, Unreal, live operations",
        "Helsinki, FI; Montreal, CA",
    ),
    _market(
        "security",
        "identity, detection, privacy",
        "login passkey credential directory token consent malware alert endpoint incident sandbox forensics "
        "encryption anonymise vault tracker cookie audit",
        "cryptography, Rust, threat hunting, reverse engineering, networking, SOC",
        "Tel Aviv, IL; Washington, US",
    ),
    _market(
        "food",
        "delivery, agritech, alternative protein",
        "kitchen menu restaurant order tray basket soil irrigation harvest drone seed greenhouse fermentation tofu "
        "culture texture vegan bioreactor",
        "supply chain, biotechnology, agronomy, mobile, data analysis, food science",
        "Amsterdam, NL; Sao Paulo, BR",
    ),
    _market(
        "property",
        "rentals, construction, smart home",
        "tenant landlord lease viewing deposit flat crane concrete blueprint site scaffold permit thermostat "
        "sensor lock doorbell lighting hub",
        "CAD, BIM, PropTech sales, IoT, TypeScript, civil engineering",
        "Dubai, AE; Toronto, CA",
    ),
    _market(
        "media",
        "podcasts, newsrooms, music",
        "episode host microphone listener show transcript article editor headline paywall reporter archive song "
        "playlist artist royalty studio concert",
        "audio engineering, journalism, Node.js, recommendation, rights, video",
        "Paris, FR; Los Angeles, US",
    ),
    _market(
        "robotics",
        "warehouse robots, surgery robots, drones",
        "picker gripper conveyor shelf pallet lidar surgeon catheter joint tremor haptic sterile propeller payload "
        "inspection flight swarm hover",
        "ROS, control theory, C++, mechanical design, SLAM, perception",
        "Zurich, CH; Tokyo, JP",
    ),
    _market(
        "developer tools",
        "observability, databases, automation",
        "trace metric dashboard log span outage index query replica shard transaction schema pipeline workflow "
        "runner deploy template bot",
        "Kubernetes, Go, PostgreSQL, compilers, distributed systems, TypeScript",
        "San Francisco, US; Stockholm, SE",
    ),
)

COMMON_WORDS = _words(
    "platform team simple fast customers growth modern network trusted global people software data "
    "market better everyday smart service open first"
)
CITIES = tuple(dict.fromkeys(hub for market in MARKETS for hub in market.hubs))
STAGES = ("idea", "pre-seed", "seed", "series-a", "series-b", "growth")
TYPES = ("b2b", "b2c", "marketplace", "saas", "hardware")
FIRST_NAMES = _words(
    "Ada Ben Chloe Dinesh Elif Farid Greta Hiro Ines Jonas Kemi Lars Mina Noor Omar Priya Quentin "
    "Rosa Sven Tara Umar Vera Wen Ximena Yara Zoltan"
)
LAST_NAMES = _words(
    "Abe Becker Costa Diaz Eriksen Fischer Gupta Haddad Ivanova Jensen Kim Lopez Moreau Nowak Okafor "
    "Petrov Quist Rossi Silva Tanaka Ueda Varga Weber Xu Yilmaz Zhang"
)
SYLLABLES = _words("al bo cor da el fin gra hel io ja kin lum mer no or pix qua ri sol ter ul vi wa xen yo zu")
ENDINGS = ("ly", "ify", "base", "works", "labs", "io", "hub", "ware", "grid", "loop")


DAY = 86_400
SPAN_DAYS = 730
ROLES = ("developer", "investor", "founder")
_ROLE_SHARES = (0.68, 0.27, 0.05)
NEVER = np.int64(-1)  # a blank instant in the file
_LONGEST = 600  # events of the most active user, as a multiple of the mean


@dataclass(frozen=True)
class Size:
    """Size of the sample. All events are before `ends`."""

    users: int
    startups: int
    events_per_user: float
    seed: int
    ends: datetime

    def __post_init__(self) -> None:
        if self.users < 2 or self.startups < 1 or self.events_per_user < 0 or self.seed < 0:
            got = f"{self.users}, {self.startups}, {self.events_per_user:g} and {self.seed}"
            raise DataError(
                "expected at least 2 users (a developer and an investor), 1 startup, events per user "
                f">= 0 and a seed >= 0, got {got}"
            )
        if self.ends.tzinfo is None or self.ends < datetime(1980, 1, 1, tzinfo=UTC) + timedelta(days=SPAN_DAYS):
            raise DataError(
                f"expected an end of the sample with a time zone, from 1982 on, got {self.ends.isoformat()}"
            )

    @property
    def end(self) -> int:
        """Seconds since 1970 UTC."""
        return int(self.ends.timestamp())

    def randomness(self, *part: int) -> np.random.Generator:
        """Return an independent generator per part, so that results do not depend on the division into parts."""
        return np.random.default_rng([self.seed, *part])


@dataclass(frozen=True, eq=False)
class Startups:
    """n startups.

    id: (n, 16) uint8. market, second, niche: (n,) int16 topics. city: (n,) int16.
    weight: (n,) float64 popularity, 0 without events. born, withdrawn, updated: (n,) int64 seconds or NEVER.
    founder: (n,) int32 user row or -1.
    """

    id: NDArray[np.uint8]
    market: NDArray[np.int16]
    second: NDArray[np.int16]
    niche: NDArray[np.int16]
    weight: NDArray[np.float64]
    born: NDArray[np.int64]
    withdrawn: NDArray[np.int64]
    updated: NDArray[np.int64]
    city: NDArray[np.int16]
    founder: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Users:
    """n users, with columns as in Startups.

    role: (n,) int8 index in ROLES. events: (n,) int64 expected number. opted_out: (n,) int64 seconds or NEVER.
    """

    id: NDArray[np.uint8]
    role: NDArray[np.int8]
    market: NDArray[np.int16]
    second: NDArray[np.int16]
    niche: NDArray[np.int16]
    events: NDArray[np.int64]
    born: NDArray[np.int64]
    updated: NDArray[np.int64]
    opted_out: NDArray[np.int64]
    city: NDArray[np.int16]


def draw_users(size: Size) -> Users:
    """Draw roles, interests and activity, from no event to hundreds with a long tail."""
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
    """Draw markets, popularity, births, withdrawals and founders. A few are very popular, one in twelve is unknown."""
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
    """Return the number of markets, few enough that each has several startups."""
    return int(np.clip(size.startups // 8, 1, len(MARKETS)))


def _tastes(
    random: np.random.Generator, n: int, size: Size
) -> tuple[NDArray[np.int16], NDArray[np.int16], NDArray[np.int16]]:
    markets = markets_of(size)
    share = 1 / np.arange(2, markets + 2)  # some markets are larger, for users and startups alike
    market, second = (random.choice(markets, n, p=share / share.sum()).astype(np.int16) for _ in range(2))
    return market, second, random.integers(0, NICHES, n).astype(np.int16)


def _births(random: np.random.Generator, n: int, size: Size) -> NDArray[np.int64]:
    """Draw increasingly frequent arrivals. The newest are in the last hours. One in a hundred has no time."""
    born = size.end - 1 - (SPAN_DAYS * DAY * (1 - random.random(n) ** 0.6)).astype(np.int64)
    return np.where(_share(random, n, 0.01), NEVER, born)


def _later(random: np.random.Generator, born: NDArray[np.int64], size: Size) -> NDArray[np.int64]:
    """Draw the time of a record's last update, blank for three in ten."""
    since = np.maximum(born, size.end - SPAN_DAYS * DAY)
    at = size.end - 1 - ((size.end - 1 - since) * random.random(len(born)) ** 2).astype(np.int64)
    return np.where(random.random(len(born)) < 0.7, at, NEVER)


def _share(random: np.random.Generator, n: int, share: float) -> NDArray[np.bool_]:
    """Draw (n,) bool with this share, and at least one if n >= 20, so that every sample has every trait."""
    chosen = random.random(n) < share
    if n >= 20 and not chosen.any():
        chosen[random.integers(0, n)] = True
    return chosen


def _cities(random: np.random.Generator, market: NDArray[np.int16]) -> NDArray[np.int16]:
    hub = 2 * market + random.integers(0, 2, len(market))
    city = np.where(random.random(len(market)) < 0.5, hub, random.integers(0, 2 * len(MARKETS), len(market)))
    return np.where(random.random(len(market)) < 0.9, city, -1).astype(np.int16)


def _ids(random: np.random.Generator, n: int) -> NDArray[np.uint8]:
    ids = random.integers(0, 256, (n, 16), dtype=np.uint8)
    ids[:, 6] = (ids[:, 6] & 0x0F) | 0x40
    ids[:, 8] = (ids[:, 8] & 0x3F) | 0x80
    return ids


USERS_AT_ONCE = 10_000
EVENT = np.dtype([("at", "<i8"), ("user", "<i4"), ("startup", "<i4"), ("kind", "<i1")])
_EVENTS_PER_MEETING = 1.9
_NICHE, _MARKET, _SECOND = 0.55, 0.25, 0.10  # shares of meetings by source, the rest is any startup
_HOURS = np.array([1, 1, 1, 1, 1, 2, 4, 7, 10, 13, 14, 13, 11, 12, 13, 12, 11, 9, 8, 9, 10, 9, 6, 3], float)
_WEEKEND = 0.45  # share of weekend meetings that stay on the weekend, the others move to a working day


@dataclass(frozen=True, eq=False)
class PopularityIndex:
    """Startups sorted by market and niche. A draw by popularity is one binary search."""

    order: NDArray[np.int64]
    heap: NDArray[np.float64]  # (n + 1,) cumulative popularity
    bounds: NDArray[np.int64]  # (markets * NICHES + 1,) start of each niche

    @classmethod
    def from_startups(cls, startups: Startups, markets: int) -> PopularityIndex:
        place = startups.market.astype(np.int64) * NICHES + startups.niche
        order = np.argsort(place, kind="stable")
        return cls(
            order,
            np.concatenate([[0.0], np.cumsum(startups.weight[order])]),
            np.searchsorted(place[order], np.arange(markets * NICHES + 1)),
        )

    def draw(self, random: np.random.Generator, first: NDArray[np.int64], stop: NDArray[np.int64]) -> NDArray[np.int32]:
        """Draw one startup per range of niches by popularity, from all startups if the range has none."""
        low, high = self.heap[self.bounds[first]], self.heap[self.bounds[stop]]
        empty = high <= low
        low, high = np.where(empty, 0.0, low), np.where(empty, self.heap[-1], high)
        point = low + (high - low) * random.random(len(first))
        place = np.searchsorted(self.heap, point, side="right") - 1
        drawn: NDArray[Any] = self.order[np.clip(place, 0, len(self.order) - 1)]
        return drawn.astype(np.int32)


def draw_events(size: Size, users: Users, startups: Startups, markets: int) -> Iterator[NDArray[Any]]:
    """Yield unsorted EVENT records of ten thousand users at a time, in constant memory."""
    if not startups.weight.any():
        return
    index = PopularityIndex.from_startups(startups, markets)
    for first in range(0, len(users.id), USERS_AT_ONCE):
        random = size.randomness(3, first)
        chosen = np.arange(first, min(first + USERS_AT_ONCE, len(users.id)))
        meetings = np.floor(users.events[chosen] / _EVENTS_PER_MEETING + random.random(len(chosen))).astype(np.int64)
        user = np.repeat(chosen, np.where(users.events[chosen] > 0, np.maximum(meetings, 1), 0)).astype(np.int32)
        startup = _meet(random, index, users, user, markets)
        at = _when(random, size, users, startups, user, startup)
        here = at != NEVER
        yield _acts(random, size, users, startups, user[here], startup[here], at[here])


def _meet(
    random: np.random.Generator, index: PopularityIndex, users: Users, user: NDArray[np.int32], markets: int
) -> NDArray[np.int32]:
    how = random.random(len(user))
    market, second = users.market[user].astype(np.int64), users.second[user].astype(np.int64)
    niche = market * NICHES + users.niche[user]
    steps = [how < _NICHE, how < _NICHE + _MARKET, how < _NICHE + _MARKET + _SECOND]
    first = np.select(steps, [niche, market * NICHES, second * NICHES], 0)
    stop = np.select(steps, [niche + 1, (market + 1) * NICHES, (second + 1) * NICHES], markets * NICHES)
    return index.draw(random, first, stop)


def _when(
    random: np.random.Generator,
    size: Size,
    users: Users,
    startups: Startups,
    user: NDArray[np.int32],
    startup: NDArray[np.int32],
) -> NDArray[np.int64]:
    """Draw the time of each meeting in seconds, mostly in working hours. NEVER: no time is possible.

    Both sides exist then, and the startup is not withdrawn.
    """
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
    user: NDArray[np.int32],
    startup: NDArray[np.int32],
    at: NDArray[np.int64],
) -> NDArray[np.void]:
    """Draw the events of each meeting: a view, then perhaps a click, an opinion, and an application or interest."""
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


def _event(
    user: NDArray[np.int32], startup: NDArray[np.int32], kind: NDArray[np.int64], at: NDArray[np.int64]
) -> NDArray[np.void]:
    events = np.empty(len(user), EVENT)
    events["at"], events["user"], events["startup"], events["kind"] = at, user, startup, kind
    return events
