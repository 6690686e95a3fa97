"""What every trainer of a base model promises; a trainer's test class subclasses it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.nouns.bundle import Bundle, open_bundle, write_bundle
from models.nouns.interactions import Interactions
from models.schema import Entity
from models.settings import Settings
from tests.planted.world import world

Fit = Callable[[Interactions, Settings], Bundle]
#: Quick to fit. As many dimensions as planted groups: with more, ALS learns the holes they were planted with.
SMALL = Settings(
    als_factors=3,
    als_iterations=15,
    als_alpha=2.0,
    content_dimensions=8,
    two_tower_dimensions=16,
    two_tower_batch=32,
    two_tower_learning_rate=0.01,
    neighbours=8,
)


def first_choices(owner_vectors: np.ndarray, item_vectors: np.ndarray, met: np.ndarray) -> np.ndarray:
    """(owners,) the best item of each owner by dot product that the owner has not met."""
    return np.asarray(np.where(met, -np.inf, owner_vectors @ item_vectors.T).argmax(axis=1))


def vectors(bundle: Bundle, side: str, entity: Entity) -> np.ndarray:
    """A bundle's factors by entity row of the planted world, zero where it does not know one."""
    factors = bundle.arrays[f"{side}_factors"]
    ids = world().entities(entity).ids
    found = np.zeros((len(ids), factors.shape[1]), np.float32)
    found[ids.rows_of(bundle.maps[side].ids)] = factors
    return found


class TrainerContract:
    """Subclasses give `fit`: from interactions (users x startups) and settings to a bundle."""

    @pytest.fixture
    def fit(self) -> Fit:
        raise NotImplementedError

    def test_fitted_twice_is_the_same_to_the_byte(self, fit: Fit) -> None:
        assert fit(world().interactions, SMALL).digest() == fit(world().interactions, SMALL).digest()

    def test_threads_make_no_difference(self, fit: Fit) -> None:
        one, two = (fit(world().interactions, replace(SMALL, train_threads=n)) for n in (1, 2))
        assert one.digest() == two.digest()

    def test_order_of_events_makes_no_difference(self, fit: Fit) -> None:
        events = world().interactions
        mixed = events.where(np.random.default_rng(3).permutation(len(events)))
        assert fit(mixed, SMALL).digest() == fit(events, SMALL).digest()

    def test_arrays_are_finite_and_as_long_as_their_maps(self, fit: Fit) -> None:
        bundle = fit(world().interactions, SMALL)
        numbers = {k: a for k, a in bundle.arrays.items() if a.dtype.kind == "f"}
        assert numbers and all(np.isfinite(a).all() and a.dtype == np.float32 for a in numbers.values())
        for name, ids in bundle.maps.items():
            mine = [a for k, a in bundle.arrays.items() if k.startswith(f"{name}_")]
            assert all(len(a) == len(ids) for a in mine)

    def test_it_survives_being_stored(self, fit: Fit, tmp_path: Path) -> None:
        bundle = fit(world().interactions, SMALL)
        write_bundle(bundle, tmp_path)
        assert open_bundle(bundle.name, tmp_path).digest() == bundle.digest()

    def test_the_config_names_its_rows(self, fit: Fit) -> None:
        config = fit(world().interactions, SMALL).config
        assert config["rows"] == len(world().interactions) and json.dumps(dict(config))
