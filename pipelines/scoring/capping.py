"""The cap on exposure over a whole batch: applied to scored shards before a release is assembled of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from models.nouns.bundle import sha256_of
from models.nouns.entities import Entities
from models.nouns.ranked_lists import RankedLists
from models.recommend.exposure import above, capped, moved, part_of, places_of_an_item, reach
from models.schema import Entity, Surface
from pipelines.refs import ScoredShard
from pipelines.runs.run import Run
from pipelines.scoring.arms import arms_of, places_of
from pipelines.scoring.shards import open_shard, shard_path

log = logging.getLogger(__name__)


def cap_shards(
    run: Run, shards: Sequence[ScoredShard], entities: Mapping[Entity, Entities]
) -> tuple[list[ScoredShard], dict[str, dict[str, Any]]]:
    """The shards with [lists] exposure_cap applied, jointly over all shards of a surface, staged beside the scored
    ones; and by surface {"cap": places of an item, "above": places above it that the lists left no room for, "moved":
    share of the top tens' places, "uncapped": see `reach`}.

    The owners of an experiment's arm are capped among themselves, by the arm's own cap, so that no arm's lists depend
    on another's; "cap" is that of the owners without an arm. shards: in order. Where no cap is set they are handed back
    as they are. Raises ReleaseIncomplete where one is missing or was changed.
    """
    if not any(cap for s in Surface for cap in _caps(run, s)):
        return list(shards), {}
    done, told = list[ScoredShard](), {}
    for surface in dict.fromkeys(s.surface for s in shards):
        mine = [s for s in shards if s.surface == surface]
        parts = [open_shard(run, s) for s in mine]
        lists = RankedLists.concat(parts)
        items = entities[Surface(surface).item].items_of(Surface(surface))
        found, about = _capped(run, Surface(surface), lists, entities[Surface(surface).owner], len(items))
        told[surface] = {**about, "moved": moved(found, lists), "uncapped": reach(lists, items)}
        bounds = np.concatenate([[0], np.cumsum([len(p) for p in parts])]).tolist()
        done += [_staged(run, s, part_of(found, a, b)) for s, a, b in zip(mine, bounds, bounds[1:], strict=False)]
        log.info("exposure capped surface=%s %s", surface, told[surface])
    return done, told


def _caps(run: Run, surface: Surface) -> list[float]:
    """The cap of the owners without an arm, then of each arm of the surface."""
    own = [arm.of(run.settings) for _, arm in arms_of(run, surface)]
    return [settings.lists.exposure_cap for settings in (run.settings, *own)]


def _capped(
    run: Run, surface: Surface, lists: RankedLists, owners: Entities, items: int
) -> tuple[RankedLists, dict[str, Any]]:
    """The lists of a surface, those of each arm capped among themselves."""
    place, parts, order, told = places_of(run, surface, owners, lists.owner), [], [], {"cap": 0, "above": 0}
    for code, cap in enumerate(_caps(run, surface), start=-1):
        mine = np.flatnonzero(place == code)
        part = lists.take(mine)
        if cap and len(mine):
            most = places_of_an_item(cap, part, items)
            part = capped(part, most)
            told = {"cap": most if code < 0 else told["cap"], "above": told["above"] + above(part, most)}
        parts.append(part)
        order.append(mine)
    return RankedLists.concat(parts).take(np.argsort(np.concatenate(order), kind="stable")), told


def _staged(run: Run, shard: ScoredShard, lists: RankedLists) -> ScoredShard:
    path = shard_path(run, replace(shard, capped=True))
    path.parent.mkdir(parents=True, exist_ok=True)
    lists.save(path)
    return replace(shard, capped=True, sha256=sha256_of(path))
