"""What a model is given: `TrainingData` to fit it, `Newcomers` to extend it between two builds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from models.data.bundle import Bundle
from models.data.entities import Entities, IdMap
from models.data.interactions import EventTime, Interactions
from models.schema import Entity
from models.spec import ModelSpec

Config = TypeVar("Config", covariant=True)


@dataclass(frozen=True, eq=False)
class MarketState:
    """A marketplace just before an instant. interactions: users x startups, all before as_of_us."""

    users: Entities
    startups: Entities
    interactions: Interactions
    as_of_us: int

    @property
    def sides(self) -> tuple[tuple[Entities, Interactions], ...]:
        """Users and startups, each with the events that they own."""
        return (self.users, self.interactions), (self.startups, self.interactions.transposed())

    @property
    def clock(self) -> EventTime:
        return EventTime.from_times(self.interactions.at)


class TrainingData(Protocol[Config]):
    """All that `fit` is given. Nothing in it is known later than `as_of_us` (microseconds since 1970 UTC)."""

    @property
    def spec(self) -> ModelSpec | None:
        """The model that is fitted; None where no single one is."""
        ...

    @property
    def config(self) -> Config:
        """The model's table of settings."""
        ...

    @property
    def seed(self) -> int:
        """Of all randomness."""
        ...

    @property
    def threads(self) -> int:
        """Threads of training; the bytes of a bundle do not depend on it."""
        ...

    @property
    def device(self) -> str:
        """Where networks are trained: cpu or cuda."""
        ...

    @property
    def as_of_us(self) -> int: ...

    @property
    def users(self) -> Entities: ...

    @property
    def startups(self) -> Entities: ...

    @property
    def interactions(self) -> Interactions:
        """Events of people who did not opt out, owners = users."""
        ...

    @property
    def standing(self) -> MarketState:
        """The same with the views that startups had by then."""
        ...

    def table(self, name: str) -> Any:
        """Another table of settings, "als" say."""
        ...

    def profiles(self, entities: Entities) -> Mapping[str, Sequence[str]]:
        """Text columns by name; blank for who opted out and for who came after the instant."""
        ...

    def earlier(self, as_of_us: int) -> TrainingData[Config]:
        """The same before an earlier instant."""
        ...


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
