"""Open the models of one release for every surface, and compute one owner's list with them."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from models.data.batch import Owners
from models.data.bundle import Bundle
from models.data.entities import IdMap
from models.data.interactions import Interactions, Pairs
from models.data.mapped import return_freed_memory
from models.data.profile_text import text_of
from models.errors import BundleError, MatchbookError, ServiceError
from models.experiments import arms_on
from models.lists.ranked_lists import RankedLists
from models.object_storage import download
from models.recommender.recommend import recommend
from models.recommender.similar import SimilarRecommender, open_similar
from models.recommender.surface import SurfaceRecommender, open_bundles, open_recommender, ways_of, with_settings
from models.schema import Similar, Surface
from models.settings.idle import idle_line
from models.settings.settings import Settings
from serving import counters
from serving.clients.postgres import OwnerRecord
from serving.live.shared_arrays import SharedArrays
from serving.releases import HeldRelease

log = logging.getLogger("matchbook.reader")


@dataclass(frozen=True, eq=False)
class Recipes:
    """The models of one release. trouble: the error of models that cannot be opened, or empty.

    arms: the models and settings of owners by surface, experiment and arm.
    """

    release: str
    by_surface: Mapping[Surface, SurfaceRecommender] = field(default_factory=dict)
    similar: Mapping[Similar, SimilarRecommender] = field(default_factory=dict)
    trouble: str = ""
    arms: Mapping[tuple[Surface, str, str], SurfaceRecommender] = field(default_factory=dict)


def open_recipes(settings: Settings, held: HeldRelease) -> Recipes:
    """Open the bundles of a release and align them for every surface. Skip and report those that fail.

    Never raises. Without the catalogue or popularity no models open and the popular list is served (P09, B09).
    """
    shared = SharedArrays(counters.used(), held.id)
    with shared.opening():
        found = _opened(settings, held, shared)
    return_freed_memory()
    return found


def _opened(settings: Settings, held: HeldRelease, shared: SharedArrays) -> Recipes:
    started = time.perf_counter()
    recorded = held.live_settings
    bundles: dict[str, Bundle] = {}
    troubles = []
    for name, version in held.release.bundles.items():
        try:
            download(settings, f"bundles/{name}/{version}")
            bundles |= open_bundles(settings.artifacts, {name: version}, recorded)
            log.info("model loaded: %s %s", name, bundles[name].version)
        except (BundleError, ServiceError, OSError) as error:
            troubles.append(str(error))
            log.error("model not loaded: %s %s: %s", name, version, error)
    try:
        recipes = {s: open_recommender(s, bundles, recorded, shared.keep) for s in Surface}
        similar = {kind: open_similar(kind, bundles, recorded) for kind in Similar}
    except (MatchbookError, LookupError, ValueError) as error:
        log.error("no list can be computed live from release %s: %s", held.id, error, exc_info=not troubles)
        return Recipes(held.id, trouble="; ".join(troubles) or f"the models of release {held.id} do not fit together")
    arms = {
        (s, e.name, arm.name): with_settings(recipes[s], bundles, arm.apply(recorded))
        for s in Surface
        for e, arm in arms_on(held.experiments, s)
    }
    shared.forget_pages(bundles.values())
    log.info("models of release %s are open after %.2f s", held.id, time.perf_counter() - started)
    log.info("release %s: %s", held.id, idle_line(ways_of([*recipes.values(), *arms.values()])))
    return Recipes(held.id, recipes, similar, "; ".join(troubles), arms)


def list_of_one(recipe: SurfaceRecommender, owner: str, record: OwnerRecord) -> RankedLists:
    """Compute the list of one owner, after folding in their events since the build."""
    folded, owners = folded_for(recipe, owner, record)
    return recommend(folded, owners, recipe.settings.lists.depth)


def similar_to_one(recipe: SimilarRecommender, owner: str, record: OwnerRecord) -> RankedLists:
    """Compute the similar list of one entity: as the build does, or for a newcomer by the profile alone."""
    count, row = record.count(recipe.kind.owner), recipe.entities.ids.rows_of([owner]).astype(np.int32)
    if record.opted_out:
        return RankedLists.nothing(row, count)
    if row[0] >= 0:
        return recipe.lists(row)
    return recipe.newcomer(record.role, text_of(recipe.entities.known_fields(record.profile)), count)


def folded_for(recipe: SurfaceRecommender, owner: str, record: OwnerRecord) -> tuple[SurfaceRecommender, Owners]:
    """Return the models and the owner as a batch of one, both with the events since the cutoff folded in."""
    events = _events(recipe, owner, record)
    owners = _batch(recipe, owner, record, events)
    return recipe.with_fold_in(owners, events), owners


def _events(recipe: SurfaceRecommender, owner: str, record: OwnerRecord) -> Interactions:
    """Return the owner's events and dismissals with items of the release."""
    place = recipe.items.ids.rows_of(record.item)
    there = place >= 0
    gone = recipe.items.ids.rows_of(list(record.dismissed))
    dismissed = Pairs(np.zeros(len(gone), np.int32), gone, np.array(list(record.dismissed.values()), np.int64))
    return Interactions(
        IdMap.from_ids([owner]),
        recipe.items.ids,
        np.zeros(int(there.sum()), np.int32),
        place[there],
        record.kind[there],
        record.at[there],
        dismissed.where(gone >= 0),
    )


def _batch(recipe: SurfaceRecommender, owner: str, record: OwnerRecord, events: Interactions) -> Owners:
    row = int(recipe.owners.ids.rows_of([owner])[0])
    own = recipe.items.ids.rows_of(record.own)
    barred = events.barred(recipe.settings.lists.views_are_seen).tolil()
    barred[0, own[own >= 0]] = True
    return recipe.unseen_owner(
        record.count(recipe.surface.owner),
        events.csr()[:, recipe.catalogue].tocsr(),
        barred.tocsr()[:, recipe.catalogue].tocsr(),
        text_of(recipe.owners.known_fields(record.profile)),
        record.opted_out,
        row,
        events,
    )
