"""Check the contract of every model and ranker. A model's test class inherits it and names its spec."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import registry
from models.data.batch import Owners
from models.data.bundle import Bundle, open_bundle, write_bundle
from models.data.interactions import Interactions
from models.popularity import POPULAR
from models.ranker import RankerConfig
from models.recommender.surface import SurfaceRecommender, open_recommender
from models.schema import Entity, Surface
from models.scoring.scorer import RankerAsked, Scorer
from models.sentences import sentences
from models.setting import rules
from models.settings.settings import Settings
from models.spec import ModelSpec, Source, function
from pipelines.erase.files import without
from pipelines.erased import Person
from tests.marketplace.data import fitted
from tests.marketplace.small import small_settings
from tests.marketplace.world import world
from tests.models.scorer_contract import ScorerContract, all_pairs, lists_of

Fit = Callable[[Interactions, Settings], Bundle]
#: Fast to fit. Dimensions equal planted groups: with more, ALS would learn the removed cells.
SMALL = small_settings(
    als_factors=3,
    als_iterations=15,
    als_alpha=2.0,
    two_tower_epochs=10,
    two_tower_dimensions=16,
    two_tower_batch=32,
    two_tower_learning_rate=0.01,
    neighbours=8,
)


def first_choices(owner_vectors: np.ndarray, item_vectors: np.ndarray, met: np.ndarray) -> np.ndarray:
    """Return each owner's best item without interaction by dot product, (owners,)."""
    return np.asarray(np.where(met, -np.inf, owner_vectors @ item_vectors.T).argmax(axis=1))


def vectors(bundle: Bundle, side: str, entity: Entity) -> np.ndarray:
    """Return a bundle's factors by entity row of the planted world. Unknown rows are zero."""
    factors = bundle.arrays[f"{side}_factors"]
    ids = world().entities(entity).ids
    found = np.zeros((len(ids), factors.shape[1]), np.float32)
    found[ids.rows_of(bundle.maps[side].ids)] = factors
    return found


@cache
def once(name: str, settings: Settings) -> Bundle:
    """Fit a base model of the planted world. Do not change the result."""
    return fitted(name, settings=settings)


class ModelContract:
    """Subclasses give `spec` of a base model and, where SMALL is not enough, `settings`."""

    spec: ModelSpec
    settings: Settings = SMALL

    @pytest.fixture
    def fit(self) -> Fit:
        """Return the function that makes a bundle from interactions (users x startups) and settings."""
        return lambda interactions, settings: fitted(self.spec.name, interactions, settings)

    @pytest.fixture
    def bundle(self) -> Bundle:
        return once(self.spec.name, self.settings)

    def test_what_it_declares_is_there(self) -> None:
        for text in (self.spec.fit, self.spec.scorer, self.spec.fold_in, self.spec.extend, self.spec.forget):
            assert not text or callable(function(text)), text
        assert self.spec.title and self.spec.arrays and self.spec.rows
        assert bool(self.spec.scorer) <= bool(self.spec.source)

    def test_fitted_twice_is_the_same_to_the_byte(self, fit: Fit) -> None:
        assert fit(world().interactions, self.settings).digest() == fit(world().interactions, self.settings).digest()

    def test_threads_make_no_difference(self, fit: Fit) -> None:
        one, two = (fit(world().interactions, replace(self.settings, train_threads=n)) for n in (1, 2))
        assert one.digest() == two.digest()

    def test_order_of_events_makes_no_difference(self, fit: Fit) -> None:
        events = world().interactions
        mixed = events.where(np.random.default_rng(3).permutation(len(events)))
        assert fit(mixed, self.settings).digest() == fit(events, self.settings).digest()

    def test_arrays_are_finite_and_as_long_as_their_maps(self, bundle: Bundle) -> None:
        numbers = {k: a for k, a in bundle.arrays.items() if a.dtype.kind == "f"}
        assert all(np.isfinite(a).all() for a in numbers.values())
        if self.spec.source:
            assert numbers and all(a.dtype == np.float32 for a in numbers.values())
        for name, ids in bundle.maps.items():
            words = f"{name}_word"  # a table with rows of its own
            mine = [a for k, a in bundle.arrays.items() if k.startswith(f"{name}_") and not k.startswith(words)]
            assert all(len(a) == len(ids) for a in mine)

    def test_it_survives_being_stored(self, bundle: Bundle, tmp_path: Path) -> None:
        write_bundle(bundle, tmp_path)
        assert open_bundle(self.spec.bundle, tmp_path).digest() == bundle.digest()

    def test_the_config_names_its_rows(self, bundle: Bundle) -> None:
        config = bundle.config
        assert config["rows"] == len(world().interactions) and json.dumps(dict(config))

    def test_erased_users_are_in_no_map(self, bundle: Bundle) -> None:
        person = Person(str(world().users.ids.ids[0]), "mark")
        left = without(bundle, person)
        assert left is None or all((ids.rows_of([person.id]) < 0).all() for ids in left.maps.values())

    def test_what_it_proposes_for(self, bundle: Bundle) -> None:
        """A model proposes only on the surfaces of its owners, keeps the contract of a source, and can be disabled."""
        source = self.spec.source
        for surface in Surface if self.spec.scorer and source else ():
            recipe = self.recipe(surface, bundle, self.settings)
            assert (source in recipe.scorers) == (surface.owner in self.spec.owners)
            if source is not None and surface.owner in self.spec.owners:
                _Promises().kept(recipe.scorers[source], world().owners(surface, strangers=1))
                assert (self.spec.source in [s for s, _ in _weighted(recipe)]) <= self.spec.demand_weighted
                for path in self.spec.switch:
                    changed: dict[str, Any] = {path.rpartition(".")[2]: False}
                    off = self.settings.layered(changed, "given")
                    assert self.spec.source not in self.recipe(surface, bundle, off).scorers

    def test_it_folds_in_what_came_since(self, bundle: Bundle) -> None:
        if self.spec.fold_in:
            recipes = [self.recipe(s, bundle, self.settings) for s in Surface if s.owner in self.spec.owners]
            assert any(self.spec.source in recipe.folds for recipe in recipes)

    def test_it_has_words_for_people_and_founders(self) -> None:
        source = self.spec.source
        if source is not None:
            assert source.label
            for side in (False, True):
                assert sentences(source.code << 24, source.bit, side, 0, {}, {}) == [source.reason[side]]

    def recipe(self, surface: Surface, bundle: Bundle, settings: Settings) -> SurfaceRecommender:
        """Return the lists of this model alone."""
        facts = {name: once(name, SMALL) for name in registry.required()}
        return open_recommender(surface, {**facts, bundle.name: bundle}, settings)


class _Promises(ScorerContract):
    """Checks the contract of a source without other knowledge of it."""

    def kept(self, scorer: Scorer, owners: Owners) -> None:
        self.test_single_equals_batch(scorer, owners)
        self.test_order_of_owners_does_not_matter(scorer, owners)
        self.test_best_of_all_pairs(scorer, owners)
        self.test_asked_for_more_than_exists(scorer, owners)
        self.test_barred_is_never_proposed(scorer, owners)
        self.test_everything_barred_is_an_empty_list(scorer, owners)
        self.test_no_owners(scorer, owners)
        self.test_types(scorer, owners)
        stranger = len(owners) - 1
        assert not lists_of(scorer.propose(owners, self.K))[stranger], "it must abstain for owners that it cannot know"
        scores = scorer.score(owners, all_pairs(owners)).reshape(len(owners), -1)
        assert np.isnan(scores[stranger]).all() and not np.isnan(scores).all()

    def may_stop_early(self, scores: np.ndarray) -> bool:
        return True


def _weighted(recipe: SurfaceRecommender) -> list[tuple[Source, Scorer]]:
    return [(s, scorer) for s, scorer in recipe.wanted if s is not POPULAR]


class RankerContract:
    """Subclasses give `spec` of a ranker, `bundles` of a release with it, and `features` (n, f) float32."""

    spec: ModelSpec

    @pytest.fixture
    def bundles(self) -> Mapping[str, Bundle]:
        raise NotImplementedError

    @pytest.fixture
    def features(self) -> np.ndarray:
        raise NotImplementedError

    @pytest.fixture
    def ranker(self, bundles: Mapping[str, Bundle]) -> Any:
        found = self.opened(bundles)
        assert found is not None and found.name == self.spec.kind
        return found

    def opened(self, bundles: Mapping[str, Bundle]) -> Any:
        surface = Surface.STARTUPS_FOR_DEVELOPER
        asked = RankerAsked(surface, bundles.get(self.spec.bundle), bundles, True, True, frozenset())
        return function(self.spec.scorer)(asked, Settings().table(self.spec.table_name))

    def test_without_its_bundle_it_does_not_serve(self) -> None:
        assert (self.opened({}) is None) == bool(self.spec.bundle)

    def test_settings_ask_for_it_by_name(self) -> None:
        assert self.spec.kind in rules(RankerConfig)["kind"].choices

    def test_scores_lie_between_0_and_1(self, ranker: Any, features: np.ndarray) -> None:
        score = ranker.score(features)
        assert score.shape == (len(features),) and score.dtype == np.float32
        assert ((score >= 0) & (score <= 1)).all() and len(np.unique(score)) > 1

    def test_order_of_candidates_does_not_matter(self, ranker: Any, features: np.ndarray) -> None:
        order = np.random.default_rng(2).permutation(len(features))
        assert ranker.score(features[order]) == pytest.approx(ranker.score(features)[order], abs=1e-6)

    def test_equal_features_score_equally(self, ranker: Any, features: np.ndarray) -> None:
        twins = np.concatenate([features[:1]] * 3)
        assert len(np.unique(ranker.score(twins))) == 1
