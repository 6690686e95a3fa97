"""Make trending lists on publish and refresh them between builds (F06). They are never reranked (A14)."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.catalogue.catalogue import CATALOGUE, entities_of
from models.data.entities import Entities
from models.data.interactions import Interactions
from models.lists.redis_format import Keys, TrendingList
from models.lists.release import Release
from models.popularity import SPEC, PopularityConfig
from models.popularity.scorer import trending
from models.schema import Entity, Surface
from models.scoring.scorer import aligned
from models.settings.settings import Settings
from pipelines.postgres import copy_out, engine, newest_event
from pipelines.publish.lease import Lease, lease
from pipelines.redis_client import connect, redis_errors
from pipelines.run.run import microseconds, parse_instant
from pipelines.store.artifacts import Artifacts

log = logging.getLogger(__name__)


def store_trending(settings: Settings, held: Lease, manifest: Release, entities: Mapping[Entity, Entities]) -> None:
    """Store the trending lists at a release's cutoff from its popularity bundle, unless newer ones are stored."""
    bundle = Artifacts(settings).open_bundle(SPEC.bundle, manifest.bundles[SPEC.bundle])
    heat = {e: aligned(bundle, f"{e}_trending", e.value, entities[e].ids) for e in Entity}
    _store(settings, held, entities, heat, microseconds(parse_instant(manifest.as_of)))


def refresh_trending(settings: Settings, as_of: datetime) -> dict[str, Any]:
    """Count the events of the `trending_days` before `as_of` and replace each surface's trending list.

    If the newest event is older, the window ends with it. Returns {release, as_of, events}. Without a live release,
    `release` is None and nothing changes.
    """
    with redis_errors("refreshing the trending lists"):
        client, keys = connect(settings), Keys(settings.namespace)
        live = client.get(keys.current)
        newest = newest_event(settings)
        if not isinstance(live, bytes) or newest is None:
            return {"release": None, "as_of": as_of.isoformat(), "events": 0}
        end = min(as_of, newest + timedelta(seconds=1))
        manifest = Artifacts(settings).release(live.decode())
        entities = entities_of(Artifacts(settings).open_bundle(CATALOGUE, manifest.bundles[CATALOGUE]))
        events, end_us = recent(settings, entities, end), microseconds(end)
        config = settings.of(PopularityConfig)
        heat = {
            Entity.USER: trending(events, end_us, config),
            Entity.STARTUP: trending(events.transposed(), end_us, config),
        }
        with lease(client, keys) as held:
            _store(settings, held, entities, heat, end_us)
    log.info("trending refreshed release=%s as_of=%s events=%s", manifest.id, end.isoformat(), len(events))
    return {"release": manifest.id, "as_of": end.isoformat(), "events": len(events)}


def hottest(items: Entities, surface: Surface, heat: NDArray[np.float32], depth: int, made_us: int) -> TrendingList:
    """Return the `depth` items with the most heat that a surface may show, ties by id, none with heat 0.

    heat: (n,) float32 in 0..1 by entity row.
    """
    rows = items.items_of(surface)
    order = np.argsort(-heat[rows], kind="stable")[:depth]
    rows = rows[order][heat[rows[order]] > 0]
    return TrendingList(items.ids.text(rows), heat[rows], made_us)


def _store(
    settings: Settings,
    held: Lease,
    entities: Mapping[Entity, Entities],
    heat: Mapping[Entity, NDArray[np.float32]],
    made_us: int,
) -> None:
    """Replace older lists of all surfaces at once; the lease prevents concurrent changes."""
    pipe, keys = held.client.pipeline(transaction=True), held.keys
    for surface in Surface:
        stored = held.client.get(keys.trending(surface))
        if not isinstance(stored, bytes) or TrendingList.decode(stored).made_us <= made_us:
            listing = hottest(entities[surface.item], surface, heat[surface.item], settings.lists.depth, made_us)
            ttl_s = int(settings.releases.ttl_hours * 3600)
            held.write("SET", [keys.trending(surface)], listing.encode(), "EX", ttl_s, pipe=pipe)
    pipe.execute()


def recent(settings: Settings, entities: dict[Entity, Entities], as_of: datetime) -> Interactions:
    """Return the events of the window whose ids the release knows, users as owners."""
    import pandas as pd  # here, so that the process that drains events stays small

    from pipelines.export.snapshot import codes_of

    sink = io.BytesIO()
    since = as_of - timedelta(days=settings.of(PopularityConfig).trending_days)
    copy_out(engine(settings), "since/interactions", {"since": since, "as_of": as_of}, sink)
    sink.seek(0)
    frame = pd.read_csv(sink, dtype=str, keep_default_na=False)
    users, startups = entities[Entity.USER].ids, entities[Entity.STARTUP].ids
    owner, item = users.rows_of(frame["user_id"].to_numpy(str)), startups.rows_of(frame["startup_id"].to_numpy(str))
    kind = codes_of(frame["interaction_type"])
    times = pd.to_datetime(frame["occurred_at"], utc=True, format="ISO8601").astype("datetime64[us, UTC]")
    at = np.asarray(times.astype("int64"), np.int64)
    known = (owner >= 0) & (item >= 0) & (kind >= 0)
    known &= ~entities[Entity.USER].opted_out[owner]  # as in a build: events of people who opted out do not count (R23)
    return Interactions(users, startups, owner[known], item[known], kind[known].astype(np.int8), at[known])
