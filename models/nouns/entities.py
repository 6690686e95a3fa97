"""All users or all startups known at a cutoff, as columns: who exists, who may be shown, and their facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.errors import DataError
from models.nouns.id_map import IdMap
from models.schema import Entity, Role, Surface

UNKNOWN_TIME = np.iinfo(np.int64).min
#: Facts that are compared for reasons, diversity and filters; the same names on both kinds, blank where foreign.
FACETS = ("category", "field", "type", "stage", "location")


@dataclass(frozen=True, eq=False)
class Entities:
    """Everybody of one kind at the cutoff; row numbers are those of `ids` everywhere in a release.

    role: (n,) int8 code of `Role`, -1 for startups and for people of another role.
    listed: (n,) bool, may stand in a list (not withdrawn, not opted out at the cutoff).
    opted_out: (n,) bool, wants no personalisation (L07, R23). founder: (n,) int32 user row of a startup's
    founder, -1 unknown. created_at: (n,) int64 microseconds, UNKNOWN_TIME where blank.
    views, interactions: (n,) int64 totals before the cutoff. count: (n,) int32 the interaction count that routes
    (R09). facets: (n,) int32 codes by FACETS, -1 blank; labels: the text of each code. withheld: profile fields that
    the build left out; whoever reads a later profile leaves them out, too.
    """

    entity: Entity
    ids: IdMap
    role: np.ndarray
    listed: np.ndarray
    opted_out: np.ndarray
    founder: np.ndarray
    created_at: np.ndarray
    views: np.ndarray
    interactions: np.ndarray
    count: np.ndarray
    facets: Mapping[str, np.ndarray]
    labels: Mapping[str, tuple[str, ...]]
    withheld: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        columns = [
            self.role,
            self.listed,
            self.opted_out,
            self.founder,
            self.created_at,
            self.views,
            self.interactions,
            self.count,
            *self.facets.values(),
        ]
        if any(len(c) != len(self.ids) for c in columns) or set(self.facets) != set(FACETS):
            raise DataError(f"every column of {self.entity}s must have {len(self.ids)} rows and every facet a column")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def all_met(self) -> bool:
        """Whether everybody listed has an interaction. Such a marketplace was chosen by it: at an earlier instant, who
        had none yet was sure to get one, or would not be here, which teaches nothing about now. Leave them out there.
        """
        return bool(self.count[self.listed].all())

    def told(self, profile: Mapping[str, str]) -> dict[str, str]:
        """The fields of a profile that the models may read."""
        return {field: words for field, words in profile.items() if field not in self.withheld}

    def items_of(self, surface: Surface) -> np.ndarray:
        """(m,) int32 ascending rows that may stand in this surface's lists."""
        shown = self.listed if surface.item is Entity.STARTUP else self.listed & self._has(surface.role)
        return np.flatnonzero(shown).astype(np.int32)

    def owners_of(self, surface: Surface) -> np.ndarray:
        """(m,) int32 ascending rows that own a list on this surface: users of the role, or every startup."""
        mine = ~self.ids.blank if surface.owner is Entity.STARTUP else self._has(surface.role)
        return np.flatnonzero(mine).astype(np.int32)

    def _has(self, role: Role) -> np.ndarray:
        return self.role == role.code
