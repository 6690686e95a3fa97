"""Which method an owner's list comes from: a pure function of counts, thresholds and switches (B01-B13, G01-G09)."""

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
    """Routes of b owners, by thresholds alone. method: (b,) uint8 codes of `Method`; segment: (b,) of `Segment`."""

    method: NDArray[np.uint8]
    segment: NDArray[np.uint8]


def route(surface: Surface, count: NDArray[np.integer[Any]], settings: Settings) -> Route:
    """Users: content below 5, ALS below 20, then the ensemble. Startups: content below 5, then reverse ALS; from 20 on
    the ensemble too where [routing] founder_ensemble is on (R24, docs/decisions/0011-founder-ensemble.md).

    count: (b,) int32 interaction counts (R09). The thresholds are COLD_START_THRESHOLD and WARM_USER_THRESHOLD.
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
    """Whether an owner who was routed by `count` is past a threshold with up to `more` interactions since."""
    thresholds = [settings.routing.cold_start_threshold]
    if surface.owner is Entity.USER or settings.routing.founder_ensemble:
        thresholds.append(settings.routing.warm_user_threshold)
    return any(count < threshold <= count + more for threshold in thresholds)


def chain(surface: Surface, first: Method, settings: Settings) -> tuple[Method, ...]:
    """The methods to try in order, from the routed one to popular (B08, R08); switched-off ones are left out.

    Of a cold owner about whom content says nothing (no text, no history with text) the others are asked before
    popular, in the same order: the threshold says when they are the better choice, not when they know nothing.
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
    """By method the sources whose scores it is made of: the one of its name, of the ensemble both halves; popular, the
    end of the chain, is ranked by no score of an owner's own."""
    named = {source.name: (source,) for source in registry.sources()}
    halves = (ALS if surface.owner is Entity.USER else ALS_REVERSE), TWO_TOWER
    alone = (m for m in Method if m not in (Method.ENSEMBLE, Method.POPULAR))
    return {**{m: named[m.value] for m in alone}, Method.ENSEMBLE: halves}


@cache
def models_of(method: Method, surface: Surface) -> tuple[ModelSpec, ...]:
    """The models behind a method on a surface."""
    if method is Method.POPULAR:
        return (registry.named("popularity"),)
    parts, blend = sources_of(surface)[method], registry.named("ensemble")
    found = tuple(
        spec for source in parts for spec in registry.MODELS if spec.source is source and surface.owner in spec.owners
    )
    return (*found, blend) if method is Method.ENSEMBLE else found
