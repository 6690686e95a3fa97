"""Build lists with and without each setting: exactly the declared settings have no effect."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.data.bundle import Bundle
from models.experiments import read_experiments
from models.lists.ranked_lists import RankedLists
from models.mlp_ranker.scorer import MlpRanker
from models.ranker import RankerConfig
from models.recommender.exposure import apply_cap, caps_of
from models.recommender.surface import open_recommender, serving_rankers, with_settings
from models.schema import Surface
from models.setting import Phase
from models.settings.declared import DECLARED, Declared
from models.settings.idle import reason
from models.settings.modes import MODES, SEED, SETTINGS
from models.settings.settings import Settings
from pipelines.export.snapshot import Snapshot
from pipelines.run.run import Run
from pipelines.score.shards import score_owners
from pipelines.train.holdout import Holdout
from pipelines.train_ranker import second_stage
from tests.models.settings.values import another

#: Two lists of each kind that may show a change.
SURFACES = (Surface.STARTUPS_FOR_INVESTOR, Surface.DEVELOPERS_FOR_STARTUP)
TABLES = ("ranking", "routing", "lists", "ensemble", "ranker", "rules", "holdout")
#: Paths, and the share of events that also decides which columns a snapshot withholds.
NOT_HERE = ("als_model_path", "two_tower_model_path", "holdout_share")
SMALL: dict[str, Any] = {"ranker_cuts": 2, "ranker_epochs": 2, "ranker_candidates": 30, "blend": "weighted"}
#: By name: the settings with which declarations are tested.
WAYS: dict[str, dict[str, Any]] = {
    "learned": {"ranker": "learned"},
    "learned, diverse": {"ranker": "learned", "diversity_weight": 0.3},
    "mlp": {"ranker": "mlp"},
    "rules": {"ranker": "rules"},
    "rules, reciprocal ranks": {"ranker": "rules", "blend": "rrf"},
    "rules, profile": {"ranker": "rules", "blend_profile": "equal"},
    "off": {"ranker": "off"},
    "no ALS": {"ranker": "rules", "enable_als": False},
    SEED: {"ranking_mode": SEED},
}
#: Values that show an effect if there is one.
TELLING: dict[str, Any] = {
    "cold_start_threshold": 30,
    "warm_user_threshold": 40,
    "depth": 12,
    "candidate_multiplier": 1.0,
    "exposure_cap": 1.0,
    "blend": "rrf",
    "blend_profile": "semantic",
    "ensemble_als_weight": 0.1,
    "ranker_cuts": 1,
    "ranker_candidates": 10,
    "diversity_weight": 0.6,
    "diversity_places": 3,
    "ranker_epochs": 1,
    "ranker_batch": 16,
    "ranker_learning_rate": 0.05,
    "ranker_min_positives": 1_000_000,
    "rule_model_weight": 5.0,
    "rule_recency_weight": 5.0,
    "rule_popularity_weight": 5.0,
    "rule_diversity_weight": 5.0,
    "recency_days": 300.0,
    "holdout_owners": 10,
}
RANKING = [d for d in DECLARED.values() if d.table in TABLES and d.flat not in NOT_HERE]
Lists = dict[Surface, RankedLists]


class Town:
    """The planted market, built with any settings."""

    def __init__(self, run: Run, snapshot: Snapshot, holdout: Holdout) -> None:
        self._run, self._snapshot, self._holdout = run, snapshot, holdout
        self._built: dict[str, Mapping[str, Bundle]] = {}

    def settings(self, way: str, **changes: Any) -> Settings:
        return self._run.settings.layered({**SMALL, **WAYS[way], **changes}, "given")

    def build(self, settings: Settings) -> Mapping[str, Bundle]:
        """Return the bundles of a build, fitted again for other settings."""
        if settings.digest() not in self._built:
            run = replace(self._run, settings=settings)
            refs = second_stage.train_ranker(run, run.reference(snapshot=self._snapshot.name))
            fitted = {r.name: run.artifacts.open_bundle(r.name, r.version) for r in refs if r.version}
            self._built[settings.digest()] = {**self._holdout.bundles, **fitted}
        return self._built[settings.digest()]

    def lists(self, settings: Settings, bundles: Mapping[str, Bundle]) -> Lists:
        found = {}
        for surface in SURFACES:
            recipe = open_recommender(surface, bundles, settings)
            owners = recipe.batch(recipe.owners.owners_of(surface), self._holdout.before)
            lists = score_owners(recipe, owners)
            cap = settings.lists.exposure_cap
            most = caps_of(cap, lists, recipe.catalogue, recipe.items.count)
            found[surface] = apply_cap(lists, most) if cap > 0 else lists
        return found


@pytest.fixture(scope="module")
def town(planted_run: Run, planted: Snapshot, holdout: Holdout) -> Iterator[Town]:
    """Build without comparing the network with the rules: it serves whenever it can be fitted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Snapshot, "open", classmethod(lambda cls, path: planted))
        patch.setattr(second_stage, "_seed_network", lambda *_: None)
        patch.setattr(second_stage, "cross_fitted", lambda *_: None)
        patch.setattr(second_stage, "_passed", lambda _, bundle, __: bundle)
        yield Town(planted_run, planted, holdout)


def telling(d: Declared, settings: Settings) -> Any:
    """Return a value that differs from the present one."""
    if d.flat == "ranker":
        return "rules" if settings.of(RankerConfig).kind != "rules" else "off"
    if d.flat == "ranking_mode":
        return SETTINGS if settings.ranking.mode == SEED else SEED
    wanted = TELLING.get(d.flat, another(d))
    return wanted if settings.value(d.flat) != wanted else d.default


def same(one: Lists, other: Lists) -> bool:
    return all(
        all(np.array_equal(a, b) for a, b in zip(vars(one[s]).values(), vars(other[s]).values(), strict=True))
        for s in SURFACES
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.slow
def test_a_setting_has_no_effect_exactly_where_declared(way: str, town: Town) -> None:
    """A way with a comma scores with the models of the way before it, where fitting settings are tested."""
    settings, fits = town.settings(way), "," not in way
    bundles = town.build(settings if fits else town.settings(way.partition(",")[0]))
    kinds = serving_rankers(bundles, settings)
    assert kinds == {settings.of(RankerConfig).kind}, "the ranker of this way serves everywhere"
    before = town.lists(settings, bundles)
    idle = {d.flat: reason(d, settings, kinds) for d in RANKING}

    nothing = {d.flat: telling(d, settings) for d in RANKING if idle[d.flat]}
    assert len(nothing) > 3
    changed = settings.layered(nothing, "given")
    after = town.lists(changed, town.build(changed) if fits else bundles)
    assert same(after, before), f"one of {list(nothing)} has an effect"

    for d in (d for d in RANKING if not idle[d.flat]):
        other = settings.layered({d.flat: telling(d, settings)}, "given")
        differs = not same(town.lists(other, bundles), before)
        if not differs and d.rule.phase is not Phase.SERVE:
            differs = not fits or not same(town.lists(other, town.build(other)), before)
        assert differs, f"{d.name} has no effect in the way {way!r}, and does not say so"


def test_the_required_mode_has_its_settings_one_by_one(town: Town) -> None:
    mode, single = town.settings(SEED), town.settings("mlp", **MODES[SEED])
    assert mode.without_mode() == single
    bundles = town.build(mode)
    assert same(town.lists(mode, bundles), town.lists(single, bundles))
    assert bundles["ranker_v1"].config["epochs"] == 20, "the network is fitted as the mode has it"
    assert "learned_ranker_v1" not in bundles


def test_an_arm_may_rank_by_the_required_recipe(town: Town) -> None:
    """The release has the models, and the mode sets their use. The network is fitted for the arm."""
    arms = [{"name": "now", "weight": 1}, {"name": "then", "weight": 1, "settings": {"ranking.mode": SEED}}]
    one = {"name": "e", "salt": "s", "surfaces": [s.value for s in SURFACES], "share": 1, "arms": arms}
    settings = town.settings("learned", experiments=json.dumps([one]))
    bundles = town.build(settings)
    _, arm = read_experiments(settings)[0].arms
    for surface in SURFACES:
        plain = open_recommender(surface, bundles, settings)
        recipe = with_settings(plain, bundles, arm.apply(settings))
        assert plain.ranker is not None and plain.ranker.name == "learned"
        assert isinstance(recipe.ranker, MlpRanker) and recipe.settings.lists.candidate_sources == "route"
    assert same(town.lists(arm.apply(settings), bundles), town.lists(town.settings(SEED), bundles))
