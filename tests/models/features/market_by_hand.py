"""Make a market of four users, four startups and six events, small enough for calculation by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import sparse

from models.data.batch import Owners
from models.data.entities import UNKNOWN_TIME, Entities, IdMap
from models.data.interactions import DAY_US, EventTime, Interactions
from models.data.training_data import MarketState
from models.schema import FACETS, Entity, EventType

NOW = 100 * DAY_US
#: Ages are linear in time: day 10 has the age 0.9, day 98 the age 0.02.
EVEN = EventTime(np.array([0, NOW]), np.array([1.0, 0.0]))
#: user, startup, kind, day; startup 3 is founded on day 150 and not known yet
EVENTS = (
    (0, 0, "like", 10),
    (1, 0, "view", 10.5),
    (0, 1, "like", 20),
    (0, 0, "apply", 40),
    (2, 1, "dislike", 60),
    (2, 2, "like", 98),
)
PLACES = ("Pittsburgh, PA, USA", "Philadelphia, PA, USA", "Basel, Switzerland", "")


def ids(kind: int, n: int) -> IdMap:
    """Make n ids whose last digits are their rows."""
    return IdMap.from_ids(f"0000000{kind}-0000-4000-8000-{i:012d}" for i in range(n))


def interactions(
    events: tuple[tuple[int, int, str, float], ...] = EVENTS, people: int = 4, startups: int = 4
) -> Interactions:
    user, startup, kind, day = zip(*events, strict=True) if events else ((), (), (), ())
    codes = [EventType(k).code for k in kind]
    return Interactions(
        ids(1, people),
        ids(2, startups),
        np.array(user, np.int32),
        np.array(startup, np.int32),
        np.array(codes, np.int8),
        (np.array(day, float) * DAY_US).astype(np.int64),
    )


def entities(
    entity: Entity, owned: Interactions, born: list[float | None], listed: list[bool], **facets: tuple[str, ...]
) -> Entities:
    """Make entities. owned: the events with these as owners. born: day, None if unknown. facets: text, or blank."""
    n, counts = len(owned.owners), owned.counts()
    texts = {f: facets.get(f, ("",) * n) for f in FACETS}
    labels = {f: tuple(sorted(set(t) - {""})) for f, t in texts.items()}
    views = np.bincount(owned.owner[owned.kind == EventType.VIEW.code], minlength=n)
    return Entities(
        entity,
        owned.owners,
        role=np.zeros(n, np.int8),
        listed=np.array(listed),
        opted_out=np.zeros(n, bool),
        founder=np.full(n, -1, np.int32),
        created_at=np.array([UNKNOWN_TIME if b is None else b * DAY_US for b in born]).astype(np.int64),
        views=views,
        interactions=counts - views,
        count=counts,
        facets={f: np.array([labels[f].index(t) if t else -1 for t in texts[f]], np.int32) for f in FACETS},
        labels=labels,
    )


def startups(of: Interactions | None = None, last: str = "", **facets: tuple[str, ...]) -> Entities:
    """Make the startups. last: the category of startup 3, which does not exist yet."""
    told = {"category": ("games", "games", "bio", last), "location": PLACES, **facets}
    return entities(
        Entity.STARTUP, (of or interactions()).transposed(), [90, None, 69, 150], [True, True, True, False], **told
    )


def people(of: Interactions | None = None) -> Entities:
    return entities(
        Entity.USER,
        of or interactions(),
        [0, 0, 0, 0],
        [True] * 4,
        location=("Pittsburgh, PA, USA", "USA", "Zug, Switzerland", ""),
    )


def standing() -> MarketState:
    return MarketState(people(), startups(), interactions(), NOW)


def owners(rows: list[int], mine: Interactions, text: tuple[str, ...] | None = None) -> Owners:
    """Make a batch with everything as in the catalogue. A row of -1 has no history."""
    matrix = sparse.csr_matrix(
        sparse.vstack(
            [mine.csr()[[r]] if r >= 0 else sparse.csr_matrix((1, len(mine.items)), dtype=np.float32) for r in rows]
        )
    )
    row, barred = np.array(rows, np.int32), matrix.astype(bool)
    counts = np.where(row >= 0, mine.counts()[row], 0).astype(np.int32)
    return Owners(row, counts, np.zeros(len(rows), bool), matrix, barred, text)


def later(known: Entities) -> Entities:
    """Return the same entities, all listed."""
    return replace(known, listed=np.ones(len(known), bool))
