"""Score every owner of every surface in shards of contiguous rows, one file per shard (E13, E14)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from models.catalogue.catalogue import CATALOGUE, entities_of
from models.data.batch import Owners
from models.data.bundle import Bundle, sha256_of
from models.data.entities import Entities
from models.errors import DataError, ReleaseIncomplete
from models.experiments import Arm, Experiment, arms_on, places_on, read_experiments, with_arms
from models.lists.ranked_lists import RankedLists
from models.recommender.candidates import prepared
from models.recommender.exposure import apply_cap, caps_of, exposure_stats, part_of, places_above_cap, share_moved
from models.recommender.leaves import LEAF
from models.recommender.recommend import CHUNK, recommend
from models.recommender.similar import SimilarRecommender, open_similar
from models.recommender.surface import (
    SurfaceRecommender,
    open_bundles,
    open_recommender,
    serving_rankers,
    with_settings,
)
from models.schema import LIST_KINDS, Entity, ListKind, Similar, Surface, list_kind
from models.settings.idle import idle_line
from pipelines.export.snapshot import Snapshot
from pipelines.refs import BuildRef, ScoredShard, ShardRef
from pipelines.run.run import Run, code_digest
from pipelines.score.caps import chosen_cap, resolved
from pipelines.score.fast_product import with_fastest_product

log = logging.getLogger(__name__)
#: Owners x items of one shard, and most shards of a build (each opens all bundles), if the settings name no number.
PAIRS, MOST = 5e8, 16


def plan_shards(run: Run, build: BuildRef, surfaces: Sequence[str] | None = None) -> list[ShardRef]:
    """The step: plan about `settings.shards` shards, divided by owners x items of each surface.

    By default one for each PAIRS, at most MOST. A kind of list with owners gets at least one. Similar lists are made
    with all surfaces. Raises DataError on an unknown surface.
    """
    unknown = sorted(set(surfaces or ()) - set(Surface))
    if unknown:
        raise DataError(f"expected surfaces among {', '.join(Surface)}; got {', '.join(unknown)}")
    bundles = open_bundles(run.settings.artifacts, build.bundles, run.settings)
    log.info("%s", idle_line([(s, serving_rankers(bundles, s)) for s in with_arms(run.settings)]))
    entities = entities_of(bundles[CATALOGUE])
    wanted = planned(surfaces)
    owners = {s: len(entities[s.owner].owners_of(s)) for s in wanted}
    work = {s: owners[s] * (1 + _compared_with(s, entities)) for s in wanted}
    total = max(sum(work.values()), 1)
    asked = run.settings.score.shards or min(total / PAIRS, MOST)
    shards = []
    for s in wanted:
        parts = min(owners[s], max(1, round(asked * work[s] / total)))
        bounds = np.linspace(0, owners[s], parts + 1).astype(int).tolist() if parts else []
        shards += [
            ShardRef(s.value, i, a, b, build.snapshot, dict(build.bundles)) for i, (a, b) in enumerate(pairwise(bounds))
        ]
    return shards


def planned(surfaces: Sequence[str] | None) -> tuple[ListKind, ...]:
    """Return the kinds of lists of a build: the surfaces, by default all, and with all of them the similar lists."""
    if not surfaces or set(surfaces) >= set(Surface):
        return LIST_KINDS
    return tuple(s for s in Surface if s.value in surfaces)


def _compared_with(kind: ListKind, entities: Mapping[Entity, Entities]) -> int:
    """Return the number of items that an owner is compared with. Profiles are compared within a leaf."""
    items = len(entities[kind.item].items_of(kind))
    return items if isinstance(kind, Surface) else min(items, LEAF)


def score_shard(run: Run, shard: ShardRef) -> ScoredShard:
    """The step: score one shard into the run's staging. The same code gives the same bytes."""
    kind = list_kind(shard.surface)
    bundles = open_bundles(run.settings.artifacts, shard.bundles, run.settings)
    if isinstance(kind, Similar):
        similar = open_similar(kind, bundles, run.settings)
        rows = similar.entities.owners_of(kind)[shard.start : shard.stop]
        lists = similar_lists(similar, rows, run.settings.threads)
    else:
        assert isinstance(kind, Surface)
        recipe = open_recommender(kind, bundles, run.settings)
        interactions = Snapshot.open(run.settings.artifacts / "snapshots" / shard.snapshot).interactions()
        rows = recipe.owners.owners_of(kind)[shard.start : shard.stop]
        lists = score_arms(with_fastest_product(recipe, len(rows)), bundles, recipe.batch(rows, interactions))
    path = shard_path(run, shard)
    path.parent.mkdir(parents=True, exist_ok=True)
    lists.save(path)
    log.info("shard scored surface=%s index=%s owners=%s places=%s", kind, shard.index, len(lists), len(lists.item))
    return ScoredShard(kind.value, shard.index, len(lists), sha256_of(path), code_digest())


def similar_lists(recipe: SimilarRecommender, rows: NDArray[np.int32], threads: int) -> RankedLists:
    """Return the similar lists of these rows. They do not depend on the number of threads."""
    with threadpool_limits(1):
        return recipe.lists(rows, threads)


def score_arms(recipe: SurfaceRecommender, bundles: Mapping[str, Bundle], owners: Owners) -> RankedLists:
    """Return every owner's list by the recipe of their arm (O01, M08), or the base recipe."""
    recipes = recommenders_by_arm(recipe, bundles, owners)
    return scored_by_arm(recipes, [score_owners(own, owners.take(mine)) for own, mine in recipes])


def score_owners(recipe: SurfaceRecommender, owners: Owners) -> RankedLists:
    """Score in chunks on `settings.threads` threads. The lists do not depend on their number."""
    recipe = prepared(recipe, len(owners))
    starts = range(0, max(len(owners), 1), CHUNK)

    def one(start: int) -> RankedLists:
        return recommend(recipe, owners.part(start, start + CHUNK), recipe.settings.lists.depth)

    # one BLAS thread each, because two pools on the same cores are much slower
    with threadpool_limits(1), ThreadPoolExecutor(recipe.settings.threads) as pool:
        return RankedLists.concat(list(pool.map(one, starts)))


def shard_path(run: Run, shard: ShardRef | ScoredShard) -> Path:
    """Return the staging path of a shard. "capped" shards are separate, so that the cap can be applied again."""
    folder = "capped" if isinstance(shard, ScoredShard) and shard.capped else "shards"
    return run.directory / folder / list_kind(shard.surface).folder / f"{shard.index:04d}.npz"


def open_shards(
    run: Run, kind: ListKind, shards: Sequence[ScoredShard], entities: Mapping[Entity, Entities]
) -> tuple[Sequence[ScoredShard], list[RankedLists], dict[str, Any]]:
    """Return the shards of a kind, their lists, and the effect of [lists] exposure_cap (empty without a cap).

    shards: in order. Each arm has a separate cap over all shards, similar lists none. Capped lists are staged apart.
    Effect: "multiple" of owners without an arm (see `caps_of`); "above", places above it for lack of candidates;
    "moved", share of the first ten places; "uncapped", see `exposure_stats`.
    Raises ReleaseIncomplete if a shard is missing or changed, or if `check_lists` raises it.
    """
    parts = []
    for shard in shards:
        path = shard_path(run, shard)
        if not path.is_file() or sha256_of(path) != shard.sha256:
            raise ReleaseIncomplete(
                f"{path} is missing or was changed after scoring; clear that scoring shard and continue the run"
            )
        parts.append(RankedLists.open(path))
    about: dict[str, Any] = {}
    if parts and isinstance(kind, Surface) and any(cap for s in Surface for cap in _caps(run, s)):
        lists, items = RankedLists.concat(parts), entities[kind.item].items_of(kind)
        found, about = _capped(run, kind, lists, entities[kind.owner], items, entities[kind.item].count)
        about |= {"moved": share_moved(found, lists), "uncapped": exposure_stats([lists], items)}
        bounds = np.concatenate([[0], np.cumsum([len(p) for p in parts])]).tolist()
        parts = [part_of(found, start, stop) for start, stop in pairwise(bounds)]
        shards = [_staged(run, s, part) for s, part in zip(shards, parts, strict=True)]
        log.info("exposure capped surface=%s %s", kind, about)
    check_lists(kind, parts, entities)
    return shards, parts, about


def check_lists(kind: ListKind, parts: Sequence[RankedLists], entities: Mapping[Entity, Entities]) -> None:
    """Raise ReleaseIncomplete unless a kind has one list per owner, in order, without repeated items."""
    expected = entities[kind.owner].owners_of(kind)
    got = np.concatenate([np.zeros(0, np.int32), *(p.owner for p in parts)])
    if not np.array_equal(got, expected):
        raise ReleaseIncomplete(
            f"{kind}: expected a list for each of {len(expected)} owners in order, got {len(got)} lists, "
            f"{len(np.setdiff1d(expected, got))} owners without one; nothing was stored: in a build clear the scoring "
            "task that failed and assemble again, after a refresh start a build"
        )
    for p in parts:
        owner = np.repeat(np.arange(len(p), dtype=np.int64), np.diff(p.indptr))
        if len(np.unique(owner * (int(p.item.max(initial=0)) + 1) + p.item)) != len(p.item):
            raise ReleaseIncomplete(
                f"{kind}: a list repeats an item; this is a defect of the recipe, nothing was published"
            )


def _caps(run: Run, surface: Surface) -> list[float]:
    """Return the cap of owners without an arm, then of each arm."""
    own, chosen = [arm.apply(run.settings) for _, arm in arms_of(run, surface)], chosen_cap(run, surface)
    return [resolved(settings.lists.exposure_cap, chosen) for settings in (run.settings, *own)]


def _capped(
    run: Run,
    surface: Surface,
    lists: RankedLists,
    owners: Entities,
    catalogue: NDArray[np.int32],
    events: NDArray[np.int32],
) -> tuple[RankedLists, dict[str, Any]]:
    caps, place, parts, order = _caps(run, surface), places_of(run, surface, owners, lists.owner), [], []
    told = {"multiple": caps[0], "above": 0}
    for code, cap in enumerate(caps, start=-1):
        mine = np.flatnonzero(place == code)
        part = lists.take(mine)
        if cap and len(mine):
            most = caps_of(cap, part, catalogue, events)
            part = apply_cap(part, most)
            told["above"] += places_above_cap(part, most)
        parts.append(part)
        order.append(mine)
    return RankedLists.concat(parts).take(np.argsort(np.concatenate(order), kind="stable")), told


def _staged(run: Run, shard: ScoredShard, lists: RankedLists) -> ScoredShard:
    path = shard_path(run, replace(shard, capped=True))
    path.parent.mkdir(parents=True, exist_ok=True)
    lists.save(path)
    return replace(shard, capped=True, sha256=sha256_of(path))


#: Owners per arm whose lists are made by both recipes, to measure the effect of the arm.
COMPARED = 256


def arms_of(whose: SurfaceRecommender | Run, surface: Surface) -> list[tuple[Experiment, Arm]]:
    """Return every arm of a surface, numbered as in `places_of`."""
    return arms_on(read_experiments(whose.settings), surface)


def places_of(
    whose: SurfaceRecommender | Run, surface: Surface, owners: Entities, rows: NDArray[np.int32]
) -> NDArray[np.int16]:
    """Return (n,) int16 arm of each owner, -1 for none. People who opted out are in no experiment (R23)."""
    experiments = read_experiments(whose.settings)
    if not arms_on(experiments, surface):
        return np.full(len(rows), -1, np.int16)
    found = places_on(experiments, surface, owners.ids.packed()[rows])
    return np.where(owners.opted_out[rows], -1, found).astype(np.int16)


def recommenders_by_arm(
    recipe: SurfaceRecommender, bundles: Mapping[str, Bundle], owners: Owners
) -> list[tuple[SurfaceRecommender, NDArray[np.int64]]]:
    """Return the recipes of a batch with the numbers of their owners. Owners without an arm are first."""
    place = places_of(recipe, recipe.surface, recipe.owners, owners.row)
    found = [(recipe, np.flatnonzero(place < 0))]
    for i, (_, arm) in enumerate(arms_of(recipe, recipe.surface)):
        mine = np.flatnonzero(place == i)
        if len(mine):
            found.append((with_settings(recipe, bundles, arm.apply(recipe.settings)), mine))
    return found


def experiment_manifest(run: Run, snapshot: str, versions: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the experiments of a build for its manifest, with the edition.

    Per arm and surface: its number of `owners`, and the share of first ten places that it `moved`, on at most COMPARED
    owners.
    """
    experiments = read_experiments(run.settings)
    if not experiments:
        return []
    bundles = open_bundles(run.settings.artifacts, versions, run.settings)
    told = [e.as_json() | {"edition": e.edition} for e in experiments]
    by_name = {(e["name"], a["name"]): a | {"owners": {}, "moved": {}} for e in told for a in e["arms"]}
    interactions = Snapshot.open(run.settings.artifacts / "snapshots" / snapshot).interactions()
    for surface in Surface:
        arms = arms_of(run, surface)
        if not arms:
            continue
        recipe = open_recommender(surface, bundles, run.settings)
        rows = recipe.owners.owners_of(surface)
        place = places_of(run, surface, recipe.owners, rows)
        for i, (of, arm) in enumerate(arms):
            mine, about = rows[place == i], by_name[of.name, arm.name]
            about["owners"][surface.value] = len(mine)
            some = recipe.batch(mine[:COMPARED], interactions)
            other = with_settings(recipe, bundles, arm.apply(run.settings))
            about["moved"][surface.value] = _moved(recipe, other, some)
    for e in told:
        e["arms"] = [by_name[e["name"], a["name"]] for a in e["arms"]]
        _warn_of_equals(e)
    return told


def _moved(plain: SurfaceRecommender, changed: SurfaceRecommender, owners: Owners) -> float:
    """Return the share of the first ten places that differ from the base recipe."""
    if not len(owners):
        return 0.0
    depth = min(plain.settings.lists.depth, changed.settings.lists.depth)
    return share_moved(recommend(changed, owners, depth), recommend(plain, owners, depth))


def _warn_of_equals(experiment: Mapping[str, Any]) -> None:
    for arm in experiment["arms"]:
        log.info(
            "experiment %s arm %s: owners %s, moved %s", experiment["name"], arm["name"], arm["owners"], arm["moved"]
        )
        if arm["settings"] and not any(arm["moved"].values()):
            log.warning(
                "arm %s of experiment %s changes no list's first ten places: another setting overrides %s (for "
                "example, the learned ranker ignores the blend)",
                arm["name"],
                experiment["name"],
                ", ".join(arm["settings"]),
            )


def scored_by_arm(recipes: list[tuple[SurfaceRecommender, NDArray[np.int64]]], lists: list[RankedLists]) -> RankedLists:
    if len(lists) == 1:
        return lists[0]
    return RankedLists.concat(lists).take(np.argsort(np.concatenate([mine for _, mine in recipes]), kind="stable"))
