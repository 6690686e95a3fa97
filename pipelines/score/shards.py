"""Batch scoring: every owner of every surface, in shards of contiguous rows, each shard one file (E13, E14)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from models.catalogue.catalogue import CATALOGUE, entities_of
from models.data.batch import Owners
from models.data.bundle import Bundle, sha256_of
from models.data.entities import Entities
from models.errors import DataError, ReleaseIncomplete
from models.experiments import read_experiments
from models.lists.ranked_lists import RankedLists
from models.recommender.exposure import apply_cap, cap_of, exposure_stats, part_of, places_above_cap, share_moved
from models.recommender.recommend import CHUNK, recommend
from models.recommender.surface import SurfaceRecommender, open_bundles, open_recommender, serving_rankers
from models.schema import Entity, Surface
from models.settings.idle import idle_line
from pipelines.export.snapshot import Snapshot
from pipelines.refs import BuildRef, ScoredShard, ShardRef
from pipelines.run.run import Run, code_digest
from pipelines.score.arms import arms_of, places_of, recommenders_by_arm, scored_by_arm
from pipelines.score.fast_product import with_fastest_product

log = logging.getLogger(__name__)


def plan_shards(run: Run, build: BuildRef, surfaces: Sequence[str] | None = None) -> list[ShardRef]:
    """The step: about `settings.shards` shards in all, by owners x items of each surface, at least one where it has
    owners. Raises DataError on an unknown surface.
    """
    known = {s.value: s for s in Surface}
    unknown = sorted(set(surfaces or ()) - set(known))
    if unknown:
        raise DataError(f"expected surfaces among {', '.join(known)}; got {', '.join(unknown)}")
    bundles = open_bundles(run.settings.artifacts, build.bundles, run.settings)
    ways = (run.settings, *(arm.apply(run.settings) for e in read_experiments(run.settings) for arm in e.arms))
    log.info("%s", idle_line([(settings, serving_rankers(bundles, settings)) for settings in ways]))
    entities = entities_of(bundles[CATALOGUE])
    wanted = [known[s] for s in surfaces] if surfaces else list(Surface)
    owners = {s: len(entities[s.owner].owners_of(s)) for s in wanted}
    work = {s: owners[s] * (1 + len(entities[s.item].items_of(s))) for s in wanted}
    total = max(sum(work.values()), 1)
    shards = []
    for s in wanted:
        parts = min(owners[s], max(1, round(run.settings.score.shards * work[s] / total)))
        bounds = np.linspace(0, owners[s], parts + 1).astype(int).tolist() if parts else []
        shards += [
            ShardRef(s.value, i, a, b, build.snapshot, dict(build.bundles)) for i, (a, b) in enumerate(pairwise(bounds))
        ]
    return shards


def score_shard(run: Run, shard: ShardRef) -> ScoredShard:
    """The step: score one shard into the run's staging.

    Again gives the same bytes, as long as the code is the same."""
    surface = Surface(shard.surface)
    bundles = open_bundles(run.settings.artifacts, shard.bundles, run.settings)
    recipe = open_recommender(surface, bundles, run.settings)
    interactions = Snapshot.open(run.settings.artifacts / "snapshots" / shard.snapshot).interactions()
    rows = recipe.owners.owners_of(surface)[shard.start : shard.stop]
    lists = score_arms(with_fastest_product(recipe, len(rows)), bundles, recipe.batch(rows, interactions))
    path = shard_path(run, shard)
    path.parent.mkdir(parents=True, exist_ok=True)
    lists.save(path)
    log.info("shard scored surface=%s index=%s owners=%s places=%s", surface, shard.index, len(lists), len(lists.item))
    return ScoredShard(surface.value, shard.index, len(lists), sha256_of(path), code_digest())


def score_arms(recipe: SurfaceRecommender, bundles: Mapping[str, Bundle], owners: Owners) -> RankedLists:
    """Every owner's list by the recipe of their arm (O01, M08); of owners without an arm as if there were none."""
    recipes = recommenders_by_arm(recipe, bundles, owners)
    return scored_by_arm(recipes, [score_owners(own, owners.take(mine)) for own, mine in recipes])


def score_owners(recipe: SurfaceRecommender, owners: Owners) -> RankedLists:
    """The recipe over chunks on `settings.threads` threads; the lists do not depend on how many there are."""
    starts = range(0, max(len(owners), 1), CHUNK)

    def one(start: int) -> RankedLists:
        return recommend(recipe, owners.part(start, start + CHUNK), recipe.settings.lists.depth)

    # one BLAS thread each: two pools fighting over the same cores cost far more than they bring
    with threadpool_limits(1), ThreadPoolExecutor(recipe.settings.threads) as pool:
        return RankedLists.concat(list(pool.map(one, starts)))


def shard_path(run: Run, shard: ShardRef | ScoredShard) -> Path:
    """Where a shard of this run is staged; "capped" ones stand apart, so that the cap can be applied again."""
    folder = "capped" if isinstance(shard, ScoredShard) and shard.capped else "shards"
    return run.directory / folder / Surface(shard.surface).folder / f"{shard.index:04d}.npz"


def open_shard(run: Run, shard: ScoredShard) -> RankedLists:
    """The lists of a staged shard. Raises ReleaseIncomplete where they are not what was scored."""
    path = shard_path(run, shard)
    if not path.is_file() or sha256_of(path) != shard.sha256:
        raise ReleaseIncomplete(
            f"{path} is missing or differs from what was scored; clear that scoring shard and run on"
        )
    return RankedLists.open(path)


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
        told[surface] = {**about, "moved": share_moved(found, lists), "uncapped": exposure_stats(lists, items)}
        bounds = np.concatenate([[0], np.cumsum([len(p) for p in parts])]).tolist()
        done += [_staged(run, s, part_of(found, a, b)) for s, a, b in zip(mine, bounds, bounds[1:], strict=False)]
        log.info("exposure capped surface=%s %s", surface, told[surface])
    return done, told


def _caps(run: Run, surface: Surface) -> list[float]:
    """The cap of the owners without an arm, then of each arm of the surface."""
    own = [arm.apply(run.settings) for _, arm in arms_of(run, surface)]
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
            most = cap_of(cap, part, items)
            part = apply_cap(part, most)
            told = {"cap": most if code < 0 else told["cap"], "above": told["above"] + places_above_cap(part, most)}
        parts.append(part)
        order.append(mine)
    return RankedLists.concat(parts).take(np.argsort(np.concatenate(order), kind="stable")), told


def _staged(run: Run, shard: ScoredShard, lists: RankedLists) -> ScoredShard:
    path = shard_path(run, replace(shard, capped=True))
    path.parent.mkdir(parents=True, exist_ok=True)
    lists.save(path)
    return replace(shard, capped=True, sha256=sha256_of(path))
