"""Assign owners to arms, limit what an arm may change, refuse the rest (O01-O03, M08, R15)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import special

from models.data.entities import IdMap
from models.ensemble import EnsembleConfig
from models.errors import SettingsError
from models.experiments import CHANGEABLE, Experiment, arm_on, arms_on, places_on, read_experiments
from models.schema import Surface
from models.settings.settings import Settings

BLEND: dict[str, Any] = {
    "name": "blend",
    "salt": "spring",
    "surfaces": ["startups/for-developer"],
    "share": 1.0,
    "arms": [{"name": w, "weight": 1, "settings": {"ensemble_als_weight": float(w)}} for w in ("0.5", "0.6", "0.7")],
}
RANKER: dict[str, Any] = {
    "name": "ranker",
    "salt": "x",
    "surfaces": ["startups/for-developer", "developers/for-startup"],
    "share": 1.0,
    "arms": [{"name": "on", "weight": 1}, {"name": "off", "weight": 1, "settings": {"ranker": "off"}}],
}
DEVELOPERS = Surface.STARTUPS_FOR_DEVELOPER


def settings_with(*experiments: Mapping[str, Any], **changes: Any) -> Settings:
    return Settings(experiments=json.dumps(experiments)).layered(changes, "given")


def ids(n: int) -> IdMap:
    return IdMap.from_ids(str(uuid.UUID(int=i * 0x1F3D5B79_0BADCAFE_12345)) for i in range(1, n + 1))


def uneven(counts: np.ndarray, weights: Sequence[float]) -> float:
    """Return the p-value of a chi-square test."""
    expected = counts.sum() * np.array(weights) / sum(weights)
    return float(special.chdtrc(len(weights) - 1, ((counts - expected) ** 2 / expected).sum()))


def test_arms_are_drawn_in_proportion_to_their_weights() -> None:
    """R15: the ids are a plain sequence, and the hash must hide it."""
    for weights in ([1, 1, 1], [8, 1, 1], [0.5, 0.5]):
        e = Experiment.from_json(BLEND | {"arms": [{"name": str(i), "weight": w} for i, w in enumerate(weights)]})
        counts = np.bincount(e.places(ids(30_000).packed()), minlength=len(weights))
        assert counts.sum() == 30_000 and uneven(counts, weights) > 0.001


def test_another_salt_draws_independently() -> None:
    packed = ids(30_000).packed()
    one, other = (Experiment.from_json(BLEND | {"salt": s}).places(packed) for s in ("spring", "autumn"))
    together = np.bincount(3 * one + other, minlength=9)
    assert uneven(together, [1] * 9) > 0.001


def test_a_larger_share_keeps_its_owners_and_their_arms() -> None:
    packed = ids(20_000).packed()
    places = {share: Experiment.from_json(BLEND | {"share": share}).places(packed) for share in (0.0, 0.1, 0.5, 1.0)}
    assert (places[0.0] == -1).all() and (places[1.0] >= 0).all()
    assert abs((places[0.1] >= 0).mean() - 0.1) < 0.01
    for small, large in ((0.1, 0.5), (0.5, 1.0)):
        inside = places[small] >= 0
        assert (places[large][inside] == places[small][inside]).all()
    assert len({Experiment.from_json(BLEND | {"share": s}).edition for s in (0.1, 0.5)}) == 1


def test_taking_part_is_independent_of_the_arm() -> None:
    packed = ids(30_000).packed()
    arm = Experiment.from_json(BLEND).places(packed)[Experiment.from_json(BLEND | {"share": 0.2}).places(packed) >= 0]
    assert uneven(np.bincount(arm, minlength=3), [1, 1, 1]) > 0.001


def test_one_id_gets_the_same_arm_alone_and_in_a_batch() -> None:
    """The reader asks for one owner, the batch for all. Both agree with the release before."""
    e, table = Experiment.from_json(BLEND | {"share": 0.7}), ids(300)
    found = e.places(table.packed())
    for i, place in zip(table.ids.tolist(), found.tolist(), strict=True):
        arm = e.arm_of(i)
        assert (e.arms.index(arm) if arm else -1) == place
    assert found[:12].tolist() == [2, -1, 0, 2, 0, -1, 1, -1, 2, -1, -1, 1]


def test_an_owner_takes_part_in_the_first_experiment_that_draws_them() -> None:
    found = read_experiments(settings_with(BLEND | {"share": 0.5}, RANKER))
    table = ids(2000)
    places = places_on(found, DEVELOPERS, table.packed())
    assert [e.name for e, _ in arms_on(found, DEVELOPERS)] == ["blend"] * 3 + ["ranker"] * 2
    assert set(places.tolist()) == {0, 1, 2, 3, 4}
    blend = found[0].places(table.packed())
    assert (places[blend >= 0] == blend[blend >= 0]).all()
    founders = places_on(found, Surface.DEVELOPERS_FOR_STARTUP, table.packed())
    assert set(founders.tolist()) == {0, 1}
    for i, place in list(zip(table.ids.tolist(), places.tolist(), strict=True))[:100]:
        e, arm = arm_on(found, DEVELOPERS, i) or pytest.fail("everybody takes part")
        assert (e, arm) == arms_on(found, DEVELOPERS)[place]
    assert arm_on(found, Surface.STARTUPS_FOR_INVESTOR, table.ids[0]) is None


def test_one_weight_of_the_blend_gives_the_other_its_rest() -> None:
    """O01: 0.5 is half ALS, half two-tower, and no learned blend replaces it."""
    half, _, most = (a.apply(Settings()) for a in read_experiments(settings_with(BLEND))[0].arms)
    assert (
        half.of(EnsembleConfig).als_weight,
        half.of(EnsembleConfig).two_tower_weight,
        half.of(EnsembleConfig).blend,
    ) == (0.5, 0.5, "weighted")
    assert (most.of(EnsembleConfig).als_weight, most.of(EnsembleConfig).two_tower_weight) == (0.7, 0.3)


def test_every_setting_of_an_arm_shapes_lists() -> None:
    assert set(CHANGEABLE) <= set(Settings().recorded())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"arms": [BLEND["arms"][0], {"name": "b", "weight": 1, "settings": {"als_factors": 8}}]},
            r"\[0\]\.arms\[1\]\.settings\.als_factors: expected a setting that takes effect after training.*one set",
        ),
        (
            {"arms": [BLEND["arms"][0], {"name": "b", "weight": 1, "settings": {"views_are_seen": False}}]},
            "after training",
        ),
        (
            {"arms": [BLEND["arms"][0], {"name": "b", "weight": 1, "settings": {"blending": 1}}]},
            "a setting of Matchbook",
        ),
        ({"arms": [BLEND["arms"][0], {"name": "b", "weight": 1, "settings": {"ensemble_als_weight": 2.0}}]}, "0..1"),
        ({"arms": [BLEND["arms"][0], {"name": "b", "weight": 1, "settings": {"ranker": "best"}}]}, "one of auto"),
        ({"arms": [BLEND["arms"][0], {"name": "b", "weight": 1, "settings": {"enable_als": 1}}]}, "be bool, got 1"),
        ({"arms": [BLEND["arms"][0], BLEND["arms"][0]]}, "a name of its own"),
        ({"arms": BLEND["arms"][:1]}, "2 to 16 arms"),
        ({"arms": [a | {"weight": 0} for a in BLEND["arms"]]}, "weights above 0"),
        ({"arms": [a | {"weight": True} for a in BLEND["arms"]]}, "a number from 0 on"),
        ({"share": 1.5}, r"\[0\]\.share: expected a number in 0..1, got 1.5"),
        ({"surfaces": ["founders/for-nobody"]}, "some of developers/for-startup"),
        ({"surfaces": []}, "some of"),
        ({"salt": ""}, "a word of your choice"),
        ({"name": "Blend weight"}, "1 to 40 of a-z"),
        ({"wieght": 1}, "expected only"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(change: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        read_experiments(settings_with(BLEND | change))


def test_an_experiment_without_owners_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"\[1\]\.surfaces.*every owner of these surfaces takes part in blend"):
        read_experiments(settings_with(BLEND, RANKER))
    with pytest.raises(SettingsError, match=r"\[1\]\.name"):
        read_experiments(settings_with(BLEND | {"share": 0.5}, BLEND))


def test_an_arm_cannot_switch_on_what_was_not_trained() -> None:
    arms = [{"name": "off", "weight": 1}, {"name": "on", "weight": 1, "settings": {"ENABLE_ALS": True}}]
    with pytest.raises(SettingsError, match="not trained"):
        read_experiments(settings_with(BLEND | {"arms": arms}, enable_als=False))
    found = read_experiments(settings_with(BLEND | {"arms": arms}))
    assert found[0].arms[1].settings == {"enable_als": True}


def test_the_content_of_the_file_is_what_is_recorded(tmp_path: Path) -> None:
    """A build with the same cutoff has the same bytes, even after changes of the file."""
    file = tmp_path / "experiments.json"
    file.write_text(json.dumps([BLEND], indent=3))
    given = Settings.from_env({"MATCHBOOK_EXPERIMENTS": str(file)})
    assert given.recorded()["experiments"] == json.dumps([BLEND], sort_keys=True)
    file.write_text("[]")
    later = Settings.from_env({"MATCHBOOK_EXPERIMENTS": str(file)})
    assert later.experiments == "" and later.digest() != given.digest()
    assert read_experiments(later.with_recorded(given.recorded()))[0] == Experiment.from_json(BLEND)
    assert later.layered(given.recorded(), "here").digest() == given.digest()


@pytest.mark.parametrize("content", ["", "{", '{"name": "blend"}'])
def test_a_file_that_is_no_list_of_experiments_is_a_wrong_setting(tmp_path: Path, content: str) -> None:
    file = tmp_path / "experiments.json"
    file.write_text(content)
    for path in (file, tmp_path / "none.json"):
        with pytest.raises(SettingsError, match="MATCHBOOK_EXPERIMENTS"):
            Settings.from_env({"MATCHBOOK_EXPERIMENTS": str(path)})
