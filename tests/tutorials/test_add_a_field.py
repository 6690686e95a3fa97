"""Follow docs/tutorials/add-a-field.md and docs/tutorials/add-an-event-type.md."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import tests.databases as databases
from models.settings.settings import Settings
from pipelines.store.artifacts import Artifacts
from tests.marketplace.tiny import identity, write_tiny_marketplace
from tests.paths import ROOT
from tests.tutorials.follow import copy_checkout, follow

pytestmark = pytest.mark.e2e
PAGES = ROOT / "docs" / "tutorials"
POST = """
import json, sys
from models.settings.settings import Settings
from serving.app import create_app
app = create_app(Settings.from_env())
print(app.test_client().post("/api/events", json=json.loads(sys.argv[1])).status)
app.extensions["matchbook"].close()
"""


@pytest.fixture
def copy(open_folder: Path) -> Path:
    """Copy the checkout and data/ to a place where an unprivileged account may start servers."""
    where = copy_checkout(open_folder / "copy")
    write_tiny_marketplace(where / "data")
    return where


def run(copy: Path, env: Mapping[str, str], *arguments: str) -> str:
    """Run Python in the copy. Return its output."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MATCHBOOK_", "PYTEST_"))}
    command = [str(copy / ".venv" / "bin" / "python"), *arguments]
    done = subprocess.run(command, cwd=copy, env={**own, **env}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ask(copy: Path, env: Mapping[str, str], path: str) -> Any:
    return json.loads(run(copy, env, "-m", "ask", path))


def test_a_new_field_is_in_all_that_is_made_of_fields(copy: Path, env: dict[str, str], settings: Settings) -> None:
    follow(PAGES / "add-a-field.md", copy, env)
    (release,) = Artifacts(settings).releases()
    startups = pq.read_table(settings.artifacts / "snapshots" / release.snapshot / "startups.parquet")
    assert sorted(set(startups["website_country"].to_pylist())) == ["Chile", "Kenya", "Switzerland"]
    content = Artifacts(settings).open_bundle("content_v1", release.bundles["content_v1"])
    assert "website_country:switzerland" in content.arrays["tokens"].tolist()
    swiss = {identity("startup", n) for n in range(1, 15, 3)}
    surface = "/api/recommendations/startups/for-developer"
    popular = ask(copy, env, f"{surface}/popular?website_country=switzerland")["scores"]
    assert popular and set(popular) <= swiss
    parameters = ask(copy, env, "/openapi.json")["components"]["parameters"]
    assert parameters["website_country"]["in"] == "query"

    newcomer = str(uuid.uuid4())
    databases.execute(settings, "INSERT INTO users (id, role) VALUES (:id, 'developer')", id=newcomer)
    for n in (1, 4):
        databases.execute(
            settings,
            "INSERT INTO user_interactions VALUES (:user, :startup, 'like', '2024-05-01')",
            user=newcomer,
            startup=identity("startup", n),
        )
    found = ask(copy, env, f"{surface}/{newcomer}?website_country=switzerland&limit=20")
    assert found["source"] == "live" and found["scores"]
    assert set(found["scores"]) <= swiss - {identity("startup", n) for n in (1, 4)}
    assert any(reason.startswith("you liked ") for place in found["startups"] for reason in place["reasons"])


def test_a_new_event_type_is_taken_and_trained_on(copy: Path, env: dict[str, str], settings: Settings) -> None:
    follow(PAGES / "add-an-event-type.md", copy, env)
    (release,) = Artifacts(settings).releases()
    manifest = json.loads((settings.artifacts / "snapshots" / release.snapshot / "manifest.json").read_text())
    assert manifest["events_by_kind"]["share"] > 0 == manifest["events_by_kind"]["click"]
    event = {"event_id": "one", "user_id": identity("user", 7), "startup_id": identity("startup", 2), "type": "share"}
    assert run(copy, env, "-c", POST, json.dumps({"events": [event]})).startswith("202")
