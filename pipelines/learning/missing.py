"""What is missing at a cut must not tell what came after it: every column and every fact of people and startups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from models.activity import SPEC as ACTIVITY
from models.nouns.bundle import Bundle
from models.nouns.catalogue import CATALOGUE, entities_of
from models.nouns.entities import FACETS, UNKNOWN_TIME, Entities
from models.popularity import SPEC as POPULARITY
from models.schema import Entity
from models.settings import Settings
from pipelines.data.columns.telling import equally_busy, met_from, telling
from pipelines.data.snapshot import Snapshot
from pipelines.learning.train import Lesson

#: Columns of the snapshot that no model reads: what is missing there tells nobody anything.
UNREAD = ("user_id", "startup_id", "updated_at")


class Told(NamedTuple):
    """A column, and in words how it tells the outcome."""

    column: str
    how: str


def told_by_absence(
    snapshot: Snapshot, settings: Settings, cut_us: int, bundles: Mapping[str, Bundle]
) -> Iterator[Told]:
    """Every column whose blanks at the cut tell who is met at it or later.

    bundles: fitted before the cut, with the catalogue. Who may not be shown at the cut is nobody's candidate."""
    for entity, entities in entities_of(bundles[CATALOGUE]).items():
        events = snapshot.heard
        events = events if entity is Entity.USER else events.transposed()
        shown = np.flatnonzero(entities.listed)
        met, strata = met_from(events, cut_us, len(entities))[shown], equally_busy(events.before(cut_us), shown)
        columns = blanks(Lesson(snapshot, settings, cut_us), entities)
        facts = {name: _usual(values, shown) for name, values in _facts(bundles, entity)}
        for name, blank in {**columns, **facts}.items():
            how = telling(blank[shown], met, strata, strict=name in columns)
            if how:
                yield Told(f"{name} of {entity}s", how)


def blanks(lesson: Lesson, entities: Entities) -> dict[str, np.ndarray]:
    """By column of the snapshot and total: (n,) bool, whether models find it blank at the lesson's instant."""
    found = {name: np.array([not text for text in words], bool) for name, words in lesson.profiles(entities).items()}
    found |= {name: entities.facets[name] < 0 for name in FACETS if name in found}
    found |= {
        "role": entities.role < 0,
        "founder_id": entities.founder < 0,
        "created_at": entities.created_at == UNKNOWN_TIME,
        "opted_out_at": ~entities.opted_out,
        "withdrawn_at": entities.listed,
        "views": entities.views == 0,
    }
    return found


def _facts(bundles: Mapping[str, Bundle], entity: Entity) -> Iterator[tuple[str, np.ndarray]]:
    """What the rankers read of an item besides scores."""
    activity, popular = bundles.get(ACTIVITY.bundle), bundles.get(POPULARITY.bundle)
    if activity is not None:
        for i, name in enumerate(activity.config["facts"]):
            yield f"fact {name}", activity.arrays[f"{entity}_facts"][:, i]
    if popular is not None:
        for name in ("popularity", "trending"):
            yield name, popular.arrays[f"{entity}_{name}"]


def _usual(values: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """(n,) bool: has the value that most have, which stands for "nothing known"."""
    found, times = np.unique(values[shown], return_counts=True)
    return np.asarray(values == found[times.argmax()]) if len(found) else np.zeros(len(values), bool)
