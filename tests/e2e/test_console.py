"""Operate a real Airflow from the console: build, promote, roll back, answer the gate, erase. Each leaves a record."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, unquote

import pytest

from models.run_directory import directory_of
from pipelines.publish.history import list_releases
from pipelines.redis_client import current_release
from tests.e2e.browser import Browser
from tests.e2e.conftest import LONG_S, First, House, Patiently
from tests.marketplace.tiny import AFTER_ALL, identity

pytestmark = pytest.mark.e2e


def ended(house: House, operator: Browser, patiently: Patiently, at: str) -> str:
    """Wait until the page of a run says that it has ended, and return its words."""

    def over() -> str:
        said = operator.words(at)
        assert "It has failed" not in said, said
        return said if "It has ended" in said else ""

    return str(patiently(house, over, LONG_S))


def run_of(house: House, at: str) -> dict[str, Any]:
    _, _, _, dag, run_id = at.split("/", 4)
    found = house.api.run(dag, unquote(run_id))
    assert found is not None
    return found


def test_the_first_build_leads_to_its_run_and_its_report(
    house: House, operator: Browser, patiently: Patiently, first: First
) -> None:
    patiently(house, lambda: first.release in operator.words("/"), 10)
    page, words = operator.open("/")[1], operator.words("/")
    assert f"/matchbook/reports/{first.release}" in page and "passed" in words and "nobody had to approve it" in words
    assert f'href="/builds/{directory_of(first.run)}"' in page


def test_the_gate_is_answered_promoted_and_rolled_back(
    house: House, operator: Browser, patiently: Patiently, key: dict[str, str], first: First
) -> None:
    at = operator.confirm("/actions/build", as_of=f"{AFTER_ALL:%Y-%m-%dT%H:%M:%S}", publish="on")
    run = run_of(house, at)
    assert key["id"] in run["note"] and run["triggering_user_name"] == "console"
    run_id = run["dag_run_id"]
    gate = f"/actions/gate/{quote(run_id, safe='')}"
    patiently(house, lambda: gate in operator.open("/building")[1], LONG_S)
    said = operator.words(gate)
    assert f"instead of {first.release}" in said and "replaced" in said
    assert operator.confirm(gate, chosen="hold") == at

    def over() -> bool:
        """Answer again if Airflow asks again: it runs the task anew if the answer comes within about two seconds."""
        if "What will happen" in operator.words(gate):
            operator.confirm(gate, chosen="hold")
        return "It has ended" in operator.words(at)

    patiently(house, over, LONG_S)
    assert current_release(house.settings) == first.release
    assert key["id"] in run_of(house, at)["note"] and "hold" in run_of(house, at)["note"]
    assert "Nothing waits here" in operator.words(gate)
    held = next(r["release"] for r in list_releases(house.settings) if r["state"] == "stored")
    assert f"held by console, by key {key['id']}" in operator.words(f"/releases/{held}")

    said = operator.words(f"/actions/promote/{held}")
    assert "newer than the live one" in said and f"It replaces {first.release}" in said
    at = operator.confirm(f"/actions/promote/{held}")
    assert "promoted by hand" in ended(house, operator, patiently, at) and key["id"] in run_of(house, at)["note"]
    patiently(house, lambda: held in operator.words("/"), 10)
    assert f"promoted by hand by console, by key {key['id']}" in operator.words("/")

    assert "older than the live one" in operator.words("/actions/rollback")
    at = operator.confirm("/actions/rollback")
    assert "rolled back" in ended(house, operator, patiently, at)
    assert current_release(house.settings) == first.release
    patiently(house, lambda: f"Promote {held}" in operator.words("/"), 10)
    assert f"rolled back by console, by key {key['id']}" in operator.words("/")
    recent = operator.words("/actions")
    assert "promote_release success" in recent and "by key " + key["id"] in recent


def test_a_person_is_erased_after_two_confirmations(
    house: House, operator: Browser, patiently: Patiently, first: First
) -> None:
    person = identity("user", 9)
    said = operator.words(f"/actions/erase?id={person}")
    assert "This cannot be undone" in said and person in said
    at = operator.confirm(f"/actions/erase?id={person}", typed=person)
    said = ended(house, operator, patiently, at)
    assert "Result" in said and person not in said
    run = run_of(house, at)
    assert person not in json.dumps(run), "Airflow keeps a hash instead of the id"
    assert list((house.settings.home / "erasure").glob("*.json"))
