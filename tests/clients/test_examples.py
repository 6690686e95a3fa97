"""The examples of both packages, installed, against a running reader."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from matchbook_client import Matchbook, MatchbookError, event, impressions

from models.keys import Scope, encode_keys, new_key
from models.schema import Role
from models.settings.settings import Settings
from tests.clients.conftest import NODE, run
from tests.paths import ROOT
from tests.serving.conftest import Company, Person, Publish, Served


@pytest.fixture
def key(settings: Settings) -> str:
    """Return a key for lists and events that the reader's file of keys has."""
    made, secret = new_key("backend", (Scope.READ, Scope.EVENTS), datetime.now(UTC), None, {})
    settings.api_keys_file.parent.mkdir(parents=True, exist_ok=True)
    settings.api_keys_file.write_text(encode_keys([made]))
    settings.api_keys_file.chmod(0o600)
    return secret


def told_to_the_reader(printed: str, address: str, key: str, investor: str) -> None:
    """Check that the example printed five startups, and that the reader knows of the click."""
    *startups, accepted = printed.splitlines()
    assert [line.split()[0] for line in startups] == ["1", "2", "3", "4", "5"] and accepted == "accepted: 6"
    clicked = startups[0].split()[1]
    with Matchbook(address, key=key) as matchbook:
        assert clicked not in matchbook.startups_for_investor(investor, limit=100)["scores"]


def test_the_python_example(
    python_package: Path, served: Served, publish: Publish, person: Person, key: str, tmp_path: Path
) -> None:
    publish()
    address, investor = f"http://127.0.0.1:{served(MATCHBOOK_API_KEYS='on')}", person(Role.INVESTOR, 9)
    assert (python_package / "matchbook_client" / "py.typed").is_file()
    program = [sys.executable, str(ROOT / "clients/python/examples/first_list.py"), address, investor]
    printed = run(program, tmp_path, PYTHONPATH=str(python_package), MATCHBOOK_KEY=key)
    told_to_the_reader(printed, address, key, investor)


def test_the_typescript_example(
    typescript_package: Path, served: Served, publish: Publish, person: Person, key: str
) -> None:
    publish()
    address, investor = f"http://127.0.0.1:{served(MATCHBOOK_API_KEYS='on')}", person(Role.INVESTOR, 9)
    printed = run([NODE, "first-list.ts", address, investor], typescript_package, MATCHBOOK_KEY=key)
    told_to_the_reader(printed, address, key, investor)


@pytest.mark.parametrize("language", ["python", "typescript"])
def test_an_example_that_cannot_go_on_says_why_in_one_sentence(
    language: str,
    request: pytest.FixtureRequest,
    served: Served,
    publish: Publish,
    rows: str,
    person: Person,
    tmp_path: Path,
) -> None:
    publish()
    address, folder, variables = f"http://127.0.0.1:{served()}", tmp_path, dict(os.environ)
    if language == "python":
        variables["PYTHONPATH"] = str(request.getfixturevalue("python_package"))
        program = [sys.executable, str(ROOT / "clients/python/examples/first_list.py")]
    else:
        folder, program = request.getfixturevalue("typescript_package"), [str(NODE), "first-list.ts"]
    for given, said in (
        ([], "Give the address of the reader and the id of an investor: "),
        ([address, "42"], "malformed_id: expected id: a UUID"),
        ([address, person(Role.DEVELOPER, 9)], "is empty: this person is not an investor"),
    ):
        done = subprocess.run([*program, *given], cwd=folder, env=variables, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (1, "") and said in done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr


def test_answers_errors_and_events_of_a_running_reader(
    served: Served, publish: Publish, person: Person, company: Company, key: str
) -> None:
    release = publish()
    address = f"http://127.0.0.1:{served(MATCHBOOK_API_KEYS='on')}"
    developer, startup = person(Role.DEVELOPER, 9), company(4)
    with Matchbook(f"{address}/", key=key) as matchbook:
        both = matchbook.developers_for_startup_many([startup], limit=3)["lists"]
        assert both[startup] == matchbook.developers_for_startup(startup, limit=3)
        games = matchbook.startups_for_developer(developer, category=["games", "fintech"], limit=3)
        assert games["release"] == release and games["total"] > 0
        first = games["startups"][0]["id"]
        left = matchbook.startups_for_developer(developer, category=["games", "fintech"], exclude=[first, startup])
        assert left["total"] < games["total"] and first not in left["scores"]
        page = matchbook.startups_for_developer(developer, limit=2, offset=2)
        shown = impressions(page, developer, offset=2)
        assert [e["position"] for e in shown if "position" in e] == [3, 4]
        assert matchbook.post_events(shown) == {"accepted": 2}
        founders = matchbook.developers_for_startup(startup)
        liked = event("like", founders, startup, founders["users"][0]["id"], at=datetime.now(UTC))
        assert (liked["startup_id"], liked["user_id"]) == (startup, founders["users"][0]["id"])
        assert matchbook.post_events([liked, liked]) == {"accepted": 2}
        with pytest.raises(MatchbookError) as wrong:
            matchbook.startups_for_developer("42")
        assert (wrong.value.status, wrong.value.code) == (400, "malformed_id")
        with pytest.raises(MatchbookError, match="not_found"):
            matchbook.startups_for_developer("../../../health/ready")
        stranger = event("click", page, person(Role.DEVELOPER, 4), first)
        with pytest.raises(MatchbookError) as refused:
            matchbook.post_events([stranger])
        assert (refused.value.status, refused.value.code) == (400, "malformed_event")
    with Matchbook(address) as nobody, pytest.raises(MatchbookError) as missing:
        nobody.startups_for_developer(developer)
    assert (missing.value.status, missing.value.code) == (401, "key_missing")
