"""Check the process: its imports, its log at start and per request, its metrics."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from models.keys import PSEUDONYM_KEY, key_from
from models.schema import Role, Surface
from models.settings.environment import Secret
from models.settings.settings import Settings
from tests.architecture.tree import NEVER_LOADED
from tests.paths import ROOT
from tests.serving.conftest import Person, Publish, Start

SURFACE = Surface.STARTUPS_FOR_DEVELOPER
HEAVY = (*NEVER_LOADED, "threadpoolctl")


def test_the_reader_imports_nothing_heavy() -> None:
    program = (
        "import sys, serving.app, serving.live, serving.clients.postgres; "
        f"print([m for m in sys.modules if m.startswith({HEAVY!r})])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_start_up_lines_say_what_was_loaded_and_the_routing_rule(
    start: Start, publish: Publish, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    release = publish()
    start()
    said = "\n".join(r.getMessage() for r in caplog.records if r.name == "matchbook.reader")
    assert "users: fewer than 5 interactions content_based, fewer than 20 als, else ensemble" in said
    assert "startups: fewer than 5 different users content_based, else als_reverse" in said
    assert f"release {release} is live" in said
    assert "model loaded: als_v1 20200410T000000Z-" in said


def test_one_line_per_request_names_the_owner_only_by_a_pseudonym(
    start: Start, publish: Publish, person: Person, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="matchbook.access")
    release, owner = publish(), person(Role.DEVELOPER, 4)
    client = start().test_client()
    client.get(f"/api/recommendations/{SURFACE}/{owner}")
    client.get(f"/api/recommendations/{SURFACE}/{owner}?limit=0")
    lines = [r.getMessage() for r in caplog.records if r.name == "matchbook.access"]
    assert len(lines) == 2
    said = (
        rf"endpoint=one status=200 ms=[\d.]+ caller=open surface={SURFACE} owner=[0-9a-f]{{12}} count=\d+ "
        rf'why="5 <= \d+ < 20" '
        rf"route=als method=als source=cache places=20 release={release}"
    )
    assert re.fullmatch(said, lines[0])
    assert re.fullmatch(r"endpoint=one status=400 ms=[\d.]+ caller=open", lines[1])
    assert owner not in caplog.text


def test_a_pseudonym_uses_a_generated_secret_that_all_readers_share(
    start: Start, publish: Publish, person: Person, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="matchbook.access")
    publish()
    owner = person(Role.DEVELOPER, 4)

    def pseudonym(**changed: Any) -> str:
        caplog.clear()
        start(settings.layered(changed, "given")).test_client().get(f"/api/recommendations/{SURFACE}/{owner}")
        return re.findall(r"owner=([0-9a-f]{12})", caplog.text)[-1]

    first = pseudonym()
    assert first == pseudonym(), "another reader of the same home"
    guesses = [settings.namespace.encode(), b"matchbook", b"", key_from(settings.namespace), key_from("")]
    assert first not in {hashlib.blake2b(owner.encode(), key=key, digest_size=6).hexdigest() for key in guesses}
    assert pseudonym(pseudonym_key=Secret("one")) == pseudonym(pseudonym_key=Secret("one")) != first
    assert (settings.home / PSEUDONYM_KEY).stat().st_mode & 0o777 == 0o600


def test_metrics_count_lists_by_surface_route_method_and_source(start: Start, publish: Publish, person: Person) -> None:
    release = publish()
    client = start().test_client()
    before = _lists(client.get("/metrics").text)
    for _ in range(3):
        client.get(f"/api/recommendations/{SURFACE}/{person(Role.DEVELOPER, 4)}")
    text = client.get("/metrics").text
    assert _lists(text) - before == 3
    assert f'matchbook_release_info{{release="{release}"}} 1.0' in text
    assert 'matchbook_request_seconds_bucket{endpoint="one",le="0.5"}' in text
    assert re.search(r"^matchbook_release_age_seconds \d", text, re.M)


def test_health_has_the_documented_shape(start: Start, publish: Publish, rows: str) -> None:
    release = publish()
    said = start().test_client().get("/health").get_json()
    assert said["status"] == "healthy"
    assert said["database_connected"] is True
    assert list(said) == [
        "age_hours",
        "as_of",
        "database_connected",
        "generated_at",
        "models",
        "models_loaded",
        "pinned",
        "redis_connected",
        "release",
        "stale",
        "status",
        "troubles",
    ]
    assert (said["release"], said["troubles"], said["stale"], said["pinned"]) == (release, {}, False, {})


def test_two_processes_run_it_that_count_together(
    publish: Publish, rows: str, served: Callable[..., int], person: Person
) -> None:
    publish()
    port, owner = served(), person(Role.DEVELOPER, 4)
    for _ in range(10):
        assert _get(port, f"/api/recommendations/{SURFACE}/{owner}")["source"] == "cache"
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        counted = re.findall(r'^matchbook_lists_total\{.*source="cache".*\} ([\d.]+)$', answer.read().decode(), re.M)
    assert [float(c) for c in counted] == [10.0]


def _lists(text: str) -> float:
    labels = f'method="als",route="als",source="cache",surface="{SURFACE}"'
    found = re.search(rf"^matchbook_lists_total\{{{labels}\}} ([\d.]+)$", text, re.M)
    return float(found[1]) if found else 0.0


def _get(port: int, path: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return json.load(answer)
