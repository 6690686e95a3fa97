"""Trending lists: what moved lately, stored with a release and refreshed between builds (F06, A14: never reranked)."""

from __future__ import annotations

import io
import logging
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from models.nouns.catalogue import CATALOGUE, entities_of
from models.nouns.entities import Entities
from models.nouns.interactions import Interactions
from models.nouns.ranked_lists import RankedLists
from models.nouns.release import Keys, encode_lists
from models.nouns.vocabulary import Entity, InteractionKind, Method, Source, Surface
from models.settings import Settings
from models.training.popularity import trending
from pipelines.artifacts import Artifacts
from pipelines.postgres import copy_out, engine, newest_event
from pipelines.release.cache import connect, wrapped
from pipelines.run import EPOCH

log = logging.getLogger(__name__)


def encode_trending(items: Entities, surface: Surface, heat: np.ndarray, depth: int) -> bytes:
    """The stored list of a surface: its hottest `depth` items, ties by id; nothing that did not move.

    heat: (n,) float32 in 0..1 by entity row.
    """
    rows = items.items_of(surface)
    order = np.argsort(-heat[rows], kind="stable")[:depth]
    item = rows[order][heat[rows[order]] > 0]
    popular = np.array([list(Method).index(Method.POPULAR)], np.uint8)
    one = RankedLists(owner=np.array([-1], np.int32), method=popular, route=popular, count=np.zeros(1, np.int32),
                      reranked=np.zeros(1, bool), indptr=np.array([0, len(item)]), item=item.astype(np.int32),
                      score=heat[item].astype(np.float32), source=np.full(len(item), Source.POPULAR.bit, np.uint8),
                      reason=np.zeros(len(item), np.uint8))
    return encode_lists(one)[0]


def refresh_trending(settings: Settings, as_of: datetime) -> dict[str, Any]:
    """Count the events of the last `trending_days` before `as_of` and replace the live release's trending lists.

    Where the newest event is older than `as_of`, the window ends with it. Returns {release, as_of, events}; release
    is None, and nothing is done, while none is live.
    """
    with wrapped("refreshing the trending lists"):
        client, keys = connect(settings), Keys(settings.namespace)
        live = client.get(keys.current)
        newest = newest_event(engine(settings))
        if not isinstance(live, bytes) or newest is None:
            return {"release": None, "as_of": as_of.isoformat(), "events": 0}
        end = min(as_of, newest + timedelta(seconds=1))
        manifest = Artifacts(settings).release(live.decode())
        entities = entities_of(Artifacts(settings).open_bundle(CATALOGUE, manifest.bundles[CATALOGUE]))
        events = recent(settings, entities, end)
        end_us = int((end - EPOCH) / timedelta(microseconds=1))
        heat = {Entity.USER: trending(events, end_us, settings), Entity.STARTUP: trending(events.transposed(), end_us, settings)}
        values = {keys.trending(manifest.id, s): encode_trending(entities[s.item], s, heat[s.item], settings.depth) for s in Surface}
        pipe = client.pipeline(transaction=True)
        for key, value in values.items():
            pipe.set(key, value, keepttl=True)
        pipe.execute()
    log.info("trending refreshed release=%s as_of=%s events=%s", manifest.id, end.isoformat(), len(events))
    return {"release": manifest.id, "as_of": end.isoformat(), "events": len(events)}


def recent(settings: Settings, entities: dict[Entity, Entities], as_of: datetime) -> Interactions:
    """The events of the window among those whom the release knows, users as owners."""
    sink = io.BytesIO()
    since = as_of - timedelta(days=settings.trending_days)
    copy_out(engine(settings), "recent_interactions", {"since": since, "as_of": as_of}, sink)
    sink.seek(0)
    frame = pd.read_csv(sink, dtype=str, keep_default_na=False)
    users, startups = entities[Entity.USER].ids, entities[Entity.STARTUP].ids
    owner, item = users.rows_of(frame["user_id"].to_numpy(str)), startups.rows_of(frame["startup_id"].to_numpy(str))
    kinds = [k.value for k in InteractionKind]
    kind = pd.Categorical(frame["interaction_type"], categories=kinds).codes
    at = pd.to_datetime(frame["occurred_at"], utc=True, format="ISO8601").astype("datetime64[us, UTC]").astype("int64").to_numpy()
    known = (owner >= 0) & (item >= 0) & (kind >= 0)
    return Interactions(users, startups, owner[known], item[known], kind[known].astype(np.int8), at[known])
