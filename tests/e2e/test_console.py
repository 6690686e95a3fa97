"""Operate a real Airflow from the console: build, promote, roll back, answer the gate, erase. Each leaves a record."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import quote, unquote, urlencode

import pytest

from local.airflow import CHECKOUT
from local.airflow_api import begin, follow
from models.run_directory import BUILD_DAG, directory_of
from pipelines.publish.history import list_releases
from pipelines.redis_client import current_release
from tests.e2e.conftest import House, Houses, Patiently
from tests.marketplace.tiny import AFTER_ALL, identity

pytestmark = pytest.mark.e2e
LONG_S = 900
#: The reader asks for keys, and the gate asks about every change.
VARIABLES = {
    "MATCHBOOK_API_KEYS": "on",
    "MATCHBOOK_GATE_MIN_OWNERS": "2",
    "MATCHBOOK_GATE_LOSS": "1",
    "MATCHBOOK_GATE_OVERLAP": "0/2",
    **{f"MATCHBOOK_GATE_{name}": "5/9" for name in ("COVERAGE", "RBO", "ROUTES", "POPULAR", "GINI", "GONE")},
}


@dataclass
class Browser:
    """A person's browser: it keeps cookies, follows redirects and sends forms with their token."""

    address: str
    cookies: CookieJar = field(default_factory=CookieJar)

    def open(self, path: str, form: Mapping[str, str] | None = None) -> tuple[str, str]:
        """Return the path that answered, after redirects, and its page."""
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.cookies)
        )
        data = None if form is None else urlencode(form).encode()
        request = urllib.request.Request(self.address + path, data, {"Sec-Fetch-Site": "same-origin"})
        try:
            with opener.open(request, timeout=60) as answer:
                return str(answer.url).removeprefix(self.address), answer.read().decode()
        except urllib.error.HTTPError as error:
            pytest.fail(f"{path}: {error.code} {error.read().decode()[:2000]}")

    def words(self, path: str) -> str:
        return html.unescape(" ".join(re.sub(r"<[^>]+>", " ", self.open(path)[1]).split()))

    def confirm(self, path: str, **more: str) -> str:
        """Send the form of a page and return the path of the run that it started."""
        page = self.open(path)[1]
        hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page))
        return self.open(path.partition("?")[0], {**hidden, **more})[0]


@pytest.fixture(scope="module")
def house(houses: Houses) -> House:
    return houses(VARIABLES)


@pytest.fixture(scope="module")
def key(house: House) -> dict[str, str]:
    words = [sys.executable, "-m", "pipelines", "keys", "add", "operator", "--scope", "admin"]
    environment = {"MATCHBOOK_HOME": str(house.settings.home), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(words, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def operator(house: House, key: dict[str, str]) -> Browser:
    browser = Browser(house.settings.reader_address)
    assert browser.open("/")[0] == "/sign-in"
    assert browser.confirm("/sign-in", key=key["key"]) == "/"
    return browser


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


@pytest.fixture(scope="module")
def first(house: House, operator: Browser, patiently: Patiently) -> str:
    """Build a cutoff three days before the newest event, as `make up` does; return the release, which is live.

    The console shows the build while it runs.
    """
    assert "Start a build" in operator.words("/")
    run = begin(house.api, AFTER_ALL - timedelta(days=3))
    patiently(house, lambda: re.search("A build is running.*Meanwhile", operator.words("/building")), LONG_S)
    said: list[str] = []
    assert follow(house.api, run, said.append, house.alive), "\n".join(said)
    return str(current_release(house.settings))


def test_the_first_build_leads_to_its_run_and_its_report(
    house: House, operator: Browser, patiently: Patiently, first: str
) -> None:
    patiently(house, lambda: first in operator.words("/"), 10)
    page, words = operator.open("/")[1], operator.words("/")
    assert f"/matchbook/reports/{first}" in page and "passed" in words and "nobody had to approve it" in words
    run = next(r["dag_run_id"] for r in house.api.runs(BUILD_DAG, 20) if r["run_type"] == "manual")
    assert f'href="/builds/{directory_of(run)}"' in page


def test_the_gate_is_answered_promoted_and_rolled_back(
    house: House, operator: Browser, patiently: Patiently, key: dict[str, str], first: str
) -> None:
    at = operator.confirm("/actions/build", as_of=f"{AFTER_ALL:%Y-%m-%dT%H:%M:%S}", publish="on")
    run = run_of(house, at)
    assert key["id"] in run["note"] and run["triggering_user_name"] == "console"
    run_id = run["dag_run_id"]
    gate = f"/actions/gate/{quote(run_id, safe='')}"
    patiently(house, lambda: gate in operator.open("/building")[1], LONG_S)
    said = operator.words(gate)
    assert f"instead of {first}" in said and "replaced" in said
    assert operator.confirm(gate, chosen="hold") == at

    def over() -> bool:
        """Answer again if Airflow asks again: it runs the task anew if the answer comes within about two seconds."""
        if "What will happen" in operator.words(gate):
            operator.confirm(gate, chosen="hold")
        return "It has ended" in operator.words(at)

    patiently(house, over, LONG_S)
    assert current_release(house.settings) == first
    assert key["id"] in run_of(house, at)["note"] and "hold" in run_of(house, at)["note"]
    assert "Nothing waits here" in operator.words(gate)
    held = next(r["release"] for r in list_releases(house.settings) if r["state"] == "stored")
    assert "held by console" in operator.words(f"/releases/{held}")

    said = operator.words(f"/actions/promote/{held}")
    assert "newer than the live one" in said and f"It replaces {first}" in said
    at = operator.confirm(f"/actions/promote/{held}")
    assert "promoted by hand" in ended(house, operator, patiently, at) and key["id"] in run_of(house, at)["note"]
    patiently(house, lambda: held in operator.words("/"), 10)

    assert "older than the live one" in operator.words("/actions/rollback")
    at = operator.confirm("/actions/rollback")
    assert "rolled back" in ended(house, operator, patiently, at)
    assert current_release(house.settings) == first
    recent = operator.words("/actions")
    assert "promote_release success" in recent and "by key " + key["id"] in recent


def test_a_person_is_erased_after_two_confirmations(
    house: House, operator: Browser, patiently: Patiently, first: str
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
