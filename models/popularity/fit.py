"""Computes popularity and trends of all items (A09, R08)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.bundle import Bundle
from models.data.entities import Entities
from models.data.interactions import EventTime, Interactions
from models.data.training_data import TrainingData
from models.features.table import popularity
from models.popularity import SPEC, PopularityConfig
from models.popularity.scorer import recent, trending
from models.schema import EventType


def fit(data: TrainingData[PopularityConfig]) -> Bundle:
    """Make the bundle popularity_v1."""
    then = data.standing
    return fit_popularity(then.users, then.startups, data.interactions, data.as_of_us, data.config)


def fit_popularity(
    users: Entities, startups: Entities, interactions: Interactions, as_of_us: int, config: PopularityConfig
) -> Bundle:
    """Compute popularity, recent and trending of users and startups, each in 0..1. Never raises.

    Popularity is log(views + 3 x interactions + 1) / log(maximum) (C49). The maximum is over all entities of the kind
    at the cutoff, stored in the config (R05). Interactions are all events except views; users have no views. Recent and
    trending: see `recent`, `trending`. Without events everything is 0.
    """
    clock = EventTime.from_times(interactions.at)
    arrays: dict[str, NDArray[Any]] = {}
    maxima: dict[str, float] = {}
    for entities, events in ((users, interactions), (startups, interactions.transposed())):
        views = np.zeros(len(entities)) if entities is users else entities.views.astype(float)
        counts = events.where(events.kind != EventType.VIEW.code).counts()
        maximum = float((views + 3.0 * counts + 1).max(initial=1.0))
        maxima[entities.entity.value] = maximum
        popular = popularity(views, counts, maximum)
        arrays[f"{entities.entity}_popularity"] = popular
        half_life = config.half_life_events
        arrays[f"{entities.entity}_recent"] = recent(events, clock, half_life) if half_life else popular
        arrays[f"{entities.entity}_trending"] = trending(events, as_of_us, config)
    about = {
        "max": maxima,
        "rows": len(interactions),
        "half_life_events": config.half_life_events,
        "trending_days": config.trending_days,
        "trending_half_life_days": config.trending_half_life_days,
    }
    return Bundle(SPEC.bundle, about, arrays, {"user": users.ids, "startup": startups.ids})
