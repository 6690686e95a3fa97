"""Train a model: its data, excluded users, stored files (R23, P01, P02, E09, design 5.1)."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from models import registry
from models.data.bundle import Bundle
from models.errors import DataError
from pipelines.export.snapshot import Snapshot
from pipelines.refs import BuildRef
from pipelines.run.run import EPOCH, Run, parse_instant
from pipelines.train.calendar import split_time
from pipelines.train.holdout import outcome_of
from pipelines.train.single_model import split_test
from pipelines.train.train import fit, train
from tests.pipelines.train.market import AS_OF, rows, small

CUT = "2024-02-10T00:00:00+00:00"
CUT_US = int((parse_instant(CUT) - EPOCH).total_seconds() * 1e6)
OUT = 5  # the user of `rows` who opted out
MODELS = [name for name in registry.bundles() if name != "catalogue_v1"]
SETTINGS = small(two_tower_epochs=2, als_factors=6, graph_filter_min_pairs=0.0)

MEMORY = BuildRef("r", "2024-03-01T00:00:00+00:00", snapshot="memory")


def snapshot(users: pd.DataFrame, startups: pd.DataFrame, events: pd.DataFrame) -> Snapshot:
    return Snapshot.from_frames(users, startups, events, AS_OF, SETTINGS.recorded())


@cache
def plain() -> Snapshot:
    return snapshot(*rows())


@cache
def at_the_cut(name: str) -> Bundle:
    return fit(name, plain(), SETTINGS, CUT_US)


@cache
def otherwise() -> Snapshot:
    """Use the same people and startups, but other and more events after the cutoff."""
    users, startups, events = rows()
    late = events.occurred_at >= CUT
    changed = events[late].assign(startup_id=np.roll(events.startup_id[late], 7), interaction_type="interest")
    more = changed.assign(startup_id=startups.startup_id.iloc[-1], interaction_type="like")
    return snapshot(users, startups, pd.concat([events[~late], changed, more]).drop_duplicates())


@cache
def with_newcomers() -> Snapshot:
    """Add a startup and a user who arrive after the cutoff, with unique words and events."""
    users, startups, events = rows()
    born = {"created_at": "2024-02-11", "name": "Later"}
    startup = {"startup_id": "ffffffff-ffff-4fff-bfff-ffffffffffff", "category": "zeppelins", **born}
    person = {"user_id": "ffffffff-ffff-4fff-bfff-fffffffffffe", "role": "developer", "interests": "zeppelins", **born}
    met = pd.DataFrame(
        {
            "user_id": [person["user_id"], *users.user_id[:30]],
            "startup_id": startup["startup_id"],
            "interaction_type": "like",
            "occurred_at": "2024-02-20T00:00:00Z",
        }
    )
    return snapshot(
        pd.concat([users, pd.DataFrame([person])]).fillna(""),
        pd.concat([startups, pd.DataFrame([startup])]).fillna(""),
        pd.concat([events, met]),
    )


@cache
def without_the_opted_out() -> Snapshot:
    """Give the opted-out user other events and another text."""
    users, startups, events = rows()
    mine = events.user_id == users.user_id[OUT]
    moved = events[mine].assign(interaction_type="dislike")
    users.loc[OUT, ["interests", "headline"]] = "zeppelins"
    return snapshot(users, startups, pd.concat([events[~mine], moved]).drop_duplicates())


@pytest.mark.parametrize("name", registry.bundles())
def test_nothing_from_the_cut_on_is_used(name: str) -> None:
    assert fit(name, otherwise(), SETTINGS, CUT_US).digest() == at_the_cut(name).digest()
    assert at_the_cut(name).config["as_of"] == CUT


@pytest.mark.parametrize("name", MODELS)
def test_at_the_cutoff_the_same_change_would_show(name: str) -> None:
    """This shows that the test above can fail."""
    assert fit(name, otherwise(), SETTINGS).digest() != fit(name, plain(), SETTINGS).digest()


def test_later_users_are_unknown_to_every_model() -> None:
    later, at = with_newcomers(), CUT_US
    als = fit("als_v1", later, SETTINGS, at)
    assert later.startup_ids.ids[-1] not in als.maps["item"].ids and later.user_ids.ids[-1] not in als.maps["user"].ids
    assert [t for t in fit("content_v1", later, SETTINGS).arrays["tokens"] if "zeppelins" in t]
    content = fit("content_v1", later, SETTINGS, at)
    assert not [t for t in content.arrays["tokens"] if "zeppelins" in t]
    assert not content.arrays["startup_vectors"][-1].any() and not content.arrays["user_vectors"][-1].any()
    towers = fit("two_tower_v1", later, SETTINGS, at)
    assert not towers.arrays["item_factors"][-1].any()
    neighbours = fit("item_neighbours_v1", later, SETTINGS, at)
    assert neighbours.arrays["indptr"][-1] == neighbours.arrays["indptr"][-2]
    popularity = fit("popularity_v1", later, SETTINGS, at)
    assert popularity.arrays["startup_popularity"][-1] == popularity.arrays["startup_trending"][-1] == 0
    assert fit("popularity_v1", later, SETTINGS).arrays["startup_popularity"][-1] > 0


@pytest.mark.parametrize("name", [n for n in MODELS if n != "popularity_v1"])
def test_an_opted_out_user_leaves_no_trace(name: str) -> None:
    assert fit(name, without_the_opted_out(), SETTINGS).digest() == fit(name, plain(), SETTINGS).digest()


def test_popularity_does_not_count_the_acts_of_who_opted_out() -> None:
    arrays = fit("popularity_v1", plain(), SETTINGS).arrays
    person = plain().user_ids.rows_of([rows()[0].user_id[OUT]])[0]
    assert arrays["user_popularity"][person] == arrays["user_trending"][person] == 0
    trend = fit("popularity_v1", without_the_opted_out(), SETTINGS).arrays["startup_trending"]
    assert (trend == arrays["startup_trending"]).all()


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(DataError, match=r"als_v1.*'als_v9'"):
        fit("als_v9", plain(), SETTINGS)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run("test", parse_instant(AS_OF), replace(SETTINGS, home=tmp_path))


def test_training_twice_stores_one_version(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Snapshot, "open", classmethod(lambda cls, path: plain()))
    first, second = train(run, MEMORY, "als_v1"), train(run, MEMORY, "als_v1")
    assert first == second and first.version.startswith("20240301T000000Z-")
    assert [p.name for p in run.artifacts.stored("bundles/als_v1")] == [first.version]
    stored = run.artifacts.open_bundle("als_v1", first.version)
    assert stored.config["as_of"] == "2024-03-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("off", "name"), [("enable_als", "als_v1"), ("enable_als", "als_reverse_v1"), ("enable_two_tower", "two_tower_v1")]
)
def test_what_is_switched_off_is_not_paid_for(off: str, name: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Snapshot, "open", classmethod(lambda cls, path: pytest.fail("read for nothing")))
    changed: dict[str, Any] = {off: False}
    told = train(replace(run, settings=run.settings.layered(changed, "given")), MEMORY, name)
    assert told.version == "" and off.upper() in told.note


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("catalogue_v1", True),
        ("popularity_v1", True),
        ("content_v1", True),
        ("als_v1", False),
        ("als_reverse_v1", False),
        ("two_tower_v1", False),
        ("item_neighbours_v1", False),
        ("item_neighbours_reverse_v1", False),
    ],
)
def test_without_events_a_build_goes_on_with_what_needs_none(
    name: str, stored: bool, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    users, startups, events = rows()
    monkeypatch.setattr(Snapshot, "open", classmethod(lambda cls, path: snapshot(users, startups, events.iloc[:0])))
    said = train(run, MEMORY, name)
    assert bool(said.version) is stored and ("P01" in (said.note or "P01"))


@pytest.mark.parametrize("name", ["als_v1", "als_reverse_v1", "two_tower_v1"])
def test_the_quick_evaluation_is_twice_as_good_as_chance(name: str) -> None:
    events = plain().interactions()
    cut = split_time(events, 0.2)
    before, truth = events.before(cut).pairs(), outcome_of(events, cut).relevant
    chance = truth.nnz / (before.shape[0] * before.shape[1] - before.nnz)
    found: dict[str, Any] = split_test(
        name, plain(), SETTINGS.layered({"two_tower_epochs": 8, "two_tower_learning_rate": 0.02}, "given"), 0.2
    )
    precision, owners = found["Precision@10"], found["owners"]
    assert precision > 2 * chance and owners > 50 and 0 < found["MAP@10"] <= 1
