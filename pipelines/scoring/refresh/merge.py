"""Old lists and new ones as one release: what nobody's change concerns is carried over byte for byte."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from models.errors import GateClosed, ReleaseIncomplete
from models.nouns.catalogue import CATALOGUE, entities_of
from models.nouns.entities import Entities
from models.nouns.ranked_lists import RankedLists
from models.nouns.release import Release
from models.nouns.release.files import popular_list, release_lists
from models.schema import Entity, Method, Surface
from pipelines.release.assemble import check_erased, check_unique, metadata_version, reach_of, shares_of
from pipelines.release.store import store_release
from pipelines.runs.run import Run

log = logging.getLogger(__name__)
_POPULAR = Method.POPULAR.code
#: So many owners must have lost their personal lists before their share says anything.
ENOUGH = 20


def merged(run: Run, before: Release, bundles: Mapping[str, str], made: Mapping[Surface, RankedLists]) -> Release:
    """Store the release `before` with the lists of `made` in the place of their owners' old ones, or behind them.

    made: owners ascending. Raises ReleaseIncomplete where an owner would have no list or a list repeats an item,
    GateClosed where too many owners would go from a list of their own to the popular one: nothing is stored then.
    """
    entities = entities_of(run.artifacts.open_bundle(CATALOGUE, bundles[CATALOGUE]))
    check_erased(run, entities)
    directory, part = run.artifacts.directory(before.id), len(before.parts) or 1
    lists, shares = {}, dict(before.shares)
    for surface in Surface:
        old = list(release_lists(directory, before, surface))
        new = replace(made[surface], part=np.full(len(made[surface]), part, np.uint16))
        _check_popular(run, surface, RankedLists.concat([*old, new.take(np.zeros(0, np.int64))]), new, entities)
        lists[surface] = _in_place(old, new)
        _check_complete(surface, lists[surface], entities)
        shares[surface.value] = {**shares_of(lists[surface]), "exposure": reach_of(lists[surface], entities, surface)}
    at = datetime.now(UTC).isoformat(timespec="seconds")  # noqa: TID251 a label; no list depends on it
    parts = before.parts or [{"release": before.id, "as_of": before.as_of, "generated_at": before.generated_at}]
    draft = replace(
        before,
        as_of=run.as_of.isoformat(),
        generated_at=at,
        bundles=dict(bundles),
        shares=shares,
        parts=[*parts, {"as_of": run.as_of.isoformat(), "generated_at": at}],
        replaces=before.id,
        code_version=metadata_version(),
        files={},
    )
    popular = {s: popular_list(directory, before, s) for s in Surface}
    return store_release(run.artifacts, draft, run.slug, lists, popular)


def _in_place(old: Sequence[RankedLists], new: RankedLists) -> list[RankedLists]:
    """The shards with the new lists in the place of the old ones; those of new owners are a shard of their own."""
    shards, known = [], np.concatenate([np.zeros(0, np.int32), *(s.owner for s in old)])
    for shard in old:
        both = RankedLists.concat([shard, new])
        place = np.minimum(np.searchsorted(new.owner, shard.owner), max(len(new) - 1, 0))
        again = new.owner[place] == shard.owner if len(new) else np.zeros(len(shard), bool)
        shards.append(both.take(np.where(again, len(shard) + place, np.arange(len(shard)))))
    fresh = np.flatnonzero(~np.isin(new.owner, known))
    return [*shards, new.take(fresh)] if len(fresh) else shards


def _check_complete(surface: Surface, shards: Sequence[RankedLists], entities: Mapping[Entity, Entities]) -> None:
    expected = entities[surface.owner].owners_of(surface)
    owner = np.concatenate([np.zeros(0, np.int32), *(s.owner for s in shards)])
    if not np.array_equal(owner, expected):
        raise ReleaseIncomplete(
            f"{surface}: expected a list for each of {len(expected)} owners in order, got {len(owner)}, "
            f"{len(np.setdiff1d(expected, owner))} owners without one; nothing was stored, build anew"
        )
    for shard in shards:
        check_unique(surface, shard)


def _check_popular(
    run: Run, surface: Surface, old: RankedLists, new: RankedLists, entities: Mapping[Entity, Entities]
) -> None:
    """Whoever had a list of their own should have one still, unless they opted out."""
    place = np.searchsorted(old.owner, new.owner)
    there = place < len(old)
    there[there] = old.owner[place[there]] == new.owner[there]
    personal = there & ~entities[surface.owner].opted_out[new.owner]
    personal[personal] = old.method[place[personal]] != _POPULAR
    lost, most = int((new.method[personal] == _POPULAR).sum()), run.settings.refresh.popular_share
    if lost >= ENOUGH and lost > most * personal.sum():
        raise GateClosed(
            f"{surface}: {lost} of {int(personal.sum())} owners who did something since would go from a list of their "
            f"own to the popular one, {most:.0%} at most ([refresh] popular_share). The live lists stay. See "
            "whether a model of the live release is missing or switched off; a build makes all lists anew"
        )


def changed(before: Release, after: Release) -> dict[str, Any]:
    """What to say of a refresh: by surface how many lists there are now and how many more than before."""
    return {s: {"lists": n, "more": n - before.lists.get(s, 0)} for s, n in after.lists.items()}
