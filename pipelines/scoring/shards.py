"""Batch scoring: every owner of every surface, in shards of contiguous rows, each shard one file (E13, E14)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from models.errors import DataError, ReleaseIncomplete
from models.nouns.bundle import Bundle, sha256_of
from models.nouns.catalogue import CATALOGUE, entities_of
from models.nouns.owners import Owners
from models.nouns.ranked_lists import RankedLists
from models.recipe import Recipe, open_bundles, open_recipe
from models.recommend import CHUNK, recommend
from models.schema import Surface
from pipelines.data.snapshot import Snapshot
from pipelines.refs import BuildRef, ScoredShard, ShardRef
from pipelines.runs.code import code_digest
from pipelines.runs.run import Run
from pipelines.scoring.accelerate import accelerated
from pipelines.scoring.arms import by_arm, scored_by_arm

log = logging.getLogger(__name__)


def plan_shards(run: Run, build: BuildRef, surfaces: Sequence[str] | None = None) -> list[ShardRef]:
    """The step: about `settings.shards` shards in all, by owners x items of each surface, at least one where it has
    owners. Raises DataError on an unknown surface.
    """
    known = {s.value: s for s in Surface}
    unknown = sorted(set(surfaces or ()) - set(known))
    if unknown:
        raise DataError(f"expected surfaces among {', '.join(known)}; got {', '.join(unknown)}")
    entities = entities_of(run.artifacts.open_bundle(CATALOGUE, build.bundles[CATALOGUE]))
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
    recipe = open_recipe(surface, bundles, run.settings)
    interactions = Snapshot.open(run.settings.artifacts / "snapshots" / shard.snapshot).interactions()
    rows = recipe.owners.owners_of(surface)[shard.start : shard.stop]
    lists = score_arms(accelerated(recipe, len(rows)), bundles, recipe.batch(rows, interactions))
    path = shard_path(run, shard)
    path.parent.mkdir(parents=True, exist_ok=True)
    lists.save(path)
    log.info("shard scored surface=%s index=%s owners=%s places=%s", surface, shard.index, len(lists), len(lists.item))
    return ScoredShard(surface.value, shard.index, len(lists), sha256_of(path), code_digest())


def score_arms(recipe: Recipe, bundles: Mapping[str, Bundle], owners: Owners) -> RankedLists:
    """Every owner's list by the recipe of their arm (O01, M08); of owners without an arm as if there were none."""
    recipes = by_arm(recipe, bundles, owners)
    return scored_by_arm(recipes, [score_owners(own, owners.take(mine)) for own, mine in recipes])


def score_owners(recipe: Recipe, owners: Owners) -> RankedLists:
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
