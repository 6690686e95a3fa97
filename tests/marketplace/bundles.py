"""Fit real bundles on the planted world for tests of later steps."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from models.activity.fit import fit_activity
from models.catalogue.catalogue import catalogue_bundle
from models.content import ContentConfig
from models.content.fit import fit_content
from models.data.bundle import Bundle
from models.data.training_data import MarketState
from models.learned_ranker.fit import RankerRows, fit_learned_ranker
from models.learned_ranker.scorer import LEARNED
from models.popularity import PopularityConfig
from models.popularity.fit import fit_popularity
from models.recommender.candidates import learned_table, wide_candidates
from models.recommender.surface import open_recommender
from models.schema import Surface
from models.stacked_ranker.fit import prior_of
from models.stacked_ranker.scorer import KNOWN, STACKED, TERMS, UNSEEN
from models.two_tower.fit import fit_two_tower
from pipelines.train_ranker.learned import teaching
from tests.marketplace.data import fitted, plan_of
from tests.marketplace.small import small_settings
from tests.marketplace.world import AS_OF_US, world

SMALL = small_settings(
    als_factors=3,
    als_iterations=10,
    two_tower_epochs=5,
    neighbours=20,
    depth=8,
    diversity_places=4,
    trending_days=100,
)


@cache
def planted_bundles() -> dict[str, Bundle]:
    """Fit every base bundle of the planted world with SMALL settings. Do not change the result."""
    w = world()
    events = w.interactions.where(~w.users.opted_out[w.interactions.owner])
    bundles = [
        catalogue_bundle(w.users, w.startups, {"as_of_us": AS_OF_US}),
        fit_popularity(w.users, w.startups, events, AS_OF_US, SMALL.of(PopularityConfig)),
        fit_content(w.user_profiles, w.startup_profiles, events, w.users.ids, w.startups.ids, SMALL.of(ContentConfig)),
        fitted("als", events, SMALL),
        fitted("als_reverse", events, SMALL),
        fitted("item_neighbours", events, SMALL),
        fitted("item_neighbours_reverse", events, SMALL),
        fit_two_tower(events, w.users, w.startups, w.user_profiles, w.startup_profiles, plan_of(SMALL)),
    ]
    return {b.name: replace(b, version="planted") for b in bundles}


@cache
def learned_bundles() -> dict[str, Bundle]:
    """Add activity_v1 and, on every surface, a learned ranker that knows the groups of owners and items."""
    w, bundles = world(), dict(planted_bundles())
    events = w.interactions.where(~w.users.opted_out[w.interactions.owner])
    bundles["activity_v1"] = fit_activity(MarketState(w.users, w.startups, events, AS_OF_US), [])
    arrays: dict[str, np.ndarray] = {}
    about = {}
    for surface in Surface:
        taught = fit_learned_ranker(
            taught_rows(surface, bundles),
            *teaching(SMALL.layered({"ranker_min_positives": 10, "train_threads": 1}, "given")),
        )
        arrays |= {f"{surface.folder}-{name}": array for name, array in taught.arrays.items()}
        about[surface.value] = {**taught.about, "serves": True, "reason": "planted"}
    return {**bundles, LEARNED: Bundle(LEARNED, {"surfaces": about}, arrays, version="planted")}


def mean_bundles() -> dict[str, Bundle]:
    """Add the prior of the stacked ranker. Its mean with the learned ranker serves on every surface."""
    bundles = learned_bundles()
    told = bundles[LEARNED].config["surfaces"]
    half = {"surfaces": {name: {**about, "serves": False} for name, about in told.items()}}
    arrays = {f"{s.folder}-{part}": prior_of(part) for s in Surface for part in (KNOWN, UNSEEN)}
    surfaces = {s.value: {"terms": list(TERMS), "serves": True, "mean": True} for s in Surface}
    stacked = Bundle(STACKED, {"surfaces": surfaces}, arrays, version="prior")
    return {**bundles, LEARNED: replace(bundles[LEARNED], config=half), STACKED: stacked}


def taught_rows(surface: Surface, bundles: dict[str, Bundle]) -> RankerRows:
    """Return every candidate of all owners on a surface, labelled with the right answers."""
    recipe, w = open_recommender(surface, bundles, SMALL), world()
    owners = recipe.batch(recipe.owners.owners_of(surface), w.interactions)
    candidates = wide_candidates(recipe, owners)
    names, features = learned_table(recipe, owners, candidates)
    own = w.group(surface.owner)[owners.row][candidates.owner]
    label = (own == w.group(surface.item)[recipe.catalogue[candidates.item]]).astype(np.int8)
    return RankerRows(names, features, label, candidates.owner)
