"""What the learned ranker knows of a surface besides the scores of the sources, aligned with its catalogue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.errors import BundleCorrupt
from models.features.affinity import FacetAffinity, affinities
from models.features.clock import EventClock
from models.features.facts import NEVER
from models.features.places import Places
from models.nouns.bundle import Bundle
from models.nouns.entities import Entities
from models.nouns.owners import Owners


@dataclass(frozen=True, eq=False)
class Evidence:
    """Facts of every catalogue position and of the surface's owners, from the bundle "activity_v1".

    facts: (f, m) float32 in the order of `fact_names`. demand: (m,) float32 expected new partners. recent: (m,) events
    of late. facets, places: how owner and item fit.
    """

    clock: EventClock
    fact_names: tuple[str, ...]
    facts: np.ndarray
    demand: np.ndarray
    recent: np.ndarray
    facets: tuple[FacetAffinity, ...]
    places: Places

    @classmethod
    def of(cls, activity: Bundle, owners: Entities, items: Entities, catalogue: np.ndarray) -> Evidence:
        """Raises BundleCorrupt where the bundle is of another catalogue."""
        kind = items.entity.value
        if not np.array_equal(activity.maps[kind].ids, items.ids.ids):
            raise BundleCorrupt(f"activity_v1 and catalogue_v1 know other {kind}s: of two snapshots; train again")
        names = tuple(activity.config["facts"])
        facts = np.ascontiguousarray(activity.arrays[f"{kind}_facts"][catalogue].T)
        return cls(
            EventClock(activity.arrays["clock_instant"], activity.arrays["clock_share"]),
            names,
            facts,
            activity.arrays[f"{kind}_demand"][catalogue],
            facts[names.index("heat_0.03")],
            tuple(affinities(activity, owners, items, catalogue)),
            Places.of(owners, items, catalogue),
        )


def last_ages(owners: Owners) -> np.ndarray:
    """(b,) float32 age of each owner's last event with the catalogue, by the clock; NEVER without one."""
    if owners.age is None:
        return np.full(len(owners), NEVER, np.float32)
    found = np.full(len(owners), NEVER, np.float32)
    some = np.flatnonzero(np.diff(owners.age.indptr))
    if len(some):
        found[some] = np.minimum.reduceat(owners.age.data, owners.age.indptr[some])
    return found
