"""Search the base models' settings: trials, resuming, the winner, its use in the next build."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.als import AlsConfig
from models.errors import DataError
from models.settings.settings import Settings
from pipelines.__main__ import main
from pipelines.export.snapshot import Snapshot
from pipelines.run.run import TUNING, Run, parse_instant
from pipelines.train.tune import Trial, Trials, grid_of, next_values, start_of, summary, tune, whole_grid
from tests.pipelines.train.market import AS_OF, small

MODELS = ("als_v1", "item_neighbours_v1")


def reverse_of(settings: Settings) -> AlsConfig:
    """Return the settings that fit reverse ALS."""
    config: AlsConfig = settings.table("als_reverse").completed(settings.of(AlsConfig))
    return config


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return small settings where tuning may change the defaults."""
    return small(home=tmp_path, als_factors=Settings().value("als_factors"), als_iterations=2)


def stored(settings: Settings) -> list[Trial]:
    (path,) = (settings.artifacts / "tuning").glob("*/trials.jsonl")
    return list(Trials(path))


def trial(values: dict[str, object], ndcg: list[float], model: str = "als_v1") -> Trial:
    return Trial(model, values, np.array(ndcg), 1.0)


def test_a_second_call_goes_on_where_the_first_ended(settings: Settings, planted: Snapshot, tmp_path: Path) -> None:
    told: list[float] = []
    tune(settings, planted, trials=3, models=MODELS, progress=lambda done, about: told.append(done))
    first = stored(settings)
    tune(settings, planted, trials=3, models=MODELS)
    both = stored(settings)
    whole = replace(settings, home=tmp_path / "elsewhere")
    tune(whole, planted, trials=6, models=MODELS)
    assert told == [1, 2, 3] and len(first) == 3 and len(both) == 6
    assert [(t.model, t.values, t.ndcg.tolist()) for t in both] == [
        (t.model, t.values, t.ndcg.tolist()) for t in stored(whole)
    ]
    assert [t.model for t in both] == ["als_v1", "item_neighbours_v1"] * 3
    assert both[0].values == start_of("als_v1", settings) and both[0].values["als_alpha"] == 40.0
    assert len({json.dumps(t.values) for t in both}) == 6


def test_a_budget_of_seconds_ends(settings: Settings, planted: Snapshot) -> None:
    found = tune(settings, planted, seconds=0.05, models=MODELS)
    assert stored(settings) and json.loads((settings.artifacts / TUNING).read_text()) == found
    assert tune(settings, planted, models=MODELS) == found, "without a budget nothing is tried"


def test_a_torn_line_is_passed_over(tmp_path: Path) -> None:
    trials = Trials(tmp_path / "trials.jsonl")
    trials.add(trial({"als_alpha": 3.0}, [0.25, 0.0]))
    with trials.path.open("a") as file:
        file.write('{"model": "als_v1", "valu')
    (found,) = list(trials)
    assert found.values == {"als_alpha": 3.0} and found.ndcg.tolist() == [0.25, 0.0]


def test_a_chosen_setting_is_not_searched(settings: Settings) -> None:
    chosen = settings.layered({"als_alpha": 7.0}, "given")
    assert "als_alpha" not in grid_of("als_v1", chosen) and "als_reverse_alpha" not in grid_of("als_reverse_v1", chosen)
    asked = replace(settings, origins={"als_factors": "MATCHBOOK_ALS_FACTORS"})
    assert "als_factors" not in grid_of("als_v1", asked) and "als_alpha" in grid_of("als_v1", asked)


def test_a_reverse_start_has_the_values_of_the_forward_one_where_it_follows_it(settings: Settings) -> None:
    start = start_of("als_reverse_v1", settings)
    assert (
        start["als_reverse_alpha"] == settings.of(AlsConfig).alpha == 40.0
        and settings.value("als_reverse_alpha") is None
    )
    assert start["als_reverse_damping"] == settings.table("als_reverse").damping == "log"


def test_near_the_best_is_tried_until_the_grid_is_exhausted(settings: Settings) -> None:
    done: list[Trial] = []
    while (values := next_values("item_neighbours_v1", done, settings)) is not None:
        good = values["neighbours_half_life_share"] == 0.25
        done.append(trial(values, [1.0 if good else 0.0], "item_neighbours_v1"))
    grid = whole_grid("item_neighbours_v1")
    assert len(done) == np.prod([len(options) for options in grid.values()])


def test_only_what_is_beyond_chance_is_taken_over(settings: Settings) -> None:
    start, rng = start_of("als_v1", settings), np.random.default_rng(0)
    base = rng.random(400)
    better, lucky = {**start, "als_alpha": 3.0}, {**start, "als_alpha": 10.0}
    one = trial(start, base.tolist())
    noise = trial(lucky, (base + rng.normal(0.002, 0.2, 400)).tolist())
    found = summary([one, noise], settings, "s", "c")
    assert found["settings"] == {} and not found["models"]["als_v1"]["adopted"]
    found = summary([one, noise, trial(better, (base + 0.01).tolist())], settings, "s", "c")
    assert found["settings"] == better and found["models"]["als_v1"]["gain"]["low"] > 0
    reverse = trial(start_of("als_reverse_v1", settings), base.tolist(), "als_reverse_v1")
    found = summary([one, trial(better, (base + 0.01).tolist()), reverse], settings, "s", "c")
    assert found["settings"]["als_alpha"] == 3.0 and found["settings"]["als_reverse_alpha"] == 40.0


def test_a_model_without_enough_data_is_tried_once(settings: Settings, planted: Snapshot) -> None:
    found = tune(
        settings.layered({"graph_filter_min_pairs": 1000.0}, "given"), planted, trials=3, models=["graph_filter_v1"]
    )
    (only,) = stored(settings.layered({"graph_filter_min_pairs": 1000.0}, "given"))
    assert not len(only.ndcg) and found["models"] == {}


def test_a_failed_fit_never_wins(settings: Settings) -> None:
    start = start_of("als_v1", settings)
    found = summary([trial(start, [0.1, 0.2]), trial({**start, "als_alpha": 3.0}, [])], settings, "s", "c")
    assert found["models"]["als_v1"]["best"]["values"] == start
    assert summary([trial(start, [])], settings, "s", "c")["models"] == {}


def write(settings: Settings, found: object) -> None:
    path = settings.artifacts / TUNING
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found))


def test_the_next_build_takes_it_over_and_records_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plain, at = Settings(home=tmp_path), parse_instant(AS_OF)
    tuned = {"als_alpha": 3.0, "als_factors": 32, "als_reverse_alpha": 10.0, "no_longer_known": 1}
    write(plain, {"snapshot": "s", "cut": "c", "settings": tuned})
    with caplog.at_level("INFO"):
        run = Run.start(plain, "next", at)
    assert (run.settings.of(AlsConfig).alpha, run.settings.of(AlsConfig).factors) == (3.0, 32)
    assert reverse_of(run.settings).alpha == 10.0
    assert Run.open(plain, "next").settings.of(AlsConfig).alpha == 3.0 and '"als_alpha": 3.0' in caplog.text
    asked = Settings.from_env({"MATCHBOOK_HOME": str(tmp_path), "MATCHBOOK_ALS_ALPHA": "40.0"})
    mine = Run.start(asked, "asked", at).settings
    assert (mine.of(AlsConfig).alpha, mine.of(AlsConfig).factors) == (40.0, 32), (
        "the environment wins, even with the default"
    )
    assert reverse_of(mine).alpha == 40.0, "and for reverse ALS, which follows it"


def test_a_cutoff_built_before_keeps_its_settings(tmp_path: Path) -> None:
    plain, at = Settings(home=tmp_path), parse_instant(AS_OF)
    before = Run.start(plain, "before", at)
    place = plain.artifacts / "snapshots" / f"{before.slug}-00000000"
    place.mkdir(parents=True)
    (place / "manifest.json").write_text(json.dumps({"settings": before.settings.recorded()}))
    write(plain, {"settings": {"als_alpha": 3.0}})
    assert Run.start(plain, "again", at).settings.of(AlsConfig).alpha == 40.0
    assert Run.start(plain, "fresh", at, fresh=True).settings.of(AlsConfig).alpha == 3.0


def test_a_damaged_note_is_named(tmp_path: Path) -> None:
    write(Settings(home=tmp_path), ["nonsense"])
    with pytest.raises(DataError, match=r"tuning\.json"):
        Run.start(Settings(home=tmp_path), "next", parse_instant(AS_OF))


def test_the_command_searches_and_shows(
    settings: Settings, planted: Snapshot, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MATCHBOOK_HOME", str(settings.home))
    assert main(["tune", "--show"]) == 1 and main(["tune"]) == 1
    assert "run `python -m pipelines tune` first" in capsys.readouterr().err
    monkeypatch.setattr(Snapshot, "open", classmethod(lambda cls, path: planted))
    model = "item_neighbours_v1"
    assert main(["tune", "--snapshot", "memory", "--trials", "2", "--models", model, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["models"][model]["trials"] == 2 and found["snapshot"] == planted.name
    assert main(["tune", "--show"]) == 0
    shown = capsys.readouterr().out
    assert model in shown and ("adopted" in shown)
