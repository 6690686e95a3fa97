"""Every malformed argument of every command is wrong use: exit status 2, with what was expected and what came."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.data.entities import NIL
from pipelines.__main__ import parser
from tests.exit_status import exit_status

#: Arguments without a form: names of what is stored, labels, places, and the command line of Airflow.
FREE = {"release", "first", "second", "name", "id of keys revoke", "users", "startups", "to", "words"}
NEVER = ("malformed \0", "", "-1x", "nan", "0001-01-01T00:00:00+23:00")
NUMBERS = ("-1", "inf", "9" * 20, "9" * 5000, "1e308", "\u09e7")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MATCHBOOK_HOME", str(tmp_path))


def arguments(of: argparse.ArgumentParser, words: str = "") -> Iterator[tuple[str, argparse.Action]]:
    """Yield each argument that takes a value, with its command."""
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                yield from arguments(sub, f"{words} {name}".strip())
        elif action.nargs != 0:
            yield words, action


def is_free(command: str, action: argparse.Action) -> bool:
    return action.dest in FREE or f"{action.dest} of {command}" in FREE


ALL = list(arguments(parser()))
TYPED = [pytest.param(a, id=f"{c} {a.dest}") for c, a in ALL if a.type not in (None, Path) and not a.choices]


def test_every_argument_has_a_form_or_is_known_to_have_none() -> None:
    formless = {f"{c} {a.dest}" for c, a in ALL if a.type is None and not a.choices and not is_free(c, a)}
    assert not formless and len(TYPED) > 20


@pytest.mark.parametrize("action", TYPED)
def test_a_malformed_value_is_refused_with_what_was_expected(action: argparse.Action) -> None:
    assert callable(action.type)
    wrong = [*NEVER, *(NUMBERS if isinstance(action.default, int | float) else ())]
    for text in wrong:
        try:
            if action.type(text) is None and not text:
                continue  # an empty value of an optional setting means none
        except argparse.ArgumentTypeError as error:
            assert ("expected " in str(error) or "must " in str(error)) and ("got " in str(error) or NIL in text)
        else:
            pytest.fail(f"{text[:30]!r} was taken")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("erase 42", "expected the id of a person, a UUID such as"),
        (f"erase {NIL}", "names nobody"),
        ("erase --scan 42", "got '42'"),
        ("sample --users 0", "expected a whole number of 1 to"),
        ("sample --seed=-1", "expected a whole number of 0 to"),
        ("sample --ends someday", "expected an ISO 8601 instant"),
        ("tune --trials 0", "expected a whole number"),
        ("tune --budget x", "expected a number above 0"),
        ("train-als --factors many", "must be int, got 'many'"),
        ("train-als --factors -4", "must lie in"),
        ("train-ranker --val a.csv", "need --data"),
        ("grants redis-reader --apply", "--apply is for PostgreSQL"),
        ("keys add x!", "a key's name must be"),
        ("keys add x --days soon", "expected days above 0"),
        ("export --min-interactions x", "expected a whole number"),
    ],
)
def test_wrong_use_is_exit_status_2(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(words.split()) == 2 and said in capsys.readouterr().err


def test_a_failed_operation_is_exit_status_1() -> None:
    assert exit_status(["settings", "--release", "absent"]) == 1
