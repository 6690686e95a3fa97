"""Plant a world with known right answers: three taste groups of people and startups.

Each person interacts with two in three startups of their group and, rarely, with one of another group. A good model
ranks the remaining third first. Profiles of group g use words of g. Every group has

- a developer and an investor with exactly one event (`cold`), and one of each without events (`silent`),
- a developer who opted out, a withdrawn startup, and a startup without events (`unmet`),
- hot people from part 8 on (20 events and more); the others are warm,
- dislikes: each person views and then dislikes the last startup of their own group.

`traps.py` holds rows that leak the future.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import sparse

from models.data.batch import Owners
from models.data.entities import Entities, IdMap
from models.data.interactions import DAY_US, Interactions
from models.schema import FACETS, Entity, EventType, Role, Surface

GROUPS = 3
PEOPLE = 12  # per role and group
STARTUPS = 12  # per group
START_US = 1_577_836_800_000_000  # 2020-01-01
AS_OF_US = START_US + 100 * DAY_US
STRANGER = "ffffffff-ffff-5fff-bfff-ffffffffffff"
WORDS = (("games", "unity", "pixel art"), ("biotech", "genomics", "wet lab"), ("fintech", "ledger", "credit risk"))
PLACES = ("Pittsburgh", "Basel", "London")
_NAMESPACE = uuid.UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")


@dataclass(frozen=True, eq=False)
class World:
    """Entities and events. Rows follow `users.ids` and `startups.ids`. *_group: planted group, *_part: number in it."""

    interactions: Interactions
    users: Entities
    startups: Entities
    user_profiles: dict[str, list[str]]
    startup_profiles: dict[str, list[str]]
    user_group: np.ndarray
    startup_group: np.ndarray
    user_part: np.ndarray
    startup_part: np.ndarray

    def entities(self, entity: Entity) -> Entities:
        return self.users if entity is Entity.USER else self.startups

    def group(self, entity: Entity) -> np.ndarray:
        return self.user_group if entity is Entity.USER else self.startup_group

    def rows(self, role: Role, part: int) -> np.ndarray:
        """Return the user rows of this role and part, one per group."""
        return np.flatnonzero((self.users.role == role.code) & (self.user_part == part))

    def seen_by(self, surface: Surface) -> Interactions:
        """Return the events from the view of a surface's owners."""
        return self.interactions if surface.owner is Entity.USER else self.interactions.transposed()

    def owners(self, surface: Surface, rows: np.ndarray | None = None, strangers: int = 0) -> Owners:
        """Return a batch: these rows (default: all of the surface), then cold-start owners without any data."""
        mine = self.entities(surface.owner)
        rows = mine.owners_of(surface) if rows is None else np.asarray(rows, np.int32)
        items = self.entities(surface.item).items_of(surface)
        events = self.seen_by(surface)
        row = np.append(rows, np.full(strangers, -1)).astype(np.int32)

        def of(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
            none = sparse.csr_matrix((strangers, len(items)), dtype=matrix.dtype)
            return sparse.vstack([matrix[rows][:, items], none], format="csr")

        zeros = np.zeros(strangers, np.int32)
        return Owners(
            row,
            np.append(mine.count[rows], zeros).astype(np.int32),
            np.append(mine.opted_out[rows], zeros > 0),
            of(events.csr()),
            of(events.pairs()),
        )

    def right(self, surface: Surface, owner: int) -> set[int]:
        """Return the entity rows that a good model ranks first: own group, listed, no interaction."""
        items = self.entities(surface.item).items_of(surface)
        same = items[self.group(surface.item)[items] == self.group(surface.owner)[owner]]
        return set(same.tolist()) - set(self.seen_by(surface).pairs()[owner].indices.tolist())


@cache
def world() -> World:
    """Return the world, always the same. Do not change it."""
    users = IdMap.from_ids(_id("user", i) for i in range(GROUPS * 2 * PEOPLE))
    startups = IdMap.from_ids(_id("startup", i) for i in range(GROUPS * STARTUPS))
    person = _numbers(users, "user", GROUPS * 2 * PEOPLE)  # planted number of each row
    company = _numbers(startups, "startup", GROUPS * STARTUPS)
    role, user_group, user_part = person % 2, person // 2 % GROUPS, person // 2 // GROUPS
    startup_group, startup_part = company % GROUPS, company // GROUPS
    events = _events(users, startups, user_group, user_part, startup_group, startup_part)
    profiles = _user_profiles(role, user_group), _startup_profiles(startup_group)
    opted_out = (role == 0) & (user_part == 3)
    founder = np.where(startup_part < 2, np.flatnonzero((user_part == 11) & (role == 0))[startup_group], -1)
    return World(
        events,
        _entities(Entity.USER, users, events.counts(), events, role, ~opted_out, opted_out, None, profiles[0]),
        _entities(
            Entity.STARTUP,
            startups,
            events.transposed().distinct_counts(),
            events.transposed(),
            None,
            startup_part != 1,
            np.zeros(len(company), bool),
            founder,
            profiles[1],
        ),
        *profiles,
        user_group,
        startup_group,
        user_part,
        startup_part,
    )


def _id(kind: str, number: int) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{kind} {number}"))


def _numbers(ids: IdMap, kind: str, n: int) -> np.ndarray:
    number = np.empty(n, np.int64)
    number[ids.rows_of([_id(kind, i) for i in range(n)])] = np.arange(n)
    return number


def _events(
    users: IdMap,
    startups: IdMap,
    user_group: np.ndarray,
    user_part: np.ndarray,
    startup_group: np.ndarray,
    startup_part: np.ndarray,
) -> Interactions:
    kinds = [
        EventType.LIKE,
        EventType.APPLY,
        EventType.FAVORITE,
        EventType.INTEREST,
        EventType.CLICK,
    ]
    found: list[tuple[int, int, int, int]] = []
    for u in range(len(users)):
        part, own = int(user_part[u]), user_group[u]
        if part == 1:  # silent
            continue
        met = sorted((int(startup_part[s]), s) for s in np.flatnonzero(startup_group == own).tolist())
        met = [(p, s) for p, s in met if p != 2 and (p + part) % 3]  # 2: unmet
        day = START_US + (u % 17) * DAY_US
        for n, (p, s) in enumerate(met[:1] if part == 0 else met):  # 0: cold
            found.append((u, s, EventType.VIEW.code, day + n * DAY_US))
            last = part != 0 and n == len(met) - 1
            found.append((u, s, (EventType.DISLIKE if last else kinds[p % 5]).code, day + n * DAY_US + 60_000_000))
            if part >= 8:  # hot: another visit on the next day
                found.append((u, s, EventType.VIEW.code, day + (n + 1) * DAY_US))
        if part == 5:
            other = int(np.flatnonzero((startup_group == (own + 1) % GROUPS) & (startup_part == 4))[0])
            found.append((u, other, EventType.VIEW.code, day + 40 * DAY_US))
    owner, item, kind, at = np.array(found, np.int64).T
    return Interactions(users, startups, owner.astype(np.int32), item.astype(np.int32), kind.astype(np.int8), at)


def _user_profiles(role: np.ndarray, group: np.ndarray) -> dict[str, list[str]]:
    return {
        "name": [f"Person {i}" for i in range(len(group))],
        "headline": [
            ("Building " if r == 0 else "Investing in ") + WORDS[g][0] for r, g in zip(role, group, strict=True)
        ],
        "skills": [WORDS[g][1] if r == 0 else "" for r, g in zip(role, group, strict=True)],
        "interests": [";".join(WORDS[g]) for g in group],
        "location": [PLACES[g] for g in group],
    }


def _startup_profiles(group: np.ndarray) -> dict[str, list[str]]:
    return {
        "name": [f"Startup {i}" for i in range(len(group))],
        "description": [" and ".join(WORDS[g][1:]) for g in group],
        "category": [WORDS[g][0] for g in group],
        "field": [("software", "science", "software")[g] for g in group],
        "type": [("b2c", "b2b")[i % 2] for i in range(len(group))],
        "tags": [WORDS[g][2] for g in group],
        "stage": [("seed", "series-a")[i % 2] for i in range(len(group))],
        "location": [PLACES[g] for g in group],
    }


def _entities(
    entity: Entity,
    ids: IdMap,
    count: np.ndarray,
    events: Interactions,
    role: np.ndarray | None,
    listed: np.ndarray,
    opted_out: np.ndarray,
    founder: np.ndarray | None,
    profiles: dict[str, list[str]],
) -> Entities:
    n = len(ids)
    none = np.full(n, -1)
    views = np.bincount(events.owner[events.kind == EventType.VIEW.code], minlength=n)
    columns = {f: profiles.get(f, [""] * n) for f in FACETS}
    labels = {f: tuple(sorted(set(columns[f]) - {""})) for f in FACETS}
    return Entities(
        entity,
        ids,
        (none if role is None else role).astype(np.int8),
        listed,
        opted_out,
        (none if founder is None else founder).astype(np.int32),
        (START_US - np.arange(n) % 50 * DAY_US).astype(np.int64),
        views.astype(np.int64),
        events.counts().astype(np.int64),
        count.astype(np.int32),
        {f: np.array([labels[f].index(v) if v else -1 for v in columns[f]], np.int32) for f in FACETS},
        labels,
    )
