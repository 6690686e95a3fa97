"""Serve reports behind Airflow's log-in: only files of the home, read-only, without scripts."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models.run_directory import directory_of
from tests.paths import ROOT

PLUGINS = ROOT / "dags" / "matchbook_plugins"
RELEASE, RUN = "20240501T000000Z-abcdef01", "manual__2024-05-01T00:00:00+00:00"
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Using `httpx`"),
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Store one report of a run without a staging folder."""
    folder = tmp_path / "artifacts" / "reports" / RELEASE
    folder.mkdir(parents=True)
    (folder / "report.html").write_text("<p>the report</p>")
    told = {"release": RELEASE, "as_of": "2024-05-01T00:00:00+00:00", "runs": [directory_of(RUN)], "gate": None}
    (folder / "report.json").write_text(json.dumps(told))
    monkeypatch.setenv("MATCHBOOK_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def client(home: Path, airflow_metadata: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Yield the plugin's application with a token of the user admin."""
    monkeypatch.syspath_prepend(str(PLUGINS))
    monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "x" * 64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from airflow.api_fastapi.app import init_auth_manager
        from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
        from fastapi.testclient import TestClient
        from matchbook_reports import reports_app

        manager = init_auth_manager()
        token = manager.generate_jwt(SimpleAuthManagerUser(username="admin", role="admin"))
        with TestClient(reports_app(), follow_redirects=False) as found:
            found.headers["Authorization"] = f"Bearer {token}"
            yield found


def test_the_tab_of_a_run_and_the_page_of_all(client: Any) -> None:
    answer = client.get(f"/runs/build_recommendations/{RUN}")
    assert (answer.status_code, answer.text) == (200, "<p>the report</p>")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    shelf = client.get("/reports")
    assert RELEASE in shelf.text and "<script" not in shelf.text
    assert client.get(f"/reports/{RELEASE}").text == "<p>the report</p>"
    assert client.get(f"/reports/{RELEASE}/report.json").json()["release"] == RELEASE


def test_a_run_without_a_report_says_why(client: Any) -> None:
    answer = client.get("/runs/drain_events/<b>x/y")
    assert answer.status_code == 200 and "has no report" in answer.text and "<b>x" not in answer.text


@pytest.mark.parametrize("asked", ["nothing", "..", "..%2f..%2fruns", "%2e%2e", "a%00b"])
def test_only_stored_files_are_served(client: Any, asked: str) -> None:
    assert client.get(f"/reports/{asked}").status_code == 404
    assert client.get(f"/reports/{asked}/report.json").status_code == 404


def test_an_anonymous_visitor_is_sent_to_the_log_in(client: Any) -> None:
    for path in ("/reports", f"/reports/{RELEASE}", f"/runs/build_recommendations/{RUN}"):
        answer = client.get(path, headers={"Authorization": ""})
        assert answer.status_code == 307 and "login" in answer.headers["location"], path
    assert client.post("/reports").status_code == 405


def test_airflow_takes_it_for_a_plugin(home: Path) -> None:
    sys.path.insert(0, str(PLUGINS))
    try:
        from airflow._shared.plugins_manager import is_valid_plugin
        from matchbook_reports import PREFIX, MatchbookReports
    finally:
        sys.path.remove(str(PLUGINS))
    assert is_valid_plugin(MatchbookReports)
    views = {view["destination"]: view["href"] for view in MatchbookReports.external_views}
    assert views["dag_run"] == f"{PREFIX}/runs/{{DAG_ID}}/{{RUN_ID}}" and views["nav"] == f"{PREFIX}/reports"
