"""Store models of past cutoffs, use them in later builds, and fit them again if rows changed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models.data.bundle import Bundle
from models.data.interactions import DAY_US
from models.schema import Surface
from models.settings.settings import Settings
from pipelines.export.past import known_at
from pipelines.export.snapshot import Snapshot
from pipelines.run.run import Run, microseconds, parse_instant
from pipelines.train import cutoffs
from pipelines.train.calendar import split_time
from pipelines.train.cutoffs import FACTS, Cutoff, fit_at
from pipelines.train.holdout import Holdout, open_holdout_at
from pipelines.train.objective import MEET, Objective
from pipelines.train.train import fit
from pipelines.train_ranker import samples as sampling
from pipelines.train_ranker.samples import RankerSamples, ranker_samples
from tests.marketplace.samples import MEETINGS
from tests.pipelines.train.market import AS_OF, rows, small

SETTINGS = small(two_tower_epochs=1, als_iterations=1, graph_filter_min_pairs=0.0)
CUT = microseconds(parse_instant("2024-02-17"))
Frames = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


def same(frames: Frames) -> Frames:
    return frames


def newcomer(frames: Frames) -> Frames:
    """Add a user who arrives after the cutoff and sorts first, so that all row numbers change."""
    users, startups, events = frames
    user = {"user_id": "00000000-0000-4000-8000-000000000001", "role": "investor", "created_at": "2024-02-28"}
    met = {"user_id": user["user_id"], "startup_id": startups.startup_id[0], "interaction_type": "like"}
    met["occurred_at"] = "2024-02-28T10:00:00Z"
    return pd.concat([users, pd.DataFrame([user])]), startups, pd.concat([events, pd.DataFrame([met])])


def new_words(frames: Frames) -> Frames:
    users, startups, events = frames
    return users.assign(interests="zeppelins"), startups, events


def late_event(frames: Frames) -> Frames:
    users, startups, events = frames
    met = {"user_id": users.user_id[1], "startup_id": startups.startup_id[149], "interaction_type": "interest"}
    return users, startups, pd.concat([events, pd.DataFrame([{**met, "occurred_at": "2024-01-02T03:04:05Z"}])])


def opted_out(frames: Frames) -> Frames:
    users, startups, events = frames
    users = users.copy()
    users.loc[7, "opted_out_at"] = "2024-02-28"
    return users, startups, events


def gone(frames: Frames) -> Frames:
    users, startups, events = frames
    who = users.user_id[9]
    return users[users.user_id != who], startups, events[events.user_id != who]


def snapshot(change: Callable[[Frames], Frames] = same, as_of: str = AS_OF) -> Snapshot:
    return Snapshot.from_frames(*change(rows(events=1500)), as_of, SETTINGS.recorded(), name=f"market-{as_of}")


#: Every new pair counts.
GOALS = {s: Objective(MEET, MEETINGS, {}) for s in Surface}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.start(replace(SETTINGS, home=tmp_path), "kept", parse_instant(AS_OF), fresh=True)


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the names of fitted models that are to be stored."""
    names: list[str] = []

    def counted(name: str, market: Snapshot, settings: Settings) -> Bundle:
        names.append(name)
        return fit(name, market, settings)

    monkeypatch.setattr(cutoffs, "fit", counted)
    return names


@pytest.mark.parametrize(
    ("change", "kept"),
    [(same, True), (newcomer, True), (new_words, True), (late_event, False), (opted_out, False), (gone, False)],
)
def test_a_cutoff_is_kept_until_its_rows_change(change: Callable[[Frames], Frames], kept: bool) -> None:
    past, now = known_at(snapshot(), CUT), known_at(snapshot(change), CUT)
    assert (past.name == now.name) == kept
    assert past.name.startswith("20240217T000000Z-") and past.as_of_us == now.as_of_us == CUT


def test_a_model_of_a_cutoff_does_not_depend_on_later_rows() -> None:
    """A fit from a later snapshot with other row numbers has the same bytes."""
    for name in ("als_v1", "item_neighbours_v1", "content_v1"):
        one, other = (fit_at(name, market, SETTINGS, CUT) for market in (snapshot(), snapshot(newcomer)))
        assert one.digest() == other.digest() and name not in FACTS


def test_the_next_build_uses_what_is_kept(run: Run, fitted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A new user has a row in the catalogue of the cutoff, and no score of a stored model."""
    derived: list[int] = []

    def counted(market: Snapshot, cut_us: int) -> Snapshot:
        derived.append(cut_us)
        return known_at(market, cut_us)

    monkeypatch.setattr(cutoffs, "known_at", counted)
    one = open_holdout_at(run, snapshot(), CUT)
    assert {"als_v1", "two_tower_v1", "content_v1"} <= {*fitted}
    assert derived == [CUT]  # once for all models
    fitted.clear()
    derived.clear()

    other = open_holdout_at(replace(run, id="next"), snapshot(newcomer), CUT)

    assert fitted == [] and derived == []  # a name needs no rows
    assert all(other.bundles[name].digest() == one.bundles[name].digest() for name in one.bundles if name not in FACTS)
    assert len(other.bundles["catalogue_v1"].maps["user"]) == len(one.bundles["catalogue_v1"].maps["user"]) + 1


@pytest.mark.slow
def test_samples_of_complete_windows_are_kept(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day later only incomplete windows are sampled again. The models of their cutoffs stay."""
    made: list[int] = []

    def counted(holdout: Holdout, surface: Surface, until_us: int) -> RankerSamples | None:
        made.append(holdout.cut_us)
        return sample(holdout, surface, until_us)

    sample = sampling._samples_of
    monkeypatch.setattr(sampling, "_samples_of", counted)
    day, next_day = snapshot(as_of="2024-02-27"), snapshot(as_of="2024-02-28")

    first = ranker_samples(run, day, GOALS)
    assert set(made) == {x.cut_us for those in first.values() for x in those}
    made.clear()
    again = ranker_samples(run, day, GOALS)
    assert made == []
    second = ranker_samples(run, next_day, GOALS)

    step = 2 * DAY_US
    assert made and min(made) > day.as_of_us - 10 * step  # the newest windows
    assert set(made) < {x.cut_us for those in second.values() for x in those}
    for surface, those in first.items():
        for mine, other in zip(those, again[surface], strict=True):
            assert mine.names == other.names and mine.cut_us == other.cut_us
            assert all(np.array_equal(a, other.arrays()[name]) for name, a in mine.arrays().items())


def test_a_build_adds_what_it_can_afford_and_records_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four cutoffs the first build makes the newest two. A repeated build uses no others."""
    monkeypatch.setattr(sampling, "NEW_EVENTS", 1)
    made: list[int] = []

    def samples(window: sampling._Window) -> dict[Surface, RankerSamples]:
        made.append(window.cutoff.cut_us)
        one = np.zeros(1, np.int64)
        mine = RankerSamples(("x",), np.zeros((1, 1), np.float32), one, one.astype(np.int32), window.cutoff.cut_us)
        return {Surface.STARTUPS_FOR_INVESTOR: mine}

    monkeypatch.setattr(sampling._Window, "samples", samples)
    market = snapshot()
    ranker_samples(run, market, GOALS)
    first = [*made]
    assert len(first) == 2 and first == sorted(first, reverse=True)
    assert split_time(market.heard, SETTINGS.holdout.share) in first

    monkeypatch.setattr(sampling._Window, "is_kept", lambda self: self.cutoff.cut_us in first)
    made.clear()
    ranker_samples(run, market, GOALS)
    assert made == first
    made.clear()
    ranker_samples(run, replace(market, name="the next day"), GOALS)
    assert len(made) == 4 and {*first} < {*made}


def test_what_is_not_used_is_removed(run: Run) -> None:
    cutoff = Cutoff(run, snapshot(), CUT)
    for name in ("als_v1", "item_neighbours_v1"):
        cutoff.model(name)
    old = time.time() - 10 * 86_400
    for name in ("als_v1", "item_neighbours_v1"):
        os.utime(cutoff.directory(name), (old, old))
    cutoff.model("als_v1")  # this counts as a use

    assert run.artifacts.remove_cuts(time.time() - 86_400) == [f"cuts/{cutoff.name}/item_neighbours_v1"]
    assert cutoff.directory("als_v1").is_dir()
    assert run.artifacts.remove_cuts() == [f"cuts/{cutoff.name}/als_v1"]
    assert run.artifacts.stored("cuts") == []
