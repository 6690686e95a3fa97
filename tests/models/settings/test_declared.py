"""Every setting is declared once. All texts about settings follow from its declaration."""

from __future__ import annotations

import re
import tomllib
from importlib import import_module, util
from pathlib import Path
from typing import Any

import pytest

from models.errors import SettingsError
from models.experiments import CHANGEABLE
from models.setting import Phase
from models.settings.declared import ALL_TABLES, DECLARED, Declared, in_toml, variables
from models.settings.load import RETIRED, USUAL, Retired, check_record
from models.settings.settings import Settings
from models.settings.written import page, toml
from tests.models.settings.values import another

ALL = list(DECLARED.values())
FILED = [d for d in ALL if d.table]
CHECKOUT = USUAL.parent
#: Names in the source documents. They are valid in the environment and in the file.
NINE = {
    "ENABLE_ALS",
    "ENABLE_TWO_TOWER",
    "ENABLE_ENSEMBLE",
    "ALS_MODEL_PATH",
    "TWO_TOWER_MODEL_PATH",
    "COLD_START_THRESHOLD",
    "WARM_USER_THRESHOLD",
    "ENSEMBLE_ALS_WEIGHT",
    "ENSEMBLE_TWO_TOWER_WEIGHT",
}


def name(d: Declared | Retired) -> str:
    return d.flat


def text(d: Declared, value: Any) -> str:
    shown = str.__str__(value) if isinstance(value, str) else str(d.written(value))
    return shown.lower() if d.kind is bool else shown


def from_file(tmp_path: Path, *lines: str) -> Settings:
    path = tmp_path / "own.toml"
    path.write_text("\n".join(lines))
    return Settings.from_env({"MATCHBOOK_CONFIG": str(path), "MATCHBOOK_HOME": "/h"})


@pytest.mark.parametrize("d", FILED, ids=name)
def test_file_and_variable_give_the_same_settings(d: Declared, tmp_path: Path) -> None:
    value = another(d)
    others = {o.flat: o.default for o in variables()[d.variable]} | {d.flat: value}
    written = "/".join(text(DECLARED[flat], v) for flat, v in others.items())
    filed = from_file(tmp_path, f"[{d.table}]", f"{d.key} = {in_toml(value)}")
    given = Settings.from_env({d.variable: written, "MATCHBOOK_HOME": "/h"})
    assert filed.value(d.flat) == given.value(d.flat) == value != d.default
    assert filed.layered({"config": ""}, "") == given and filed.digest() == given.digest()
    assert filed.origin(d.flat).endswith("own.toml") and given.origin(d.flat) == d.variable
    assert (filed != Settings.from_env({"MATCHBOOK_HOME": "/h"}).layered({"config": filed.config}, "")) is True


@pytest.mark.parametrize("d", [d for d in ALL if not d.table and d.flat != "experiments"], ids=name)
def test_a_setting_of_the_environment_is_read(d: Declared) -> None:
    value = another(d)
    if d.flat == "config":
        value = str(USUAL)
    assert Settings.from_env({d.variable: text(d, value)}).value(d.flat) == value


@pytest.mark.parametrize("d", [d for d in ALL if d.recorded], ids=name)
def test_what_is_recorded_is_read_again(d: Declared) -> None:
    for value in (another(d), None) if d.optional else (another(d),):
        settings = Settings().layered({d.flat: value}, "here")
        again = Settings().with_recorded(settings.recorded(), "recorded with r")
        assert again == settings and settings.recorded()[d.flat] == d.written(value)
        assert settings.origin(d.flat) == ("here" if value != d.default else "default")


def test_a_setting_can_be_unset_also_by_minus_one(tmp_path: Path) -> None:
    open_ones = [d for d in ALL if d.optional]
    assert len(open_ones) > 5
    for d in open_ones:
        assert from_file(tmp_path, f"[{d.table}]", f'{d.key} = "unset"').value(d.flat) is None
        assert Settings.from_env({d.variable: "unset"}).value(d.flat) is None
        assert Settings().with_recorded({d.flat: "" if d.kind is str else -1}).value(d.flat) is None
        if d.kind is not str:
            assert Settings.from_env({d.variable: "-1"}).value(d.flat) is None


def test_every_default_lies_within_its_bounds() -> None:
    for d in ALL:
        if d.default is not None:
            assert d.of_value(d.default if d.kind is not Path else str(d.default), d.name) == d.default
        assert all(d.of_value(value, d.name) == value for value in d.rule.tune), f"{d.name}: a grid beyond the bounds"
        assert d.rule.doc and "|" not in d.rule.doc, f"{d.name}: its line goes into a table"


def test_a_name_means_one_setting() -> None:
    places = [(d.table, d.key) for d in ALL]
    assert len(set(places)) == len(places)
    shared = {v for v, sets in variables().items() if len(sets) > 1}
    assert shared == {v for v in variables() if v.startswith("MATCHBOOK_GATE_") and len(variables()[v]) == 2}
    assert {d.variable for d in FILED if d.in_environment} == NINE
    assert not {r.variable for r in RETIRED} & set(variables())


def test_an_arm_changes_exactly_what_acts_on_finished_models() -> None:
    assert set(CHANGEABLE) == {d.flat for d in ALL if d.rule.phase is Phase.SERVE}


def test_the_shipped_file_is_made_from_the_declarations(tmp_path: Path) -> None:
    shipped = (CHECKOUT / "matchbook.toml").read_text()
    if any(tomllib.loads(shipped).values()):  # the owner of the checkout changed the file, so it must only be valid
        Settings.from_env({"MATCHBOOK_CONFIG": str(CHECKOUT / "matchbook.toml")})
    else:
        assert shipped == toml(), "run `python -m pipelines settings --write`"
    assert not any(tomllib.loads(toml()).values()), "a default is not commented out"
    every = re.sub(r"^#(?! )", "", toml(), flags=re.MULTILINE)
    said = tomllib.loads(every)
    assert {(t, k) for t, keys in said.items() for k in keys} == {(d.table, d.key) for d in FILED}
    assert from_file(tmp_path, every).layered({"config": "", "home": Path(".matchbook")}, "") == Settings()


def test_the_page_is_made_from_the_declarations() -> None:
    assert (CHECKOUT / "docs" / "reference" / "settings.md").read_text() == page(), (
        "run `python -m pipelines settings --write`"
    )


@pytest.mark.parametrize("r", RETIRED, ids=name)
def test_a_retired_setting_names_its_constant(r: Retired) -> None:
    constant, place = r.constant.split(" of ")
    module = place.removesuffix(".py").replace("/", ".")
    assert util.find_spec(module) is not None, f"{r.variable} sends people to {place}"
    assert getattr(import_module(module), constant) == r.value
    Settings.from_env({r.variable: f"{r.value:g}"})
    with pytest.raises(SettingsError, match=f"{r.variable} is no longer a setting but a constant.*{constant}"):
        Settings.from_env({r.variable: "7"})
    check_record({r.flat: r.value}, "20130405T000001Z")
    with pytest.raises(SettingsError, match=f"20130405T000001Z was made with {r.flat}=7.*--fresh"):
        check_record({r.flat: 7}, "20130405T000001Z")


def test_every_table_is_in_the_file_once() -> None:
    assert re.findall(r"^\[(\w+)\]$", toml(), re.MULTILINE) == list(ALL_TABLES)
