"""Who came since a release was built: what a refresh may tell the bundles that know everybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.data.bundle import Bundle
from models.data.entities import Entities, IdMap
from models.data.interactions import Interactions
from models.schema import Entity


@dataclass(frozen=True, eq=False)
class Newcomers:
    """Those who came before now_us (microseconds since 1970 UTC), behind all who were known.

    entities: everybody of either side, newcomers last. texts: of the newcomers of each side the tokens of their
    profiles, joined by blanks. events: users x startups, all there are.
    """

    entities: Mapping[Entity, Entities]
    texts: Mapping[Entity, Sequence[str]]
    events: Interactions
    now_us: int

    def maps(self, bundle: Bundle) -> dict[str, IdMap]:
        """The id maps of a bundle with those of everybody."""
        return {**bundle.maps, **{e.value: entities.ids for e, entities in self.entities.items()}}
