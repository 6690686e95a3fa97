"""Choose another blend only if it is significantly better, and serve it as recorded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.data.bundle import Bundle
from models.ensemble import EnsembleConfig
from models.ensemble.scorer import Blend, resolved_blend
from models.recommender.surface import open_recommender
from models.schema import Surface
from models.settings.settings import Settings
from pipelines.export.snapshot import Snapshot
from pipelines.refs import BundleRef
from pipelines.run.run import Run
from pipelines.train.holdout import Holdout
from pipelines.train_ranker.choose import BLENDS, BlendScores, choice, choose_blend
from pipelines.train_ranker.second_stage import open_second_stage, train_ranker


def asked(n: int, hot: int, **more: float) -> BlendScores:
    """Make n owners, `hot` of them hot: noisy NDCG of 0.2, with a noisy gain for some blends."""
    rng = np.random.default_rng(0)
    noise = rng.random(n) * 0.1
    ndcg = {name: 0.2 + noise + more.get(name, 0.0) * rng.random(n) for name in (*BLENDS, "als", "two_tower")}
    return BlendScores(np.arange(n) < hot, ndcg)


def test_a_significantly_better_ranker_is_taken() -> None:
    found = choice(asked(300, 120, rrf=0.1, equal=0.05))

    assert (found["name"], found["blend"], found["profile"]) == ("rrf", "rrf", "")
    assert found["over"] == "hot" and found["owners"] == 120  # a hundred hot owners are enough
    assert found["difference"]["low"] > 0 and "of rrf" in found["reason"] and set(found["ndcg"]) > {"als", "two_tower"}


def test_a_named_profile_can_win() -> None:
    found = choice(asked(300, 20, semantic=0.1))

    assert (found["name"], found["blend"], found["profile"]) == ("semantic", "weighted", "semantic")
    assert found["over"] == "known" and found["owners"] == 300


def test_a_member_is_no_blend() -> None:
    assert choice(asked(300, 120, two_tower=0.3))["blend"] == "weighted"


def test_a_difference_by_chance_is_not_taken() -> None:
    these = asked(200, 0)
    these = BlendScores(
        these.hot, {**these.ndcg, "rrf": these.ndcg["weighted"] + np.where(np.arange(200) == 7, 0.5, 0.0)}
    )
    found = choice(these)

    assert found["best"] == "rrf" and found["difference"]["low"] <= 0 < found["difference"]["mean"]
    assert (found["blend"], found["profile"]) == ("weighted", "") and "weights stay" in found["reason"]


def test_too_few_owners_choose_nothing() -> None:
    found = choice(asked(99, 99, rrf=0.5))

    assert found["blend"] == "weighted" and "99 owners" in found["reason"] and "ndcg" not in found


def test_the_choice_is_recorded_and_is_the_same_every_time(holdout: Holdout) -> None:
    free = replace(holdout, settings=holdout.settings.layered({"blend": "auto"}, "given"))
    bundle, again = (choose_blend(free, {"inner_cut": holdout.cut}) for _ in range(2))

    assert bundle.digest() == again.digest() and bundle.name == "ensemble_v1"
    assert {"blend", "profile", "reason", "owners", "over", "inner_cut"} <= set(bundle.config)


@pytest.mark.slow
def test_the_step_stores_the_choice_and_evaluate_finds_it(
    learning_run: Run, planted: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.train_ranker.second_stage._learned", lambda *_: [BundleRef("learned", "")])
    free = replace(learning_run, settings=learning_run.settings.layered({"blend": "auto"}, "given"))
    refs = {r.name: r.version for r in train_ranker(free, free.reference(snapshot=planted.name))}

    stored = free.artifacts.open_bundle("ensemble_v1", refs["ensemble_v1"])
    found = open_second_stage(free, planted).holdout.bundles["ensemble_v1"]
    assert stored.config["reason"] and found.config == stored.config


def test_the_recipe_blends_as_recorded(holdout: Holdout) -> None:
    """The batch and the live reader open the same bundle by `open_recommender`."""
    chosen = Bundle("ensemble_v1", {"blend": "weighted", "profile": "semantic"}, {})
    bundles, settings = {**holdout.bundles, "ensemble_v1": chosen}, holdout.settings.layered({"blend": "auto"}, "given")
    recipe = open_recommender(Surface.STARTUPS_FOR_INVESTOR, bundles, settings)
    column = (
        np.array([0, 5, 10], np.float32),
        np.array([9, 1, 5], np.float32),
        np.zeros(3, np.int32),
        np.array([0, 3]),
        np.array([25]),
        np.array([10.0]),
    )

    semantic = Blend(EnsembleConfig(blend="weighted", profile="semantic"))
    assert (
        recipe.settings.of(EnsembleConfig).blend == "auto"
        and recipe.blend(*column).tolist() == semantic(*column).tolist()
    )


@pytest.mark.parametrize("asked_for", [{"blend_profile": "equal"}, {"ensemble_als_weight": 0.9}, {"blend": "dynamic"}])
def test_what_was_asked_for_stands(asked_for: dict[str, Any]) -> None:
    chosen = Bundle("ensemble_v1", {"blend": "rrf", "profile": ""}, {})
    settings = Settings().layered(asked_for, "given")

    config = settings.of(EnsembleConfig)
    assert resolved_blend(config, chosen).blend == asked_for.get("blend", "weighted")
    assert resolved_blend(config, chosen).profile == config.profile
    assert (
        resolved_blend(EnsembleConfig(), chosen).blend == "rrf"
        and resolved_blend(EnsembleConfig(), None).blend == "weighted"
    )
