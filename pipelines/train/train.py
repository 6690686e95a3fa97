"""Fit one model on one snapshot and store it: the step of every training task."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import Any

from models import registry
from models.data.bundle import Bundle
from models.data.entities import Entities
from models.data.interactions import Interactions
from models.data.profile_text import Profiles
from models.data.training_data import MarketState
from models.errors import DataError, TooSparse
from models.recommender.surface import unserved
from models.schema import Entity
from models.settings.settings import Settings
from models.spec import ModelSpec, function
from pipelines.export.snapshot import Snapshot
from pipelines.refs import BuildRef, BundleRef
from pipelines.run.run import EPOCH, Run

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Training data of a model: a snapshot before an instant, without people who opted out by its cutoff (R23).

    Implements `TrainingData` of models/data/training_data.py. spec: the model to fit.
    """

    snapshot: Snapshot
    settings: Settings
    as_of_us: int
    spec: ModelSpec | None = None

    @property
    def config(self) -> Any:
        return self.table(self.spec.table_name) if self.spec and self.spec.config else None

    def table(self, name: str) -> Any:
        return self.settings.table(name)

    @property
    def seed(self) -> int:
        return self.settings.train.seed

    @property
    def threads(self) -> int:
        return self.settings.train_threads

    @property
    def device(self) -> str:
        return self.settings.device

    def earlier(self, as_of_us: int) -> TrainingData:
        return replace(self, as_of_us=as_of_us)

    @cached_property
    def users(self) -> Entities:
        """Users at the instant. People who opt out by the snapshot's cutoff count as opted out here too."""
        then, silent = self.snapshot.entities(Entity.USER, self.as_of_us), self.snapshot.silent
        return replace(then, listed=then.listed & ~silent, opted_out=silent)

    @cached_property
    def startups(self) -> Entities:
        return self.snapshot.entities(Entity.STARTUP, self.as_of_us)

    @cached_property
    def interactions(self) -> Interactions:
        """Events before the instant of people who did not opt out. Owners are users."""
        return self.snapshot.heard.before(self.as_of_us)

    @cached_property
    def standing(self) -> MarketState:
        """The marketplace at the instant, without people who opted out."""
        views = self.snapshot.views(self.interactions.transposed(), self.as_of_us)
        return MarketState(self.users, replace(self.startups, views=views), self.interactions, self.as_of_us)

    def profiles(self, entities: Entities) -> Profiles:
        """Return text columns, blank for people who opted out and for later arrivals."""
        known = (entities.created_at < self.as_of_us) | (entities.count > 0)
        told = (known & ~entities.opted_out).tolist()
        columns: Mapping[str, list[str]] = self.snapshot.profiles(entities.entity, self.as_of_us)
        return {
            name: [text if tell else "" for text, tell in zip(column, told, strict=True)]
            for name, column in columns.items()
        }


def fitter_of(spec: ModelSpec) -> Callable[[TrainingData], Bundle]:
    return function(spec.fit)


def fit(name: str, snapshot: Snapshot, settings: Settings, before_us: int | None = None) -> Bundle:
    """Fit one base model, by bundle name, on rows before `before_us` (microseconds, default: the cutoff).

    Raises TooSparse if there are too few data, TrainingError if it cannot be fitted.
    """
    if name not in registry.bundles():
        raise DataError(f"expected a model of {', '.join(registry.bundles())}, got {name!r}")
    spec = registry.named(name)
    as_of_us = snapshot.as_of_us if before_us is None else min(before_us, snapshot.as_of_us)
    bundle = fitter_of(spec)(TrainingData(snapshot, settings, as_of_us, spec))
    as_of = (EPOCH + timedelta(microseconds=as_of_us)).isoformat()
    return replace(bundle, config={**bundle.config, "as_of": as_of})


def train(run: Run, build: BuildRef, name: str) -> BundleRef:
    """The step: fit and store one model of a build. Return its name and version.

    If data are too sparse or the model is disabled, the version is "" and `note` gives the reason. Its source abstains
    (P01, P02). Any other error stops the build.
    """
    if off := unserved(name, run.settings):
        _LOG.info("%s is not trained: %s", name, off)
        return BundleRef(name, "", off)
    snapshot = Snapshot.open(run.settings.artifacts / "snapshots" / build.snapshot)
    try:
        bundle = fit(name, snapshot, run.settings)
    except TooSparse as error:
        _LOG.warning("%s is left out of this build: %s", name, error)
        return BundleRef(name, "", str(error))
    return BundleRef(name, run.artifacts.store_bundle(bundle, run.slug))
