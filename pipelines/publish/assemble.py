"""Assemble shards to a stored release: check them against the snapshot's owners, then rename into place."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import TypeVar

import numpy as np
from scipy import sparse

from models import registry
from models.catalogue.catalogue import CATALOGUE, entities_of
from models.data.bundle import Bundle, sha256_of
from models.data.entities import Entities
from models.errors import ReleaseIncomplete
from models.lists.audience import audience_of, save_audience, save_ids
from models.lists.ranked_lists import RankedLists
from models.lists.release import MANIFEST, Release, ReleaseDigest, popular_file, shard_file
from models.recommender.exposure import exposure_stats
from models.recommender.recommend import recommend
from models.recommender.surface import open_bundles, open_recommender
from models.schema import Entity, ListKind, Method, Surface
from models.settings.settings import Settings
from pipelines.erased import check_erased
from pipelines.refs import BuildRef, ReleaseRef, ScoredShard
from pipelines.run.run import Run, code_version
from pipelines.score.shards import experiment_manifest, open_shards, planned, shard_path
from pipelines.store.artifacts import Artifacts, write_private

log = logging.getLogger(__name__)
_Kind = TypeVar("_Kind", bound=ListKind)


def assemble_release(
    run: Run, build: BuildRef, shards: Sequence[ScoredShard], surfaces: Sequence[str] | None = None
) -> ReleaseRef:
    """Verify every shard, apply [lists] exposure_cap over all of them, and store the release.

    surfaces: the planned ones, by default all. A release of only some is never published. Raises ReleaseIncomplete and
    stores nothing if a shard is missing or changed, an owner has no list, a list repeats an item, or shards come from
    different code.
    """
    made_by = sorted({s.code for s in shards if s.code})
    if len(made_by) > 1:
        raise ReleaseIncomplete(
            f"the shards were scored by different code ({', '.join(made_by)}): it changed during the run; clear the "
            "whole group `score`, so that the same code makes every list, and continue the run"
        )
    entities = entities_of(run.artifacts.open_bundle(CATALOGUE, build.bundles[CATALOGUE]))
    check_erased(run.settings, entities)
    by_place = attrgetter("surface", "index")
    bundles = open_bundles(run.settings.artifacts, build.bundles, run.settings)
    digest, lists, shares, stored, popular = ReleaseDigest(), {}, {}, list[ScoredShard](), {}
    for kind in planned(surfaces):
        scored = sorted((s for s in shards if s.surface == kind.value), key=by_place)
        mine, parts, capped = open_shards(run, kind, scored, entities)
        lists[kind.value], shares[kind.value] = sum(map(len, parts)), shares_of(kind, parts, entities)
        shares[kind.value]["exposure"] |= capped
        popular[kind] = _popular(kind, bundles, run.settings)
        digest.add_lists(kind, popular[kind], parts)
        stored += mine
    draft = Release(
        id="",
        as_of=run.as_of.isoformat(),
        generated_at=datetime.now(UTC).isoformat(timespec="seconds"),  # noqa: TID251 a label; no list depends on it
        digest="",
        snapshot=build.snapshot,
        bundles=dict(build.bundles),
        lists=lists,
        shards=[s.as_json() for s in sorted(stored, key=by_place)],
        settings=run.settings.recorded(),
        shares=shares,
        code_version=code_version(),
        experiments=experiment_manifest(run, build.snapshot, build.bundles),
        judged=dict(build.validation_models),
    )
    release = digest.named(draft, run.slug)
    place_release(run.artifacts, release, lambda directory: _fill(directory, run, popular, stored))
    each = digest.size / max(sum(lists.values()), 1)
    log.info("release assembled id=%s lists=%s bytes_per_list=%.1f", release.id, lists, each)
    return ReleaseRef(release.id, release.digest, lists)


def shares_of(
    kind: ListKind, parts: Sequence[RankedLists], entities: Mapping[Entity, Entities]
) -> dict[str, dict[str, float]]:
    """Return shares of lists by method and route, of places by source, and the exposure of items.

    For exposure see `exposure_stats`; it is empty without lists.
    """
    total = max(sum(len(p) for p in parts), 1)
    places = max(sum(len(p.item) for p in parts), 1)

    def of(column: str) -> dict[str, float]:
        n = Method.codes()
        counts = sum((np.bincount(getattr(p, column), minlength=n) for p in parts), np.zeros(n, np.int64))
        return {m.value: round(int(counts[m.code]) / total, 6) for m in Method if counts[m.code]}

    sources = {
        s.name: round(sum(int((p.source & s.bit > 0).sum()) for p in parts) / places, 6) for s in registry.sources()
    }
    catalogue = entities[kind.item].items_of(kind)
    return {
        "method": of("method"),
        "route": of("route"),
        "source": {k: v for k, v in sources.items() if v},
        "exposure": exposure_stats(parts, catalogue) if parts else {},
    }


def place_release(artifacts: Artifacts, release: Release, fill: Callable[[Path], None]) -> None:
    """Store a release atomically. `fill` writes the list files; the audience is made from them.

    The manifest gets the sha256 of all files.
    """

    def whole(directory: Path) -> None:
        fill(directory)
        if CATALOGUE in release.bundles:
            _add_audience(artifacts, directory, release)
        files = {p.relative_to(directory).as_posix(): sha256_of(p) for p in sorted(directory.rglob("*.np[yz]"))}
        write_private(directory / MANIFEST, replace(release, files=files).to_json())

    artifacts.place("releases", release.id, whole)


def _add_audience(artifacts: Artifacts, directory: Path, release: Release) -> None:
    """Write who sees each item, and the ids of all rows. So a person who was erased from the lists is in neither."""
    maps = artifacts.open_bundle(CATALOGUE, release.bundles[CATALOGUE]).maps
    save_ids(directory, {e: maps[e.value] for e in Entity})
    for surface in (s for s in Surface if s.value in release.lists):
        shards = (s["index"] for s in release.shards if s["surface"] == surface.value)
        parts = (RankedLists.open(directory / shard_file(surface, index)) for index in shards)
        save_audience(directory, surface, audience_of(parts, len(maps[surface.item.value])))


def _fill(directory: Path, run: Run, popular: Mapping[ListKind, RankedLists], shards: Sequence[ScoredShard]) -> None:
    """Copy the shards, and write each kind's popular list, which serves unseen owners who opted out."""
    for kind in popular:
        (directory / kind.folder).mkdir(mode=0o700)
        for shard in (s for s in shards if s.surface == kind.value):
            shutil.copy(shard_path(run, shard), directory / shard_file(kind, shard.index))
        popular[kind].save(directory / popular_file(kind))


def _popular(kind: ListKind, bundles: Mapping[str, Bundle], settings: Settings) -> RankedLists:
    """Return the list of owners without their own. Nothing is similar to an unknown one."""
    if not isinstance(kind, Surface):
        return RankedLists.nothing(np.array([-1], np.int32))
    recipe = open_recommender(kind, bundles, settings)
    nothing = sparse.csr_matrix((1, len(recipe.catalogue)), dtype=np.float32)
    owner = recipe.unseen_owner(0, nothing, nothing.astype(bool), "", opted_out=True)
    return recommend(recipe, owner, settings.lists.depth)


def store_release(
    artifacts: Artifacts,
    draft: Release,
    slug: str,
    lists: Mapping[_Kind, Sequence[RankedLists]],
    popular: Mapping[_Kind, RankedLists],
) -> Release:
    """Store shards of lists as a release and fill in the draft's derived fields. slug: of the cutoff."""
    digest = ReleaseDigest()
    for kind in sorted(lists, key=attrgetter("code")):
        digest.add_lists(kind, popular[kind], lists[kind])
    draft = replace(
        draft,
        lists={s.value: sum(map(len, parts)) for s, parts in lists.items()},
        shards=[{"surface": s.value, "index": i} for s, parts in lists.items() for i in range(len(parts))],
    )
    release = digest.named(draft, slug)

    def fill(directory: Path) -> None:
        for s, parts in lists.items():
            (directory / s.folder).mkdir(mode=0o700)
            popular[s].save(directory / popular_file(s))
            for i, part in enumerate(parts):
                part.save(directory / shard_file(s, i))

    place_release(artifacts, release, fill)
    return artifacts.release(release.id)
