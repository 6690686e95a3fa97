"""Train the stacked ranker of a small market: it serves, says why, and knows nothing from later."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.data.interactions import Interactions
from models.learned_ranker.scorer import LEARNED
from models.recommender.recommend import recommend
from models.recommender.surface import open_recommender
from models.schema import Surface
from models.stacked_ranker.fit import prior_of
from models.stacked_ranker.scorer import KNOWN, STACKED, UNSEEN, StackedRanker
from pipelines.evaluate.evaluate import serving_ranker
from pipelines.export.snapshot import Snapshot
from pipelines.report.figure_names import MEAN, STACK
from pipelines.run.run import Run
from pipelines.train.holdout import Holdout, open_holdout
from pipelines.train_ranker import second_stage
from pipelines.train_ranker.second_stage import open_second_stage, train_ranker
from pipelines.train_ranker.stacked import StackedLessons, pooled_ballot, small_surfaces
from tests.pipelines.train.market import market

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def little() -> Snapshot:
    return market(people=60, startups=40, events=500)


@pytest.fixture(scope="module")
def run(planted_run: Run) -> Run:
    return replace(planted_run, id="small")


@pytest.fixture(scope="module")
def split(run: Run, little: Snapshot) -> Holdout:
    return open_holdout(run, little)


@pytest.fixture(scope="module")
def lessons(run: Run, little: Snapshot, split: Holdout) -> StackedLessons:
    return StackedLessons.of(run, split, small_surfaces(split))


def test_every_surface_of_a_small_market_is_small(split: Holdout) -> None:
    assert set(small_surfaces(split)) == set(Surface)


def test_the_step_stores_it_and_it_serves(
    run: Run, little: Snapshot, split: Holdout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Snapshot, "open", classmethod(lambda cls, path: little))
    refs = {r.name: r for r in train_ranker(run, run.reference(snapshot=little.name))}
    assert refs[STACKED].version
    stage = open_second_stage(run, little)
    served, judged = run.artifacts.open_bundle(STACKED, refs[STACKED].version), stage.holdout.bundles[STACKED]
    for surface, about in served.config["surfaces"].items():
        assert judged.config["surfaces"][surface]["serves"] == about["serves"]
        choice = serving_ranker(stage, Surface(surface))
        ranker = open_recommender(Surface(surface), {**split.bundles, STACKED: served}, run.settings).ranker
        assert (choice["serves"] in (STACK, MEAN)) == about["serves"] == isinstance(ranker, StackedRanker)
        assert (choice["serves"] == MEAN) == about["mean"]
        assert "at pooled cutoffs" in choice["reason"] or not about["serves"]
    assert any(about["serves"] for about in served.config["surfaces"].values())


def test_its_lists_say_what_ranked_them(run: Run, little: Snapshot, split: Holdout, lessons: StackedLessons) -> None:
    surface = Surface.STARTUPS_FOR_INVESTOR
    bundles = {**split.bundles, STACKED: lessons.bundle(little.as_of_us, {}, {})}
    recipe = open_recommender(surface, bundles, run.settings)
    rows = recipe.owners.owners_of(surface)
    rows = rows[~recipe.owners.opted_out[rows]]
    lists = recommend(recipe, recipe.batch(rows, split.before), 10)
    assert set(lists.ranker.tolist()) == {5} and (np.diff(lists.indptr) > 0).all()


def test_more_outcomes_move_it_from_the_prior(little: Snapshot, lessons: StackedLessons) -> None:
    first = lessons.bundle(lessons.pasts[-1].holdout.cut_us, {}, {})
    last = lessons.bundle(little.as_of_us, {}, {})
    for surface in lessons.lists:
        for part in (KNOWN, UNSEEN):
            assert np.array_equal(first.arrays[f"{surface.folder}-{part}"], prior_of(part))
        assert not np.array_equal(last.arrays[f"{surface.folder}-{KNOWN}"], prior_of(KNOWN))
        assert last.config["surfaces"][surface.value]["lists"][KNOWN] > 0


def test_later_events_do_not_change_it(little: Snapshot, split: Holdout, lessons: StackedLessons) -> None:
    """Events from the validation split on are moved to other items: the evaluated ranker has the same bytes."""
    rng = np.random.default_rng(0)
    events = little.heard
    late = events.at >= split.cut_us
    item = np.where(late, rng.permutation(events.item), events.item).astype(np.int32)

    def otherwise(x: Any) -> Any:
        other = _Other(replace(events, item=item))
        return replace(x, past=replace(x.past, holdout=replace(x.past.holdout, snapshot=other)))

    changed = replace(lessons, lists={s: [otherwise(x) for x in those] for s, those in lessons.lists.items()})
    before, after = (x.bundle(split.cut_us, {}, {}) for x in (lessons, changed))
    assert all(array.tobytes() == after.arrays[name].tobytes() for name, array in before.arrays.items())
    now, then = (x.bundle(little.as_of_us, {}, {}) for x in (lessons, changed))
    assert any(array.tobytes() != then.arrays[name].tobytes() for name, array in now.arrays.items())


class _Other:
    """A snapshot with other events."""

    def __init__(self, heard: Interactions) -> None:
        self.heard = heard


def test_only_a_ranker_that_is_missing_is_reported_as_left_out(
    planted_run: Run, planted: Snapshot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The comparison at pooled cutoffs goes back to cutoffs before all samples."""
    monkeypatch.setattr(Snapshot, "open", classmethod(lambda cls, path: planted))
    monkeypatch.setattr(second_stage, "small_surfaces", lambda holdout: tuple(Surface))
    run = replace(planted_run, id="pooled")
    with caplog.at_level("WARNING"):
        refs = {r.name: r for r in train_ranker(run, run.reference(snapshot=planted.name))}
    missing = run.artifacts.open_bundle(LEARNED, refs[LEARNED].version).config["left_out"]
    assert {s.value for s in Surface if f"left out on {s}:" in caplog.text} == set(missing)


def test_the_comparison_pools_earlier_cutoffs(little: Snapshot, split: Holdout, lessons: StackedLessons) -> None:
    surface = Surface.STARTUPS_FOR_INVESTOR
    asked: list[int] = []
    ballot = {STACK: np.array([0.5]), "rules": np.array([0.25])}

    found = pooled_ballot(lessons, surface, split, ballot, lambda cut_us: asked.append(cut_us))

    ends = {p.holdout.cut_us: p.until_us for p in lessons.pasts}
    assert asked == sorted(asked, reverse=True) and asked
    assert all(ends[cut] <= later for cut, later in zip(asked, [split.cut_us, *asked], strict=False))
    assert len(found[STACK]) == len(found["rules"]) > 1 and np.isnan(found["learned"]).all()
    assert found[STACK][0] == 0.5
