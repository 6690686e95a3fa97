"""Report settings without effect, and apply the mode to single settings."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from models.ensemble import EnsembleConfig
from models.errors import SettingsError
from models.experiments import read_experiments
from models.ranker import RankerConfig
from models.recommender.surface import possible_rankers
from models.setting import Idle
from models.settings.declared import ALL_TABLES, DECLARED, in_toml
from models.settings.idle import SWITCHES, condition, conditions, idle_choices, idle_line, reason, switched
from models.settings.modes import MODES, SEED, SETTINGS
from models.settings.settings import Settings
from models.settings.written import page, toml
from tests.models.settings.values import another

SEEDED = Settings().layered({"ranking_mode": SEED}, "given")


def test_file_and_page_show_where_a_setting_has_no_effect() -> None:
    said = [d for d in DECLARED.values() if conditions(d)]
    assert {"ensemble_als_weight", "rule_model_weight", "candidate_multiplier"} <= {d.flat for d in said}
    for d in said:
        assert f"# {conditions(d)}\n#{d.key} = " in toml()
        section = page().partition(f"\n## [{d.table}]\n")[2].partition("\n## ")[0]
        for idle in d.rule.idle:
            line = next(x for x in section.splitlines() if x.startswith(f"- No effect where {condition(idle)}: "))
            assert f"`{d.key}`" in line
    for d in (DECLARED[flat] for flat in MODES[SEED]):
        assert re.search(rf"^- \[{d.table}\] .*`{d.key}` {re.escape(in_toml(MODES[SEED][d.flat]))}[,\n]", page(), re.M)
    for table in SWITCHES:
        assert f"\n[{table}]\n# {switched(table)}\n" in toml() and switched(table) in page()


def test_a_condition_names_settings_and_rankers_that_exist() -> None:
    kinds = {*Settings().of(RankerConfig).__class__.__dataclass_fields__["kind"].metadata["rule"].choices} - {"auto"}
    conditions_ = [i for d in DECLARED.values() for i in d.rule.idle]
    assert len(conditions_) > 20
    for idle in conditions_:
        assert idle != Idle() and set(idle.rankers) < kinds
        for path, values in idle.where:
            table, _, key = path.partition(".")
            d = next(d for d in DECLARED.values() if (d.table, d.key) == (table, key))
            assert all(d.of_value(value, path) == value for value in values)


def test_a_mode_decides_settings_that_exist_with_values_that_they_take() -> None:
    assert set(MODES) == {SETTINGS, SEED} and not MODES[SETTINGS]
    for flat, value in MODES[SEED].items():
        d = DECLARED[flat]
        assert d.table in ALL_TABLES and type(d.of_value(value, flat)) is type(value)
        assert SEEDED.value(flat) == value and SEEDED.origin(flat) == "[ranking] mode = seed"


@pytest.mark.parametrize("flat", MODES[SEED])
def test_the_mode_overrides_a_single_setting_and_reports_it(flat: str) -> None:
    d = DECLARED[flat]
    contrary = another(d) if another(d) != MODES[SEED][flat] else d.default
    settings = Settings().layered({flat: contrary, "ranking_mode": SEED}, "own.toml")
    assert settings.value(flat) == MODES[SEED][flat] and settings.given(flat) == contrary
    assert reason(d, settings, possible_rankers(settings)).startswith("[ranking] mode = seed makes it ")
    named = idle_choices([(settings, possible_rankers(settings))])
    assert (flat in named) == (contrary != d.default)
    assert settings == SEEDED.layered({flat: contrary}, "later"), "whatever came first"
    assert settings.layered({"ranking_mode": SETTINGS}, "back").value(flat) == contrary
    assert Settings().with_recorded(settings.recorded()) == settings
    assert settings.without_mode().layered({flat: contrary}, "code").value(flat) == contrary


def test_a_record_without_a_mode_was_made_by_single_settings() -> None:
    old = {n: v for n, v in Settings().recorded().items() if n != "ranking_mode"}
    assert SEEDED.with_recorded(old) == Settings()


def test_the_mode_is_read_from_file_and_variable(tmp_path: Any) -> None:
    (tmp_path / "own.toml").write_text('[ranking]\nmode = "seed"\n[ensemble]\nals_weight = 0.9\n')
    filed = Settings.from_env({"MATCHBOOK_CONFIG": str(tmp_path / "own.toml"), "MATCHBOOK_HOME": "/h"})
    given = {"MATCHBOOK_RANKING_MODE": "seed", "ENSEMBLE_ALS_WEIGHT": "0.9", "MATCHBOOK_HOME": "/h"}
    for settings in (filed, Settings.from_env(given)):
        assert settings.of(EnsembleConfig).als_weight == 0.6 and settings.lists.candidate_sources == "route"
    with pytest.raises(SettingsError, match=r"MODE must be one of settings, seed, got 'sead'"):
        Settings.from_env({"MATCHBOOK_RANKING_MODE": "sead"})


def test_the_line_names_rankers_and_settings() -> None:
    settings = Settings().layered({"rule_model_weight": 0.9}, "own.toml")
    line = idle_line([(settings, ["learned"])])
    assert line.startswith(
        "ranker: learned; set, but without effect: rules.model_weight = 0.9 "
        "(the ranker is learned, mlp, stacked or off); "
        "also without effect: "
    )
    assert "lists.candidate_multiplier" in line and "ensemble.als_weight" in line and "ranker.cuts" not in line
    both = idle_line([(settings, ["learned"]), (settings, ["rules"])])
    assert both.startswith("ranker: learned, rules") and "rules.model_weight" not in both, "an arm uses it"
    network = "ranker.epochs, ranker.batch, ranker.learning_rate, ranker.hidden"
    assert idle_line([(Settings(), ["rules", "learned"])]) == f"ranker: learned, rules; without effect: {network}"


def test_a_switch_that_is_off_is_reported_for_the_whole_table() -> None:
    settings = Settings().layered({"enable_two_tower": False, "two_tower_epochs": 3}, "own.toml")
    named = idle_choices([(settings, possible_rankers(settings))])
    assert named["two_tower_epochs"] == "two_tower.epochs = 3 ([routing] enable_two_tower is false)"


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({}, {"learned", "mlp", "stacked", "rules"}),
        ({"ranker": "stacked"}, {"stacked", "rules"}),
        ({"ranker_cuts": 0}, {"mlp", "rules"}),
        ({"candidate_sources": "route"}, {"mlp", "rules"}),
        ({"ranker": "learned"}, {"learned", "rules"}),
        ({"ranker": "rules"}, {"rules"}),
        ({"ranker": "off"}, {"off"}),
        ({"ranking_mode": "seed"}, {"mlp", "rules"}),
    ],
)
def test_what_may_rank_is_known_before_a_build(changes: dict[str, Any], kinds: set[str]) -> None:
    assert possible_rankers(Settings().layered(changes, "given")) == kinds


def test_an_arm_that_changes_what_the_mode_decides_is_refused() -> None:
    def settings(mode: str, **arm: Any) -> Settings:
        arms = [{"name": "a", "weight": 1}, {"name": "b", "weight": 1, "settings": arm}]
        one = {"name": "e", "salt": "s", "surfaces": ["startups/for-developer"], "share": 1, "arms": arms}
        return Settings().layered({"ranking_mode": mode, "experiments": json.dumps([one])}, "given")

    for mode, arm in ((SEED, {"blend": "rrf"}), (SETTINGS, {"ranking_mode": SEED, "blend": "rrf"})):
        with pytest.raises(SettingsError, match=r"\[ranking\] mode = seed leaves open, got \[\"blend\"\]"):
            read_experiments(settings(mode, **arm))
    ((_, back),) = [e.arms for e in read_experiments(settings(SEED, ranking_mode=SETTINGS, blend="rrf"))]
    assert back.apply(SEEDED).of(EnsembleConfig).blend == "rrf" and back.apply(SEEDED).of(RankerConfig).kind == "auto"
    read_experiments(settings(SEED, depth=5))
