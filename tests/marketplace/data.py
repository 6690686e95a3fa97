"""Make a TrainingData of the planted world with given events and settings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from models import registry
from models.content import ContentConfig
from models.data.bundle import Bundle
from models.data.entities import Entities
from models.data.interactions import Interactions
from models.data.training_data import MarketState
from models.schema import Entity
from models.settings.settings import Settings
from models.spec import ModelSpec, function
from models.two_tower.fit import Plan
from tests.marketplace.world import AS_OF_US, world


@dataclass(frozen=True, eq=False)
class PlantedData:
    """Events of users and startups. Roles and texts come from the planted world."""

    spec: ModelSpec
    settings: Settings
    interactions: Interactions
    as_of_us: int = AS_OF_US

    @property
    def config(self) -> Any:
        return self.table(self.spec.table_name) if self.spec.config else None

    @property
    def seed(self) -> int:
        return self.settings.train.seed

    @property
    def threads(self) -> int:
        return self.settings.train_threads

    @property
    def device(self) -> str:
        return self.settings.device

    @property
    def users(self) -> Entities:
        return world().users

    @property
    def startups(self) -> Entities:
        return world().startups

    @property
    def standing(self) -> MarketState:
        return MarketState(self.users, self.startups, self.interactions, self.as_of_us)

    def table(self, name: str) -> Any:
        return self.settings.table(name)

    def profiles(self, entities: Entities) -> dict[str, list[str]]:
        return world().user_profiles if entities.entity is Entity.USER else world().startup_profiles

    def earlier(self, as_of_us: int) -> PlantedData:
        return replace(self, interactions=self.interactions.before(as_of_us), as_of_us=as_of_us)


def fitted(name: str, interactions: Interactions | None = None, settings: Settings | None = None) -> Bundle:
    """Fit a base model like the registry. interactions: users x startups, by default the planted world's."""
    spec, events = registry.named(name), world().interactions if interactions is None else interactions
    bundle: Bundle = function(spec.fit)(PlantedData(spec, settings or Settings(), events))
    return bundle


def plan_of(settings: Settings) -> Plan:
    """Return the training plan of the two-tower model under these settings."""
    config = settings.table("two_tower")
    return Plan(config, settings.of(ContentConfig).terms, settings.train.seed, settings.device)
