"""Find API keys by id, check them by hash, and keep their stored form over releases (L01)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from models.errors import FileError, SettingsError
from models.keys import ANSWER_KEY, PSEUDONYM_KEY, Scope, decode_keys, encode_keys, kept_key, key_of, new_key
from models.schema import EventType
from tests.paths import GOLDEN

NOW = datetime(2024, 5, 1, 2, tzinfo=UTC)
GOLDEN_FILE = GOLDEN / "api_keys_1.json"
SPELT = "mbk_3f9a2c1b04de_" + "A" * 42 + "B"  # the key of the golden file


def test_a_key_is_known_by_its_spelling_alone() -> None:
    key, spelt = new_key("backend", [Scope.READ], NOW)
    other, _ = new_key("backend", [Scope.READ], NOW)
    held = {key.id: key, other.id: other}
    assert key_of(held, spelt) == key
    last = "A" if spelt[-1] != "A" else "B"
    for wrong in (
        "",
        spelt[:-1],
        spelt[:-1] + last,
        spelt + "A",
        spelt.upper(),
        f" {spelt}",
        key.id,
        key.sha256,
        spelt.replace(key.id, other.id),
        "mbk_" + "0" * 12 + "_" + "A" * 43,
        "ключ",
        spelt + "\n",
    ):
        assert key_of(held, wrong) is None, wrong


def test_the_stored_form_does_not_hold_the_key() -> None:
    key, spelt = new_key("backend", [Scope.READ], NOW)
    secret = spelt.rpartition(f"{key.id}_")[2]
    assert len(secret) == 43  # 256 bits in URL-safe base64
    assert secret not in encode_keys([key])
    assert key.sha256 == hashlib.sha256(spelt.encode()).hexdigest()
    assert len({new_key("x", [], NOW)[1] for _ in range(200)}) == 200


def test_scopes_reach_so_far_and_no_further() -> None:
    opened = {s: [t for t in Scope if new_key("x", [s], NOW)[0].opens(t)] for s in Scope}
    assert opened == {Scope.READ: [Scope.READ], Scope.EVENTS: [Scope.EVENTS], Scope.ADMIN: list(Scope)}
    assert not any(new_key("x", [], NOW)[0].opens(s) for s in Scope)


def test_a_key_expires_at_its_instant() -> None:
    key, _ = new_key("x", [Scope.READ], NOW, NOW + timedelta(days=90))
    assert [key.has_expired(NOW + timedelta(days=90, seconds=s)) for s in (-1, 0, 1)] == [False, True, True]
    assert not new_key("x", [Scope.READ], NOW)[0].has_expired(NOW + timedelta(days=36_500))


@pytest.mark.parametrize("name", ["", "a b", "x" * 41, "-x", 'x"', "x\n", "ключ"])
def test_a_name_that_would_not_fit_a_log_line_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="name"):
        new_key(name, [Scope.READ], NOW)


def test_the_file_of_the_first_version_is_read() -> None:
    held = decode_keys(GOLDEN_FILE.read_bytes())
    assert encode_keys(held.values()) == GOLDEN_FILE.read_text()
    key = key_of(held, SPELT)
    assert key is not None
    assert (key.name, key.scopes, key.expires_at) == ("backend", (Scope.EVENTS, Scope.READ), None)
    assert held["9b2e00aa41c7"].has_expired(NOW)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sha256", "abc"),
        ("sha256", 5),
        ("scopes", ["write"]),
        ("scopes", 5),
        ("created_at", "yesterday"),
        ("expires_at", "2024-05-01T02:00:00"),
        ("unknown", 1),
    ],
)
def test_a_file_that_was_tampered_with_is_refused(field: str, value: object) -> None:
    key, _ = new_key("x", [Scope.READ], NOW)
    broken = asdict(key) | {field: value}
    with pytest.raises(SettingsError, match="not a file of API keys"):
        decode_keys(json.dumps({"format": 1, "keys": [broken]}))


@pytest.mark.parametrize("text", ["", "[]", "{", "{}", '{"format": 2, "keys": []}', '{"format": 1, "keys": [1]}'])
def test_an_invalid_file_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="not a file of API keys"):
        decode_keys(text)


BOUND = GOLDEN / "api_keys_2.json"


def test_a_file_with_a_bound_key_is_read_back_and_one_without_stays_format_1() -> None:
    held = decode_keys(BOUND.read_bytes())
    assert encode_keys(held.values()) == BOUND.read_text()
    key = held["3f9a2c1b04de"]
    assert (key.types, key.users, key.startups) == ((EventType.CLICK, EventType.VIEW), ("64", "65"), ())
    assert json.loads(encode_keys([held["9b2e00aa41c7"]]))["format"] == 1


@pytest.mark.parametrize(
    ("scopes", "bounds"),
    [
        ([Scope.READ], {"types": ["view"]}),
        ([Scope.ADMIN, Scope.EVENTS], {"types": ["view"]}),
        ([Scope.EVENTS], {"types": ["stare"]}),
        ([Scope.EVENTS], {"users": ["x"]}),
        ([Scope.EVENTS], {"users": [""]}),
        ([Scope.EVENTS], {"startups": ["-"]}),
        ([Scope.EVENTS], {"startups": ["3" * 37]}),
    ],
)
def test_bounds_that_bind_nothing_or_that_no_event_meets_are_refused(
    scopes: list[Scope], bounds: dict[str, list[str]]
) -> None:
    with pytest.raises(SettingsError):
        new_key("x", scopes, NOW, None, bounds)


@pytest.mark.parametrize(
    ("field", "value"),
    [("types", "view"), ("types", ["stare"]), ("users", "64"), ("users", [64]), ("startups", ["%"]), ("users", None)],
)
def test_bounds_that_were_tampered_with_are_refused_and_never_taken_for_none(field: str, value: object) -> None:
    key, _ = new_key("x", [Scope.EVENTS], NOW, None, {"types": ["view"]})
    with pytest.raises(SettingsError, match="not a file of API keys"):
        decode_keys(json.dumps({"format": 2, "keys": [asdict(key) | {field: value}]}))


def test_two_homes_and_two_names_have_different_keys(tmp_path: Path) -> None:
    keys = [kept_key(tmp_path / home, name) for home in "ab" for name in (ANSWER_KEY, PSEUDONYM_KEY)]
    assert len(set(keys)) == 4 and all(len(key) == 32 for key in keys)
    assert keys[0] == kept_key(tmp_path / "a", ANSWER_KEY)
    assert {p.stat().st_mode & 0o777 for p in tmp_path.rglob("*-key")} == {0o600}


@pytest.mark.parametrize("content", ["", "\n", "short"])
def test_a_file_that_was_cut_off_gives_no_key(tmp_path: Path, content: str) -> None:
    (tmp_path / PSEUDONYM_KEY).write_text(content)
    with pytest.raises(FileError, match="cut off"):
        kept_key(tmp_path, PSEUDONYM_KEY)
