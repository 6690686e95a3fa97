"""Chooses the method of an owner's list from counts, thresholds and switches (B01-B13, G01-G09)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import registry
from models.als import ALS, ALS_REVERSE
from models.schema import Entity, Method, Segment, Surface
from models.settings.settings import Settings
from models.spec import ModelSpec, Source
from models.two_tower import TWO_TOWER


@dataclass(frozen=True, eq=False)
class Route:
    """Routes of b owners by thresholds alone.

    method: (b,) codes of `Method`. segment: (b,) codes of `Segment`.
    """

    method: NDArray[np.uint8]
    segment: NDArray[np.uint8]


def route(surface: Surface, count: NDArray[np.integer[Any]], settings: Settings) -> Route:
    """Route users: content below 5 interactions, ALS below 20, else ensemble. Startups: content, then reverse ALS.

    From 20 on startups get the ensemble too, if [routing] founder_ensemble is on (R24,
    docs/decisions/0011-founder-ensemble.md). The thresholds are the settings COLD_START_THRESHOLD and
    WARM_USER_THRESHOLD.
    count: (b,) interaction counts (R09).
    """
    step = (count >= settings.routing.cold_start_threshold).astype(np.uint8) + (
        count >= settings.routing.warm_user_threshold
    )
    by_segment = (Method.CONTENT_BASED, Method.ALS, Method.ENSEMBLE)
    if surface.owner is Entity.STARTUP:
        hot = Method.ENSEMBLE if settings.routing.founder_ensemble else Method.ALS_REVERSE
        by_segment = (Method.CONTENT_BASED, Method.ALS_REVERSE, hot)
    method, segment = ([m.code for m in members] for members in (by_segment, (Segment.COLD, Segment.WARM, Segment.HOT)))
    return Route(np.array(method, np.uint8)[step], np.array(segment, np.uint8)[step])


def route_may_change(surface: Surface, count: int, more: int, settings: Settings) -> bool:
    """Return whether up to `more` new interactions may take an owner with `count` past a threshold."""
    thresholds = [settings.routing.cold_start_threshold]
    if surface.owner is Entity.USER or settings.routing.founder_ensemble:
        thresholds.append(settings.routing.warm_user_threshold)
    return any(count < threshold <= count + more for threshold in thresholds)


def chain(surface: Surface, first: Method, settings: Settings) -> tuple[Method, ...]:
    """Return the methods to try in order, from the routed one to popular (B08, R08).

    Methods that are off are left out. If content has nothing for a cold-start owner (no profile text, no history with
    text), the other models come before popular. The threshold says when they are better, not when they know nothing.
    """
    forward = surface.owner is Entity.USER
    ladder = [Method.ENSEMBLE, Method.ALS if forward else Method.ALS_REVERSE]
    ladder += [Method.TWO_TOWER, Method.CONTENT_BASED]
    after = ladder[ladder.index(first) :]
    if first is Method.CONTENT_BASED:
        after += [m for m in ladder if m not in (Method.CONTENT_BASED, Method.ENSEMBLE)]
    return (*(m for m in after if not any(spec.off(settings) for spec in models_of(m, surface))), Method.POPULAR)


@cache
def sources_of(surface: Surface) -> Mapping[Method, tuple[Source, ...]]:
    """Return each method's sources: its own, or both halves of the ensemble. Popular has none per owner."""
    named = {source.name: (source,) for source in registry.sources()}
    halves = (ALS if surface.owner is Entity.USER else ALS_REVERSE), TWO_TOWER
    alone = (m for m in Method if m not in (Method.ENSEMBLE, Method.POPULAR, Method.SIMILAR))
    return {**{m: named[m.value] for m in alone}, Method.ENSEMBLE: halves}


@cache
def models_of(method: Method, surface: Surface) -> tuple[ModelSpec, ...]:
    """Return the models of a method on a surface."""
    if method is Method.POPULAR:
        return (registry.named("popularity"),)
    parts, blend = sources_of(surface)[method], registry.named("ensemble")
    found = tuple(
        spec for source in parts for spec in registry.MODELS if spec.source is source and surface.owner in spec.owners
    )
    return (*found, blend) if method is Method.ENSEMBLE else found
