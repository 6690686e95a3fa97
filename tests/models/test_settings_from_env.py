"""The door of the environment: any value of any variable is a setting or a SettingsError that names the variable."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from models.errors import SettingsError
from models.settings import Settings

VARIABLES = [f.metadata["env"] for f in fields(Settings) if f.metadata["env"]]
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
def test_an_odd_value_is_taken_or_refused_in_words(variable: str, value: str) -> None:
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
def test_an_address_of_no_server_is_refused_in_words(variable: str, address: str) -> None:
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
