"""Real bundles fitted on the planted world, for tests of what comes after training."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from models.nouns.bundle import Bundle
from models.nouns.catalogue import catalogue_bundle
from models.settings import Settings
from models.training.als import fit_als
from models.training.content import fit_content
from models.training.neighbours import fit_neighbours
from models.training.popularity import fit_popularity
from models.training.towers.two_tower import fit_two_tower
from tests.planted.world import AS_OF_US, world

SMALL = Settings(als_factors=3, als_iterations=10, content_dimensions=8, two_tower_dimensions=8, two_tower_epochs=5,
                 neighbours=20, depth=8, diversity_places=4, trending_days=100)


@cache
def planted_bundles() -> dict[str, Bundle]:
    """Every base bundle of the planted world, with SMALL settings; do not change what it holds."""
    w = world()
    events = w.interactions.where(~w.users.opted_out[w.interactions.owner])
    bundles = [
        catalogue_bundle(w.users, w.startups, {"as_of_us": AS_OF_US}),
        fit_popularity(w.users, w.startups, events, AS_OF_US, SMALL),
        fit_content(w.user_profiles, w.startup_profiles, events, w.users.ids, w.startups.ids, SMALL),
        fit_als("als_v1", events, SMALL),
        fit_als("als_reverse_v1", events.transposed(), SMALL),
        fit_neighbours("item_neighbours_v1", events, SMALL),
        fit_neighbours("item_neighbours_reverse_v1", events.transposed(), SMALL),
        fit_two_tower(events, w.users, w.startups, w.user_profiles, w.startup_profiles, SMALL),
    ]
    return {b.name: replace(b, version="planted") for b in bundles}
