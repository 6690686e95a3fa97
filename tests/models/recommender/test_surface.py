"""Models without a list are not trained. Compare each switch with the bundles that the recommender reads."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import registry
from models.data.bundle import Bundle, write_bundle
from models.recommender.surface import SurfaceRecommender, open_bundles, open_recommender, unserved
from models.schema import Surface
from models.settings.settings import Settings
from tests.marketplace.bundles import SMALL, learned_bundles, planted_bundles

SWITCHES = [
    dict(zip(("ranker", "enable_als", "enable_two_tower", "candidate_sources"), values, strict=True))
    for values in product(("auto", "learned", "mlp", "rules", "off"), (True, False), (True, False), ("union", "route"))
]


def network() -> Bundle:
    arrays = {"weight_0": np.ones((1, 4), np.float32), "bias_0": np.zeros(1, np.float32)}
    return Bundle("ranker_v1", {"surfaces": [s.value for s in Surface]}, arrays)


def bundles(settings: Settings) -> dict[str, Bundle]:
    """Return all bundles. The learned ranker was trained with the enabled sources."""
    found = {**learned_bundles(), "ranker_v1": network()}
    about = {
        s: {
            **a,
            "features": [
                f
                for f in a["features"]
                if (settings.routing.enable_als or "als" not in f)
                and (settings.routing.enable_two_tower or "two_tower" not in f)
            ],
        }
        for s, a in found["learned_ranker_v1"].config["surfaces"].items()
    }
    found["learned_ranker_v1"] = replace(found["learned_ranker_v1"], config={"surfaces": about})
    return found


def told(recipe: SurfaceRecommender) -> tuple[object, ...]:
    """Return the sources and the ranker, which depend on bundles."""
    return type(recipe.ranker), sorted(map(str, recipe.scorers)), sorted(map(str, recipe.folds))


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_nothing_that_is_left_out_is_missed(switches: dict[str, Any]) -> None:
    settings = SMALL.layered(switches, "given")
    everything = bundles(settings)
    taught = {name: b for name, b in everything.items() if not unserved(name, settings)}
    assert set(registry.required()) <= set(taught)
    for surface in Surface:
        whole = open_recommender(surface, everything, settings)
        assert told(open_recommender(surface, taught, settings)) == told(whole)
        for name in (
            set(taught) - set(registry.required()) - {"ranker_v1", "activity_v1"}
        ):  # the network ranks only without the learned ranker
            if any(
                told(open_recommender(s, {n: b for n, b in taught.items() if n != name}, settings))
                != told(open_recommender(s, taught, settings))
                for s in Surface
            ):
                break
        else:
            pytest.fail("no trained bundle makes a difference")


@pytest.mark.parametrize(
    ("changed", "name", "said"),
    [
        ({"ranker": "rules"}, "learned_ranker_v1", "[ranker] kind is rules"),
        ({"ranker": "off"}, "ranker_v1", "is off"),
        ({"ranker": "rules"}, "activity_v1", "is rules"),
        ({"ranker": "mlp"}, "learned_ranker_v1", "is mlp"),
        ({"ranker": "learned"}, "ranker_v1", "is learned"),
        ({"ranker_cuts": 0}, "learned_ranker_v1", "cuts is 0"),
        ({"candidate_sources": "route"}, "learned_ranker_v1", "candidate_sources is route"),
        ({"enable_als": False}, "als_reverse_v1", "ENABLE_ALS"),
        ({"enable_als": False}, "ensemble_v1", "ENABLE_ALS"),
        ({"enable_two_tower": False}, "two_tower_v1", "ENABLE_TWO_TOWER"),
        ({"blend": "rrf"}, "ensemble_v1", "is rrf"),
        ({"enable_ensemble": False}, "ensemble_v1", "ENABLE_ENSEMBLE"),
    ],
)
def test_every_switch_saves_the_disabled_work_and_reports_it(changed: dict[str, Any], name: str, said: str) -> None:
    assert unserved(name, Settings()) == ""
    assert said in unserved(name, Settings().layered(changed, "given"))


def test_an_arm_of_an_experiment_may_need_it() -> None:
    arms = [{"name": "plain", "weight": 1}, {"name": "learned", "weight": 1, "settings": {"ranker": "learned"}}]
    given = [
        {
            "name": "x",
            "salt": "salt-of-x",
            "surfaces": [Surface.STARTUPS_FOR_INVESTOR.value],
            "share": 0.5,
            "arms": arms,
        }
    ]
    settings = Settings().layered({"ranker": "rules", "experiments": json.dumps(given)}, "given")
    assert unserved("learned_ranker_v1", settings) == "" and "rules" in unserved("ranker_v1", settings)


@pytest.mark.parametrize(
    ("bundle", "setting"), [("als_v1", "als_model_path"), ("two_tower_v1", "two_tower_model_path")]
)
def test_a_pinned_directory_is_opened_in_place_of_the_releases_own(bundle: str, setting: str, tmp_path: Path) -> None:
    """Settings name directories of models (G04, G05, M04)."""
    own, pinned = tmp_path / "bundles" / bundle / "own", tmp_path / "pinned"
    for place in (own, pinned):
        place.mkdir(parents=True)
        write_bundle(planted_bundles()[bundle], place)
    opened = [
        open_bundles(tmp_path, {bundle: "own"}, settings)[bundle].version
        for settings in (SMALL, SMALL.layered({setting: str(pinned)}, "given"))
    ]
    assert opened == ["own", "pinned"]
