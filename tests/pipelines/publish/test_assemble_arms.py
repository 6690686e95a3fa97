"""Assemble arms: in the manifest, reproducible to the byte, without effect outside experiments."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.catalogue.catalogue import CATALOGUE, entities_of
from models.errors import SettingsError
from models.experiments import Experiment
from models.lists.ranked_lists import RankedLists
from models.lists.redis_format import encode_lists
from models.lists.release import Release, release_lists
from models.schema import Surface
from pipelines.store.artifacts import Artifacts
from tests.pipelines.conftest import Town

SURFACE = Surface.STARTUPS_FOR_DEVELOPER
EXPERIMENT: dict[str, Any] = {
    "name": "ranker",
    "salt": "m08",
    "surfaces": [SURFACE.value, Surface.DEVELOPERS_FOR_STARTUP.value],
    "share": 0.6,
    "arms": [
        {"name": "on", "weight": 1.0, "settings": {}},
        {"name": "off", "weight": 1.0, "settings": {"ranker": "off"}},
    ],
}


def lists_of(town: Town, release: Release, surface: Surface = SURFACE) -> RankedLists:
    folder = town.settings.artifacts / "releases" / release.id
    return RankedLists.concat(list(release_lists(folder, release, surface)))


def built(town: Town, days: int = 0, **changes: Any) -> Release:
    town.settings = town.settings.layered(changes, "given")
    return Artifacts(town.settings).release(town.build(days))


def places(town: Town, release: Release) -> np.ndarray:
    """Return the arm of each list's owner, -1 for none."""
    users = entities_of(Artifacts(town.settings).latest_bundle(CATALOGUE))[SURFACE.owner]
    rows = lists_of(town, release).owner
    return np.where(users.opted_out[rows], -1, Experiment.from_json(EXPERIMENT).places(users.ids.packed()[rows]))


def test_arms_are_recorded_and_other_lists_keep_their_bytes(town: Town) -> None:
    plain, mixed = built(town), built(town, experiments=json.dumps([EXPERIMENT]))
    assert plain.experiments == [] and plain.id != mixed.id
    again = built(town, shards=1)
    assert again.id == mixed.id, "whatever the shards"
    (told,) = mixed.experiments
    of_arm, before, after = places(town, mixed), lists_of(town, plain), lists_of(town, mixed)
    values = [[encode_lists(lists.take(np.array([i])))[0] for i in range(len(lists))] for lists in (before, after)]
    same = np.array([a == b for a, b in zip(*values, strict=True)])
    assert same[of_arm < 1].all() and not same[of_arm == 1].all()
    on, off = told["arms"]
    assert (on["owners"][SURFACE.value], off["owners"][SURFACE.value]) == ((of_arm == 0).sum(), (of_arm == 1).sum())
    assert set(on["moved"].values()) == {0.0} and off["moved"][SURFACE.value] > 0
    assert told["edition"] == Experiment.from_json(EXPERIMENT).edition
    assert Experiment.from_json(told) == Experiment.from_json(EXPERIMENT), "a reader finds the arms in the manifest"
    for surface in (Surface.STARTUPS_FOR_INVESTOR, Surface.INVESTORS_FOR_STARTUP):
        assert encode_lists(lists_of(town, plain, surface)) == encode_lists(lists_of(town, mixed, surface))


def test_an_arm_that_changes_nothing_is_warned_of(town: Town, caplog: pytest.LogCaptureFixture) -> None:
    """The rules ignore the weight of the model score if the ranker is off."""
    arms = [{"name": "a", "weight": 1}, {"name": "b", "weight": 1, "settings": {"rule_recency_weight": 0.9}}]
    built(town, ranker="off", experiments=json.dumps([EXPERIMENT | {"arms": arms}]))
    assert "arm b of experiment ranker changes no list's first ten places" in caplog.text


def test_each_arm_is_capped_by_itself(town: Town) -> None:
    arms = [{"name": "free", "weight": 1}, {"name": "capped", "weight": 1, "settings": {"exposure_cap": 1.0}}]
    experiment = EXPERIMENT | {"arms": arms, "share": 1.0, "surfaces": [SURFACE.value]}
    plain = lists_of(town, built(town, depth=100))
    release = built(town, experiments=json.dumps([experiment]))
    mixed = lists_of(town, release)
    users = entities_of(Artifacts(town.settings).latest_bundle(CATALOGUE))[SURFACE.owner]
    of_arm = Experiment.from_json(experiment).places(users.ids.packed()[plain.owner])
    of_arm = np.where(users.opted_out[plain.owner], -1, of_arm)

    def most(lists: RankedLists, code: int) -> int:
        mine = lists.take(np.flatnonzero(of_arm == code))
        return int(np.bincount(np.concatenate([mine.item[mine.row(i)][:10] for i in range(len(mine))])).max())

    assert encode_lists(mixed.take(np.flatnonzero(of_arm < 1))) == encode_lists(plain.take(np.flatnonzero(of_arm < 1)))
    assert most(mixed, 1) < most(plain, 1)
    assert release.shares[SURFACE.value]["exposure"]["moved"] > 0


def test_a_file_that_is_wrong_ends_a_build_before_it_begins(town: Town) -> None:
    town.settings = replace(town.settings, experiments=json.dumps([EXPERIMENT | {"share": 2}]))
    with pytest.raises(SettingsError, match=r"\[0\]\.share"):
        town.run()
