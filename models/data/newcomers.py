"""Entities created since a build, for the bundles that a refresh extends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.data.bundle import Bundle
from models.data.entities import Entities, IdMap
from models.data.interactions import Interactions
from models.schema import Entity


@dataclass(frozen=True, eq=False)
class Newcomers:
    """All entities and events before now_us (microseconds since 1970 UTC); the new entities are the last rows.

    texts: profile tokens of the new entities of each kind, joined by blanks. events: users x startups.
    """

    entities: Mapping[Entity, Entities]
    texts: Mapping[Entity, Sequence[str]]
    events: Interactions
    now_us: int

    def maps(self, bundle: Bundle) -> dict[str, IdMap]:
        """The id maps of a bundle with the new ids."""
        return {**bundle.maps, **{e.value: entities.ids for e, entities in self.entities.items()}}
