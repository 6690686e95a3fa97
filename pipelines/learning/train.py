"""Fit one model on one snapshot and store it: the step behind every training task."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property

import numpy as np

from models.errors import DataError, TooSparse
from models.nouns.bundle import Bundle
from models.nouns.catalogue import CATALOGUE, catalogue_bundle
from models.nouns.entities import Entities
from models.nouns.interactions import Interactions
from models.nouns.span import leaving
from models.recipe.needed import unserved
from models.schema import Entity
from models.settings import Settings
from models.training.activity import Standing, fit_activity
from models.training.als import fit_als
from models.training.content import Profiles, fit_content
from models.training.graph_filter import fit_graph_filter
from models.training.neighbours import fit_neighbours
from models.training.popularity import fit_popularity
from models.training.towers.two_tower import fit_two_tower
from pipelines.data.snapshot import Snapshot
from pipelines.refs import BuildRef, BundleRef
from pipelines.runs.run import EPOCH, Run

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a model may learn from: a snapshot before an instant, less those who have opted out by its cutoff (R23)."""

    snapshot: Snapshot
    settings: Settings
    as_of_us: int

    @cached_property
    def users(self) -> Entities:
        """Whoever has opted out by the snapshot's cutoff is out at the instant too."""
        then, silent = self.snapshot.entities(Entity.USER, self.as_of_us), self.snapshot.silent
        return replace(then, listed=then.listed & ~silent, opted_out=silent)

    @cached_property
    def startups(self) -> Entities:
        return self.snapshot.entities(Entity.STARTUP, self.as_of_us)

    @cached_property
    def interactions(self) -> Interactions:
        """Events before the instant of people who did not opt out, owners = users."""
        return self.snapshot.heard.before(self.as_of_us)

    @cached_property
    def standing(self) -> Standing:
        """The marketplace at the instant, as those tell who did not opt out."""
        views = self.snapshot.views(self.interactions.transposed(), self.as_of_us)
        return Standing(self.users, replace(self.startups, views=views), self.interactions, self.as_of_us)

    def profiles(self, entities: Entities) -> Profiles:
        """Text columns; blank for who opted out and for who came after the instant."""
        known = (entities.created_at < self.as_of_us) | (entities.count > 0)
        told = (known & ~entities.opted_out).tolist()
        columns: Mapping[str, list[str]] = self.snapshot.profiles(entities.entity, self.as_of_us)
        return {
            name: [text if tell else "" for text, tell in zip(column, told, strict=True)]
            for name, column in columns.items()
        }


#: Instants that demand learns from, as shares of the events after them, and the share that follows each.
EARLIER, STRETCH = (0.1, 0.2, 0.3, 0.4, 0.5), 0.2


def _activity(lesson: Lesson) -> Bundle:
    at = np.sort(lesson.interactions.at)
    earlier = []
    for share in EARLIER:
        cut_us = leaving(at, share) if len(at) else 0
        if len(at) and cut_us > at[0]:
            until = share - STRETCH
            until_us = leaving(at, until) if until > 1e-9 else lesson.as_of_us
            earlier.append((Lesson(lesson.snapshot, lesson.settings, cut_us).standing, until_us))
    return fit_activity(lesson.standing, earlier, lesson.settings)


def _catalogue(lesson: Lesson) -> Bundle:
    config = {"as_of_us": lesson.as_of_us, "rows": len(lesson.interactions)}
    return catalogue_bundle(lesson.users, lesson.startups, config)


def _content(lesson: Lesson) -> Bundle:
    return fit_content(
        lesson.profiles(lesson.users),
        lesson.profiles(lesson.startups),
        lesson.interactions,
        lesson.users.ids,
        lesson.startups.ids,
        lesson.settings,
    )


def _two_tower(lesson: Lesson) -> Bundle:
    return fit_two_tower(
        lesson.interactions,
        lesson.users,
        lesson.startups,
        lesson.profiles(lesson.users),
        lesson.profiles(lesson.startups),
        lesson.settings,
    )


_FITTERS: dict[str, Callable[[Lesson], Bundle]] = {
    CATALOGUE: _catalogue,
    "popularity_v1": lambda x: fit_popularity(
        x.standing.users, x.standing.startups, x.interactions, x.as_of_us, x.settings
    ),
    "activity_v1": _activity,
    "content_v1": _content,
    "als_v1": lambda x: fit_als("als_v1", x.interactions, x.settings),
    "als_reverse_v1": lambda x: fit_als("als_reverse_v1", x.interactions.transposed(), x.settings),
    "item_neighbours_v1": lambda x: fit_neighbours("item_neighbours_v1", x.interactions, x.settings),
    "item_neighbours_reverse_v1": lambda x: fit_neighbours(
        "item_neighbours_reverse_v1", x.interactions.transposed(), x.settings
    ),
    "two_tower_v1": _two_tower,
    "graph_filter_v1": lambda x: fit_graph_filter("graph_filter_v1", x.interactions, x.settings),
}

#: What every build trains, each from the snapshot alone and so in any order.
BASE_BUNDLES = tuple(_FITTERS)
#: Those that ordinary data do without.
SELDOM = ("graph_filter_v1",)


def fit(name: str, snapshot: Snapshot, settings: Settings, before_us: int | None = None) -> Bundle:
    """One model of BASE_BUNDLES on the rows before `before_us` (microseconds; the snapshot's own cutoff by default).

    Raises TooSparse where there is too little for this model, TrainingError where it cannot be fitted.
    """
    if name not in _FITTERS:
        raise DataError(f"expected a model of {', '.join(BASE_BUNDLES)}, got {name!r}")
    as_of_us = snapshot.as_of_us if before_us is None else min(before_us, snapshot.as_of_us)
    bundle = _FITTERS[name](Lesson(snapshot, settings, as_of_us))
    as_of = (EPOCH + timedelta(microseconds=as_of_us)).isoformat()
    return replace(bundle, config={**bundle.config, "as_of": as_of})


def train(run: Run, build: BuildRef, name: str) -> BundleRef:
    """The step: fit and store one model of a build; returns its name and version.

    Where the data are too sparse for this model, or it is switched off, the version is "" and `note` says why: the
    build goes on without it and its source abstains (P01, P02). Anything else that goes wrong stops the build.
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
