"""Inputs of models: `TrainingData` for `fit`, `Newcomers` for `extend` between two builds."""

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
    """The marketplace just before an instant. interactions: users x startups, all before as_of_us."""

    users: Entities
    startups: Entities
    interactions: Interactions
    as_of_us: int

    @property
    def sides(self) -> tuple[tuple[Entities, Interactions], ...]:
        return (self.users, self.interactions), (self.startups, self.interactions.transposed())

    @property
    def clock(self) -> EventTime:
        return EventTime.from_times(self.interactions.at)


class TrainingData(Protocol[Config]):
    """The input of `fit`. It has nothing later than `as_of_us` (microseconds since 1970 UTC)."""

    @property
    def spec(self) -> ModelSpec | None:
        """Return the model's spec; None if no single model is trained."""
        ...

    @property
    def config(self) -> Config: ...

    @property
    def seed(self) -> int: ...

    @property
    def threads(self) -> int:
        """Return the number of threads. The result must not depend on it."""
        ...

    @property
    def device(self) -> str: ...

    @property
    def as_of_us(self) -> int: ...

    @property
    def users(self) -> Entities: ...

    @property
    def startups(self) -> Entities: ...

    @property
    def interactions(self) -> Interactions:
        """Return events of users who did not opt out, users as owners."""
        ...

    @property
    def standing(self) -> MarketState:
        """Return users, startups with their views, and interactions at the instant."""
        ...

    def table(self, name: str) -> Any:
        """Return the settings of another table, for example "als"."""
        ...

    def profiles(self, entities: Entities) -> Mapping[str, Sequence[str]]:
        """Return text columns by name. Entities that opted out or were created later are blank."""
        ...

    def earlier(self, as_of_us: int) -> TrainingData[Config]: ...


@dataclass(frozen=True, eq=False)
class Newcomers:
    """All entities and events before now_us (microseconds since 1970 UTC). New entities are the last rows.

    texts: by kind, the profile tokens of each new entity, joined by blanks. events: users x startups.
    """

    entities: Mapping[Entity, Entities]
    texts: Mapping[Entity, Sequence[str]]
    events: Interactions
    now_us: int

    def maps(self, bundle: Bundle) -> dict[str, IdMap]:
        return {**bundle.maps, **{e.value: entities.ids for e, entities in self.entities.items()}}
