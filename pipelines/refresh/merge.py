"""Rescore affected owners and merge their lists with the old ones. Unaffected lists keep their bytes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import registry
from models.catalogue.catalogue import CATALOGUE, catalogue_bundle, entities_of
from models.catalogue.directory import extended_columns
from models.content import CONTENT_BASED
from models.data.bundle import Bundle
from models.data.entities import Entities
from models.data.interactions import Interactions
from models.data.training_data import Newcomers
from models.errors import GateClosed
from models.lists.ranked_lists import RankedLists
from models.lists.release import Release, popular_list, release_lists
from models.recommender.recommend import CHUNK
from models.recommender.similar import open_similar
from models.recommender.surface import SurfaceRecommender
from models.schema import Entity, ListKind, Method, Similar, Surface
from models.settings.settings import Settings
from models.spec import function
from pipelines.erased import check_erased
from pipelines.postgres import engine, rows
from pipelines.publish.assemble import shares_of, store_release
from pipelines.refresh.changes import Changes
from pipelines.run.run import Run, code_version
from pipelines.score.fast_product import with_fastest_product
from pipelines.score.shards import check_lists, score_arms, similar_lists

log = logging.getLogger(__name__)
_POPULAR = Method.POPULAR.code
#: The share of losses is checked once this many owners lose their personal lists.
ENOUGH = 20


def merged(run: Run, before: Release, bundles: Mapping[str, str], made: Mapping[ListKind, RankedLists]) -> Release:
    """Store the release `before` with the lists in `made` replaced or added.

    made: owners ascending. Raises ReleaseIncomplete if an owner has no list or a list repeats an item, GateClosed if
    too many owners lose a personal list; then nothing is stored.
    """
    entities = entities_of(run.artifacts.open_bundle(CATALOGUE, bundles[CATALOGUE]))
    check_erased(run.settings, entities)
    directory, part = run.artifacts.directory(before.id), len(before.parts) or 1
    lists, shares = {}, dict(before.shares)
    for kind in before.kinds:
        old = list(release_lists(directory, before, kind))
        new = replace(made[kind], part=np.full(len(made[kind]), part, np.uint16))
        if isinstance(kind, Surface):
            _check_popular(run, kind, RankedLists.concat([*old, new.take(np.zeros(0, np.int64))]), new, entities)
        lists[kind] = _in_place(old, new)
        check_lists(kind, lists[kind], entities)
        shares[kind.value] = shares_of(kind, lists[kind], entities)
    at = datetime.now(UTC).isoformat(timespec="seconds")  # noqa: TID251 a label; no list depends on it
    built = {
        "release": before.id,
        "as_of": before.as_of,
        "generated_at": before.generated_at,
        "bundles": dict(before.bundles),
        "code_version": before.code_version,
    }
    added = {
        "as_of": run.as_of.isoformat(),
        "generated_at": at,
        "bundles": {name: v for name, v in bundles.items() if v != before.bundles.get(name)},
        "code_version": code_version(),
    }
    draft = replace(
        before,
        as_of=run.as_of.isoformat(),
        generated_at=at,
        bundles=dict(bundles),
        shares=shares,
        parts=[*(before.parts or [built]), added],
        replaces=before.id,
        code_version=code_version(),
        files={},
    )
    popular = {kind: popular_list(directory, before, kind) for kind in before.kinds}
    return store_release(run.artifacts, draft, run.slug, lists, popular)


def _in_place(old: Sequence[RankedLists], new: RankedLists) -> list[RankedLists]:
    """Return the shards with new lists in place of old ones; lists of new owners form their own shard."""
    shards, known = [], np.concatenate([np.zeros(0, np.int32), *(s.owner for s in old)])
    for shard in old:
        both = RankedLists.concat([shard, new])
        place = np.minimum(np.searchsorted(new.owner, shard.owner), max(len(new) - 1, 0))
        again = new.owner[place] == shard.owner if len(new) else np.zeros(len(shard), bool)
        shards.append(both.take(np.where(again, len(shard) + place, np.arange(len(shard)))))
    fresh = np.flatnonzero(~np.isin(new.owner, known))
    return [*shards, new.take(fresh)] if len(fresh) else shards


def _check_popular(
    run: Run, surface: Surface, old: RankedLists, new: RankedLists, entities: Mapping[Entity, Entities]
) -> None:
    """Raise GateClosed if too many owners lose their personal lists. Opted-out people do not count."""
    place = np.searchsorted(old.owner, new.owner)
    there = place < len(old)
    there[there] = old.owner[place[there]] == new.owner[there]
    personal = there & ~entities[surface.owner].opted_out[new.owner]
    personal[personal] = old.method[place[personal]] != _POPULAR
    lost, most = int((new.method[personal] == _POPULAR).sum()), run.settings.refresh.popular_share
    if lost >= ENOUGH and lost > most * personal.sum():
        raise GateClosed(
            f"{surface}: {lost} of {int(personal.sum())} owners with new events would change from a personal "
            f"list to the popular one; the limit is {most:.0%} ([refresh] popular_share). The live lists stay. Check "
            "whether a model of the live release is missing or disabled, or start a build, which makes all lists"
        )


def changed(before: Release, after: Release) -> dict[str, dict[str, int]]:
    """Return the number of lists by surface, and its increase."""
    return {s: {"lists": n, "more": n - before.lists.get(s, 0)} for s, n in after.lists.items()}


@dataclass(frozen=True, eq=False)
class OwnersToRescore:
    """The owners to rescore.

    rows: by kind, (n,) int32 entity rows, ascending.
    events: all before the refresh's cutoff, users as owners.
    text: by kind, (n,) str objects: profile text of entities newer than the build, else blank.
    known: by kind, the number of rows in the refreshed release.
    """

    rows: Mapping[Entity, NDArray[np.int32]]
    events: Interactions
    text: Mapping[Entity, NDArray[np.object_]]
    known: Mapping[Entity, int]


def rescore(
    recipe: SurfaceRecommender, bundles: Mapping[str, Bundle], again: OwnersToRescore, reach: int
) -> tuple[RankedLists, int]:
    """Return a surface's new lists, owners ascending, each made by its owner's arm.

    Also returns how many of these owners are affected only by new items. reach: a new item enters the list of an owner
    without new events if content ranks it among the `reach` best; 0: never.
    """
    side = recipe.surface.owner
    everybody = recipe.owners.owners_of(recipe.surface)
    mine = np.intersect1d(everybody, again.rows[side]).astype(np.int32)
    rows, reached = mine, 0
    if reach and (recipe.catalogue >= again.known[recipe.surface.item]).any():
        others = _close_to_newcomers(recipe, np.setdiff1d(everybody, mine).astype(np.int32), again, reach)
        rows, reached = np.union1d(mine, others).astype(np.int32), len(others)
    owners = recipe.batch(rows, again.events, again.text[side][rows].tolist())
    events = again.events if side is Entity.USER else again.events.transposed()
    caught_up = recipe.with_new_interactions(owners, events.where(np.isin(events.owner, rows)))
    return score_arms(with_fastest_product(caught_up, len(rows)), bundles, owners), reached


def similar_again(
    kind: ListKind, bundles: Mapping[str, Bundle], settings: Settings, again: OwnersToRescore
) -> RankedLists:
    """Return the similar lists of newcomers, by content, and of all others with changes, owners ascending.

    Lists of unchanged owners keep their bytes until the next build, so newcomers are not in them yet.
    """
    assert isinstance(kind, Similar)
    recipe = open_similar(kind, bundles, settings)
    rows = np.intersect1d(recipe.entities.owners_of(kind), again.rows[kind.owner]).astype(np.int32)
    return similar_lists(recipe, rows, settings.threads)


def _close_to_newcomers(
    recipe: SurfaceRecommender, rows: NDArray[np.int32], again: OwnersToRescore, reach: int
) -> NDArray[np.int32]:
    """Return the `rows` with a new item among their best items by content."""
    content = recipe.scorers.get(CONTENT_BASED)
    rows = rows[~recipe.owners.opted_out[rows]]
    if content is None or not len(rows):
        return rows[:0]
    owners, found = recipe.batch(rows, again.events), np.zeros(len(rows), bool)
    new = recipe.catalogue >= again.known[recipe.surface.item]
    for start in range(0, len(rows), CHUNK):
        proposal = content.propose(owners.part(start, start + CHUNK), reach)
        found[start + proposal.owner[new[proposal.item]]] = True
    return rows[found]


def extend_bundles(run: Run, versions: Mapping[str, str], changes: Changes) -> dict[str, str]:
    """Store the current catalogue and the bundles that need a row for each entity; return all versions.

    versions: of the refreshed release. The catalogue's `as_of_us` stays the build's cutoff, which its models have;
    `refreshed_us` is the refresh's cutoff.
    """
    before = run.artifacts.open_bundle(CATALOGUE, versions[CATALOGUE])
    users, startups = (changes.entities[e] for e in (Entity.USER, Entity.STARTUP))
    config = {k: v for k, v in before.config.items() if k != "labels"} | {"refreshed_us": run.as_of_us}
    catalogue = catalogue_bundle(users, startups, config)
    found = {CATALOGUE: replace(catalogue, arrays={**catalogue.arrays, **_words(run, before, changes)})}
    if any(changes.new.values()):
        texts = {entity: [a.text for a in new] for entity, new in changes.new.items()}
        newcomers = Newcomers(changes.entities, texts, changes.events, run.as_of_us)
        for spec in registry.MODELS:
            if spec.extend and spec.bundle in versions:
                bundle = run.artifacts.open_bundle(spec.bundle, versions[spec.bundle])
                found[spec.bundle] = function(spec.extend)(bundle, newcomers)
    return {**versions, **{name: run.artifacts.store_bundle(b, run.slug) for name, b in found.items()}}


def _words(run: Run, before: Bundle, changes: Changes) -> dict[str, NDArray[Any]]:
    """Return the catalogue's arrays for finding by name, with the names of new entities."""
    found: dict[str, NDArray[Any]] = {}
    for entity, new in changes.new.items():
        ids = [arrival.id for arrival in new]
        names = {str(r.id): r.name for r in rows(engine(run.settings), f"owner/{entity}_names", ids=ids)} if ids else {}
        named = [names.get(id, "") for id in ids]
        found |= extended_columns(before, entity, named, len(changes.entities[entity]))
    return found
