"""Read the environment: each value gives a setting or a SettingsError that names the variable."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from models.als import AlsConfig
from models.errors import SettingsError
from models.settings import load
from models.settings.declared import variables
from models.settings.settings import Settings

VARIABLES = sorted(variables())
ODD = (
    "nan",
    "inf",
    "-inf",
    "1e999",
    "-1",
    "9" * 5000,
    "0x10",
    "٣",
    "１",
    " 5 ",
    "1_0",
    "true ",
    "\n",
    "é",
    "\udcff",
    "~nobody/x",
    "~",
    "a/b",
    "1/2/3",
    "nan/nan",
    "0.1/inf",
    "tcp://10.0.0.1:5000",
    "postgresql://",
    "redis://x?protocol=3",
    "/dev/null",
    ".",
    "..",
    "[]",
    "{}",
    "None",
    "~nosuchuser/x",
    "x" * 9_000,
    "[" * 9_000,
)


@effort(max_examples=1500, derandomize=True, database=None)
@given(st.sampled_from(VARIABLES), st.sampled_from(ODD) | st.text(st.characters(exclude_characters="\0"), max_size=20))
def test_an_odd_value_is_taken_or_refused_with_an_error(variable: str, value: str) -> None:
    try:
        Settings.from_env({variable: value}).digest()
    except SettingsError as error:
        assert variable in str(error)
        assert len(str(error)) < 1000


@pytest.mark.parametrize("variable", VARIABLES)
def test_every_variable_takes_every_odd_value(variable: str) -> None:
    for value in ODD:
        try:
            Settings.from_env({variable: value})
        except SettingsError as error:
            assert variable in str(error)


@pytest.mark.parametrize("variable", ["REDIS_URL", "DATABASE_URL", "MATCHBOOK_READER_DATABASE_URL"])
@pytest.mark.parametrize(
    "address",
    [
        *(o for o in ODD if o not in ("postgresql://", "redis://x?protocol=3")),
        "localhost:6379",
        "http://x",
        "redis",
        "//h",
        "sqlite:///x",
        "redis://h:abc",
        "redis://h:99999/0",
        "redis://[::1",
        "redis://:pa/ss@h:1/0",
        "postgresql://u:p#w@h:x",
        "postgresql://h:0/x",
    ],
)
def test_an_address_without_a_server_is_refused_with_an_error(variable: str, address: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable} must be") as said:
        Settings.from_env({variable: address})
    assert "pa/" not in str(said.value) and "p#w" not in str(said.value), "no part of a password is shown"


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("unix:///run/redis.sock?db=1&protocol=3", "unix:///run/redis.sock?db=1"),
        ("redis://h", "redis://h"),
        ("rediss://:p%40@h:1/2?protocol=3", "rediss://:p%40@h:1/2"),
        ("redis://h/0?ssl_ca_certs=/x", "redis://h/0?ssl_ca_certs=/x"),
    ],
)
def test_an_address_of_redis_stays_what_it_is(address: str, kept: str) -> None:
    assert Settings.from_env({"REDIS_URL": address}).redis_address == kept


@pytest.mark.parametrize("service", ["MATCHBOOK", "MATCHBOOK_READER", "MATCHBOOK_AIRFLOW"])
def test_what_an_orchestrator_injects_is_ignored(service: str) -> None:
    injected = {
        f"{service}_SERVICE_HOST": "10.0.0.1",
        f"{service}_SERVICE_PORT": "5000",
        f"{service}_SERVICE_PORT_HTTP": "5000",
        f"{service}_PORT": "tcp://10.0.0.1:5000",
        f"{service}_PORT_5000_TCP": "tcp://10.0.0.1:5000",
        f"{service}_PORT_5000_TCP_PROTO": "tcp",
        f"{service}_PORT_5000_TCP_PORT": "5000",
        f"{service}_PORT_5000_TCP_ADDR": "10.0.0.1",
    }
    assert Settings.from_env(injected) == Settings.from_env({})
    with pytest.raises(SettingsError, match="MATCHBOOK_REDER_PORT"):
        Settings.from_env({"MATCHBOOK_REDER_PORT": "5000"})


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("[als]\nfactor = 3", r"\[als\] factor is no setting.*nearest is \[als\] factors"),
        ("[asl]\nfactors = 3", r"\[asl\] is no table.*nearest is \[als\]"),
        ("[reader]\nport = 3", "nearest is MATCHBOOK_READER_PORT in the environment"),
        ("[ensemble]\nepochs = 3", "is no setting"),
        ("als_factors = 3", r"als_factors is outside any table; the nearest is \[als\] factors"),
        ('[als]\nfactors = "3"', r"\[als\] factors must be int, got '3'; default 128"),
        ("[als]\nfactors = true", r"\[als\] factors must be int"),
        ("[als]\nfactors = 0", r"\[als\] factors must lie in 1..1024, got 0"),
        ("[als]\nfactors = -1", r"must lie in 1..1024"),
        ("[als]\nalpha = nan", r"\[als\] alpha must be float"),
        ('[als]\ndamping = "much"', r"\[als\] damping must be one of none, log, binary, got 'much'"),
        ('[ranker]\nhidden = "32/16"', r"\[ranker\] hidden must be whole numbers"),
        ("[ranker]\nhidden = [32, 1.5]", r"\[ranker\] hidden must be whole numbers"),
        ("[ranker]\nhidden = [0]", r"\[ranker\] hidden must lie in 1..4096"),
        ("[gate]\ncoverage_stop = 0.1", r"\[gate\] coverage_ask must lie in 0..coverage_stop"),
        ("[als", "must name a TOML file"),
    ],
)
def test_a_mistake_in_the_file_is_refused_with_an_error(lines: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(lines)
    with pytest.raises(SettingsError, match=told):
        Settings.from_env({"MATCHBOOK_CONFIG": str(tmp_path / "own.toml")})


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="MATCHBOOK_CONFIG must name a TOML file"):
        Settings.from_env({"MATCHBOOK_CONFIG": str(tmp_path / "none.toml")})


def test_a_misspelled_variable_names_the_nearest_one() -> None:
    with pytest.raises(SettingsError, match=r"nearest is \[als\] factors \(MATCHBOOK_ALS_FACTORS\)"):
        Settings.from_env({"MATCHBOOK_ALS_FACTOR": "3"})


def test_the_environment_goes_before_the_file_and_that_before_tuning(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("[als]\nfactors = 32\nalpha = 3.0\n[content]\nterms = 20000\n")
    given = {"MATCHBOOK_CONFIG": str(tmp_path / "own.toml"), "MATCHBOOK_ALS_FACTORS": "16"}
    found = {"als_factors": 64, "als_alpha": 10.0, "als_iterations": 30, "content_terms": 5, "gone": 1}
    settings = Settings.from_env(given).with_tuned(found, "tuning.json")
    assert (settings.of(AlsConfig).factors, settings.of(AlsConfig).alpha, settings.of(AlsConfig).iterations) == (
        16,
        3,
        30,
    )
    assert settings.value("content_terms") == 20_000, "who writes a default down has chosen it"
    assert settings.origin("als_factors") == "MATCHBOOK_ALS_FACTORS"
    assert settings.origin("als_iterations") == "tuning.json"
    assert settings.with_recorded({"als_factors": 8, "gone": 1}).of(AlsConfig).factors == 8


def test_a_moved_variable_is_reported_once(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_told", set())
    for _ in range(2):
        Settings.from_env({"MATCHBOOK_GATE_RBO": "0.1/0.2", "COLD_START_THRESHOLD": "3", "MATCHBOOK_RRF_K": "60"})
    assert [r.getMessage() for r in caplog.records] == [
        "MATCHBOOK_GATE_RBO is used, but its place is now matchbook.toml: [gate] rbo_ask, [gate] rbo_stop",
        "MATCHBOOK_RRF_K is no longer a setting but a constant, 60: RRF_K of models/ensemble/scorer.py; remove the "
        "variable",
    ]
