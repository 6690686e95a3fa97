"""Train on a platform that overwrites a view counter: the gain is real and no list is worse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models.data.bundle import Bundle
from models.data.interactions import Interactions
from models.errors import LeakFound
from models.schema import Entity, EventType, Surface
from pipelines.export.snapshot import Snapshot
from pipelines.report.figure_names import RULES, TAUGHT
from pipelines.run.run import Run, microseconds, parse_instant
from pipelines.train import leakage as leaks
from pipelines.train.calendar import split_time
from pipelines.train.contenders import contenders, ndcg_each
from pipelines.train.holdout import Holdout, open_holdout_at, outcome_of
from pipelines.train.train import fit
from pipelines.train_ranker.second_stage import SecondStage, open_second_stage
from tests.marketplace.traps import TIMES, folded, readings
from tests.pipelines.train.market import AS_OF, rows, small

pytestmark = pytest.mark.slow

CUTOFF = "2024-02-19T00:00:00Z"
SURFACE = Surface.STARTUPS_FOR_DEVELOPER


def tables() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    users, startups, events = rows(people=300, startups=300, events=6000)
    return users, *folded(startups, events, CUTOFF)


def before(startups: pd.DataFrame, read: pd.DataFrame | None = None) -> Snapshot:
    users, _, events = tables()
    return Snapshot.from_frames(users, startups, events, CUTOFF, small().recorded(), readings=read)


def stage_of(snapshot: Snapshot, home: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Run, SecondStage]:
    monkeypatch.setattr(Snapshot, "open", classmethod(lambda cls, path: snapshot))
    # the two-tower is not tested; a ranker asked for by name is trained whatever it is worth
    settings = small(home=home, ranker="learned", enable_two_tower=False)
    run = Run.start(settings, "counter", parse_instant(CUTOFF), fresh=True)
    return run, open_second_stage(run, snapshot)


def ndcg(holdout: Holdout, learned: Bundle | None, teaching: bool | None) -> dict[str, float]:
    """Return mean NDCG@10 of the learned ranker and the rules, over the evaluation half or all owners."""
    recipe = holdout.recipe(SURFACE)
    owners, outcome = holdout.everybody(recipe, 4000) if teaching is None else holdout.owners(recipe, teaching)
    those = {n: c for n, c in contenders(holdout, SURFACE, None, learned).items() if n in (TAUGHT, RULES)}
    return {name: float(each.mean()) for name, each in ndcg_each(those, owners, outcome.relevant, 1).items()}


def future(run: Run, snapshot: Snapshot) -> Holdout:
    """Return the real events after the cutoff, which the snapshot lacks, for the models of the cutoff."""
    users, startups, events = tables()
    whole = Snapshot.from_frames(users, startups, events, AS_OF, small().recorded())
    assert whole.user_ids.ids.tolist() == snapshot.user_ids.ids.tolist()
    assert whole.startup_ids.ids.tolist() == snapshot.startup_ids.ids.tolist()
    there: Interactions = whole.interactions()
    return replace(open_holdout_at(run, snapshot, snapshot.as_of_us), outcome=outcome_of(there, snapshot.as_of_us))


def test_a_counter_without_readings_changes_nothing() -> None:
    """For any value of the counter, the models have equal bytes."""
    _, startups, _ = tables()
    with_it, without = before(startups), before(startups.assign(views="", updated_at=""))
    cut_us = split_time(with_it.interactions(), 0.2)
    for name in ("catalogue_v1", "popularity_v1", "activity_v1"):
        for instant in (cut_us, None):
            assert fit(name, with_it, small(), instant).digest() == fit(name, without, small(), instant).digest()
    assert with_it.views_from == "events" and not with_it.entities(Entity.STARTUP).views.any()


def test_readings_at_the_validation_split_are_those_of_that_time() -> None:
    """The counter is a feature where it is known. Popularity uses its value at each instant (C49, R05)."""
    _, startups, _ = tables()
    everything = rows(people=300, startups=300, events=6000)[2]
    snapshot = before(startups, readings(everything, "2024-01-02", CUTOFF))
    assert snapshot.views_from == "readings"
    for day in ("2024-01-20", "2024-02-08", "2024-02-18"):
        seen = everything[everything.occurred_at < f"{day}T00:00:00Z"].groupby("startup_id").size()
        views = snapshot.entities(Entity.STARTUP, microseconds(parse_instant(day)) + 1).views
        expected = seen.reindex(snapshot.startup_ids.ids).fillna(0).to_numpy() * TIMES
        late = (pd.Timestamp(day) - pd.Timestamp("2024-01-02")).days % 3  # days since the last reading
        assert (views <= expected).all() and views.sum() > 0.8 * expected.sum()
        assert late or (views == expected).all()
    read, unread = (fit("popularity_v1", s, small()).arrays["startup_popularity"] for s in (snapshot, before(startups)))
    assert not np.array_equal(read, unread) and read.max() == 1


@pytest.mark.parametrize("read", [False, True])
def test_the_evaluated_gain_of_the_ranker_is_real(read: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, startups, _ = tables()
    everything = rows(people=300, startups=300, events=6000)[2]
    snapshot = before(startups, readings(everything, "2024-01-02", CUTOFF) if read else None)
    run, stage = stage_of(snapshot, tmp_path, monkeypatch)
    cut_us, bundles = stage.holdout.cut_us, stage.holdout.bundles
    leaks.check_leaks(snapshot, run.settings, cut_us, bundles)
    leaks.check_missing(snapshot, run.settings, cut_us, bundles)
    judged, earned = ndcg(stage.holdout, stage.judged, False), ndcg(future(run, snapshot), stage.learned, None)
    assert judged[TAUGHT] < earned[TAUGHT] + 0.05
    assert earned[TAUGHT] > 0.9 * earned[RULES]


def test_the_old_rule_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It accepts a counter written before the instant. Both checks of the build name it."""
    _, startups, _ = tables()
    snapshot = before(startups)

    def counter(self: Snapshot, viewed: np.ndarray, instant: int) -> np.ndarray:
        mine = startups.set_index("startup_id").loc[self.startup_ids.ids.tolist()]
        written = np.array([microseconds(parse_instant(t)) for t in mine.updated_at])
        return np.where(written < instant, mine.views.astype(int).to_numpy(), viewed)

    assert EventType.VIEW.code not in snapshot.interactions().kind
    monkeypatch.setattr(Snapshot, "_counter", counter)
    cut_us = split_time(snapshot.interactions(), 0.2)
    bundles = {n: fit(n, snapshot, small(), cut_us) for n in ("catalogue_v1", "popularity_v1", "activity_v1")}
    with pytest.raises(LeakFound, match="column views of startups is blank because of later events"):
        leaks.check_missing(snapshot, small(home=tmp_path), cut_us, bundles)
