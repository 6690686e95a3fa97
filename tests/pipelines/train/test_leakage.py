"""Check for leaks: the checks pass without a leak and name each planted one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from models import registry
from models.als.fit import fit_als
from models.catalogue.catalogue import catalogue_bundle
from models.content.fit import fit_content
from models.data.bundle import Bundle
from models.data.entities import Entities
from models.errors import DataError, LeakFound, TooSparse
from models.popularity.fit import fit_popularity
from models.schema import Entity
from pipelines.evaluate import evaluate as judging
from pipelines.export.past import truncated
from pipelines.export.snapshot import Snapshot
from pipelines.run.run import Run, microseconds, parse_instant
from pipelines.train import train
from pipelines.train.cutoffs import fit_at
from pipelines.train.leakage import check_labels, check_leaks
from pipelines.train.train import TrainingData, fit
from pipelines.train_ranker.second_stage import SecondStage, open_second_stage
from tests.pipelines.train.market import AS_OF, rows, small

CUT = microseconds(parse_instant("2024-02-17"))
SETTINGS = small(stage_known="first_event", graph_filter_min_pairs=0.0)
Fitter = Callable[[TrainingData], Bundle]


@cache
def snapshot() -> Snapshot:
    """Make a market with many later changes: new users, new words, opt-outs, withdrawals, readings."""
    users, startups, events = rows()
    users.loc[7, "opted_out_at"], startups["withdrawn_at"] = "2024-02-27", ""
    startups.loc[3, "withdrawn_at"] = "2024-02-28"
    read = pd.concat(
        [
            pd.DataFrame({"startup_id": startups.startup_id, "read_at": day, "views": startups.index * times})
            for day, times in (("2023-12-30", 10), ("2024-02-25", 100))
        ]
    )
    startups["stage"] = np.where(startups.index % 3, "seed", "series a")
    user = {
        "user_id": "ffffffff-ffff-4fff-bfff-fffffffffffe",
        "role": "developer",
        "interests": "zeppelins",
        "created_at": "2024-02-20",
    }
    startup = {
        "startup_id": "ffffffff-ffff-4fff-bfff-ffffffffffff",
        "category": "zeppelins",
        "stage": "seed",
        "created_at": "2024-02-20",
    }
    met = pd.DataFrame(
        {
            "user_id": [user["user_id"], *users.user_id[:40]],
            "startup_id": startup["startup_id"],
            "interaction_type": "like",
            "occurred_at": "2024-02-21T00:00:00Z",
        }
    )
    people, companies = (
        pd.concat([table, pd.DataFrame([dict.fromkeys(table, "") | one])])
        for table, one in ((users, user), (startups, startup))
    )
    return Snapshot.from_frames(people, companies, pd.concat([events, met]), AS_OF, SETTINGS.recorded(), readings=read)


@cache
def honest() -> dict[str, Bundle]:
    return {name: fit_at(name, snapshot(), SETTINGS, CUT) for name in registry.bundles()}


@pytest.mark.parametrize("name", registry.bundles())
def test_no_base_model_leaks(name: str) -> None:
    told = check_leaks(snapshot(), SETTINGS, CUT, honest(), [name])
    assert name in told[-1] or (name == "catalogue_v1" and told[-1].endswith(": none"))
    assert f"{len(registry.bundles())} models" in told[0]


def test_what_is_forgotten_is_what_came_later() -> None:
    past, now = truncated(snapshot(), CUT), snapshot()
    assert 0 < len(past.events) == (now.interactions().at < CUT).sum() < len(now.events)
    assert past.as_of_us == CUT and past.user_ids.ids.tolist() == now.user_ids.ids.tolist()
    later = now.startup_ids.rows_of(np.array(["ffffffff-ffff-4fff-bfff-ffffffffffff"]))[0]
    then = past.profiles(Entity.STARTUP)
    assert sum(then != now for then, now in zip(past.users["role"], snapshot().users["role"], strict=True)) == 1
    assert "zeppelins" in now.profiles(Entity.STARTUP)["category"] and "zeppelins" not in then["category"]
    assert then["stage"][later] == "" and "seed" in then["stage"]
    assert past.startups["withdrawn_at"].null_count == len(past.startups)
    out = past.users["opted_out_at"].drop_null().to_pylist()  # an earlier opt-out counts at every cutoff (R23)
    assert len(out) == 2 and max(microseconds(at) for at in out) < CUT
    assert 0 < 2 * len(past.readings) == len(now.readings) and past.views_from == now.views_from == "readings"


def plant(monkeypatch: pytest.MonkeyPatch, name: str, fitter: Fitter) -> None:
    honest = train.fitter_of
    monkeypatch.setattr(train, "fitter_of", lambda spec: fitter if spec.bundle == name else honest(spec))


def _everything(lesson: TrainingData) -> TrainingData:
    return replace(lesson, as_of_us=lesson.snapshot.as_of_us)


def _popularity(lesson: TrainingData) -> Bundle:
    """Counts the future but claims otherwise."""
    x = _everything(lesson)
    bundle = fit_popularity(x.users, x.startups, x.interactions, lesson.as_of_us, x.config)
    return replace(bundle, config={**bundle.config, "rows": len(lesson.interactions)})


def _als(lesson: TrainingData) -> Bundle:
    bundle = fit_als("als_v1", _everything(lesson).interactions, lesson.config)
    return replace(bundle, config={**bundle.config, "rows": len(lesson.interactions)})


def _boasting_als(lesson: TrainingData) -> Bundle:
    return fit_als("als_v1", _everything(lesson).interactions, lesson.config)


def _content(lesson: TrainingData) -> Bundle:
    x = _everything(lesson)
    return fit_content(
        x.profiles(x.users), x.profiles(x.startups), lesson.interactions, x.users.ids, x.startups.ids, x.config
    )


def _catalogue(lesson: TrainingData) -> Bundle:
    x = _everything(lesson)
    return catalogue_bundle(x.users, x.startups, {"as_of_us": lesson.as_of_us, "rows": len(lesson.interactions)})


def _late_catalogue(lesson: TrainingData) -> Bundle:
    bundle = catalogue_bundle(lesson.users, lesson.startups, {"rows": len(lesson.interactions)})
    return replace(bundle, config={**bundle.config, "as_of_us": lesson.snapshot.as_of_us})


@pytest.mark.parametrize(
    ("name", "fitter", "said"),
    [
        (
            "popularity_v1",
            _popularity,
            r"popularity_v1 changes when fitted without the future, in max \(.*startup_popularity",
        ),
        ("als_v1", _als, r"als_v1 changes when fitted without the future"),
        ("als_v1", _boasting_als, r"als_v1 was fitted on \d+ events, \d+ lie before the cut"),
        ("content_v1", _content, r"content_v1 changes when fitted without the future, in .*tokens"),
        ("catalogue_v1", _catalogue, r"other values of listed, views, interactions, count of users"),
        ("catalogue_v1", _late_catalogue, r"catalogue_v1 has as_of_us"),
    ],
)
def test_a_planted_leak_is_caught(name: str, fitter: Fitter, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = honest()  # before the leak is planted
    plant(monkeypatch, name, fitter)
    leaking = {**known, name: fit(name, snapshot(), SETTINGS, CUT)}
    with pytest.raises(LeakFound, match=said) as caught:
        check_leaks(snapshot(), SETTINGS, CUT, leaking, registry.bundles())
    assert "2024-02-17" in str(caught.value) and isinstance(caught.value, DataError)


def test_a_profile_read_too_early_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrainingData, "profiles", lambda self, who: self.snapshot.profiles(who.entity, self.as_of_us))
    with pytest.raises(LeakFound, match="read the interests of 1 users who had not arrived"):
        check_leaks(snapshot(), SETTINGS, CUT, honest())


def test_a_stage_logged_too_early_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage is that of the first round, unknown before it (stage_known)."""
    profiles = TrainingData.profiles

    def leaking(self: TrainingData, entities: Entities) -> dict[str, list[str]]:
        told = dict(profiles(self, entities))
        return {**told, **({"stage": self.snapshot.startups["stage"].to_pylist()} if "stage" in told else {})}

    monkeypatch.setattr(TrainingData, "profiles", leaking)
    with pytest.raises(LeakFound, match=r"read the stage of \d+ startups"):
        check_leaks(snapshot(), SETTINGS, CUT, honest())


def test_a_bundle_of_another_instant_is_caught() -> None:
    late = {**honest(), "item_neighbours_v1": fit("item_neighbours_v1", snapshot(), SETTINGS)}
    with pytest.raises(LeakFound, match=r"item_neighbours_v1 records the cutoff 2024-03-01"):
        check_leaks(snapshot(), SETTINGS, CUT, late)


def test_later_knowledge_of_another_program_is_found() -> None:
    of = honest()["content_v1"]
    early, late = ({**honest(), of.name: replace(of, config={**of.config, "known_before_us": CUT + n})} for n in (0, 1))
    assert check_leaks(snapshot(), SETTINGS, CUT, early, [])
    with pytest.raises(LeakFound, match=r"content_v1 was computed elsewhere from what was known before 2024-02-17"):
        check_leaks(snapshot(), SETTINGS, CUT, late, [])


def test_a_threshold_reached_only_by_future_events_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def sparse(lesson: TrainingData) -> Bundle:
        if lesson.snapshot.as_of_us == CUT:
            raise TooSparse("nothing to learn from")
        return honest()["content_v1"]

    known = honest()
    plant(monkeypatch, "content_v1", sparse)
    with pytest.raises(LeakFound, match=r"content_v1 cannot be fitted without the future \(nothing to learn from\)"):
        check_leaks(snapshot(), SETTINGS, CUT, known)


def test_labels_end_before_the_evaluation_cutoff() -> None:
    check_labels("ranker_v1", CUT - 1, CUT)
    with pytest.raises(LeakFound, match="ranker_v1 was trained on an event of 2024-02-17"):
        check_labels("ranker_v1", CUT, CUT)


@pytest.mark.slow
def test_a_leak_ends_the_evaluation(learning_run: Run, planted: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    def leaking(run: Run, market: Snapshot) -> SecondStage:
        stage = open_second_stage(run, market)
        late = replace(
            fit("popularity_v1", market, run.settings), config=dict(stage.holdout.bundles["popularity_v1"].config)
        )
        bundles = {**stage.holdout.bundles, "popularity_v1": late}
        return replace(stage, holdout=replace(stage.holdout, bundles=bundles))

    monkeypatch.setattr(judging, "open_second_stage", leaking)
    plain = replace(learning_run, settings=learning_run.settings.layered({"ranker": "rules"}, "given"))
    with pytest.raises(LeakFound, match="popularity_v1 changes when fitted without the future, in startup_popularity"):
        judging.evaluate(plain, planted.name)
