"""Store a build's report: made from results, updated, found by run, removed with its release."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from models.run_directory import directory_of
from models.settings.settings import Settings
from pipelines.ingest.ingest import import_folder
from pipelines.publish.history import promote
from pipelines.refs import GateRef
from pipelines.report import data
from pipelines.report import store as kept
from pipelines.report.store import index_page, page_of, page_of_run, reports, retire_reports, update_report
from pipelines.run.run import Run
from pipelines.run.timings import append_timing
from pipelines.run_build import run_build
from pipelines.store.artifacts import Artifacts
from tests.marketplace import small
from tests.marketplace.tiny import AFTER_ALL, write_tiny_marketplace

SMALL = small.SMALL | {"ranker_cuts": 0, "shards": 2}


@pytest.fixture
def built(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Settings, dict[str, Any]]:
    """Build the tiny marketplace twice by command, the older first. Figures are not measured."""
    monkeypatch.setattr("pipelines.evaluate.evaluate.evaluate_build", lambda *_: {})
    import_folder(settings, write_tiny_marketplace(tmp_path / "data"))
    small = settings.layered(SMALL, "given")
    run_build(small, AFTER_ALL - timedelta(days=10))
    return small, run_build(small, AFTER_ALL)


def test_the_command_leaves_a_report_that_follows_the_run(built: tuple[Settings, dict[str, Any]]) -> None:
    settings, done = built
    told = json.loads((Path(done["report"]).parent / "report.json").read_text())
    assert list(dict.fromkeys(line["step"] for line in told["steps"])) == list(
        done["seconds"]
    )  # publish ran after the report was written
    assert sum(told["lists"]["lists"].values()) == done["lists"] and told["bundles"]
    assert told["gate"]["verdict"] == done["gate"]
    assert told["data"]["late"] == {"against": told["data"]["late"]["against"], "came": 0, "went": 0}
    assert any("the platform keeps no history" in text for text in told["data"]["limits"])
    page = Path(done["report"]).read_text()
    assert "<!--verdict-->" in page and "publish" in page and Path(done["report"]).stat().st_mode & 0o077 == 0

    run = Run.open(settings, told["run"])
    run.artifacts.write_json(
        run.directory / kept.GATE,
        {
            "verdict": "ask",
            "reasons": ["worse"],
            "champion": None,
            "answer": {"chosen": "hold", "by": "ada", "at": "2024"},
        },
    )
    append_timing(
        run.directory, {"step": "gate", "index": None, "wall_s": 1.0, "cpu_s": 1.0, "peak_mb": 1.0, "at": "2024"}
    )
    assert update_report(settings, run.directory)
    assert "hold by ada" in (page := page_of_run(settings, run.id) or "") and ">gate</th>" in page
    gate = GateRef(run.id, done["release"], None, "ask", [])
    again = kept.write_report(run, run.reference(snapshot=told["snapshot"]), gate, publish=True)
    assert (again.verdict, again.reasons) == ("ask", ["worse"])
    assert "live, ask" in index_page(settings)
    live = run.artifacts.release(done["release"])
    refreshed = replace(live, id="r", parts=[{"release": live.id, "as_of": live.as_of}, {"as_of": live.as_of}])
    assert refreshed.build == live.build == live.id

    shutil.rmtree(settings.artifacts / "runs")  # staging is removed after three days, the report stays
    assert "hold by ada" in (page_of_run(settings, run.id) or "")
    first, second = reports(settings)
    assert first["release"] == done["release"] and first["as_of"] > second["as_of"]
    successor = f"{done['release'].rsplit('-', 1)[0]}-99999999"  # after an erasure
    assert retire_reports(Artifacts(settings), [successor]) == [second["release"]]
    assert retire_reports(Artifacts(settings), []) == [done["release"]] and page_of_run(settings, run.id) is None


def test_a_dry_run_says_so_until_its_release_is_live(built: tuple[Settings, dict[str, Any]]) -> None:
    settings, _ = built
    done = run_build(settings, AFTER_ALL - timedelta(days=5), publish=False)
    told = {report["release"]: report["dry_run"] for report in reports(settings)}
    assert told.pop(done["release"]) and len(told) == 2 and not any(told.values())
    assert index_page(settings).count("from a dry run") == 1
    promote(settings, done["release"])
    assert "a dry run" not in index_page(settings)


def test_a_run_on_its_way_shows_its_steps(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert "has no report" in page_of(settings, "drain_events", "scheduled__1")
    directory = settings.artifacts / "runs" / directory_of("manual__1")
    append_timing(
        directory, {"step": "train.als", "index": None, "wall_s": 1.0, "cpu_s": 1.0, "peak_mb": 1.0, "at": "2024"}
    )
    text = page_of(settings, "build_recommendations", "manual__1")
    assert "train.als" in text and "Its steps so far" in text
    assert not update_report(settings, directory)
    assert "No build has left a report yet" in index_page(settings)


def test_late_rows_are_found_by_completed_weeks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weeks = ("2024-01-01", "2024-01-08", "2024-01-15")
    before = {"as_of": "2024-01-17T00:00:00+00:00", "events_per_week": dict(zip(weeks, (5, 9, 2), strict=True))}
    now = {"as_of": "2024-02-01T00:00:00+00:00", "events_per_week": dict(zip(weeks, (8, 7, 90), strict=True))}
    stored = [Path("s-before"), Path("s-now")]
    monkeypatch.setattr(Artifacts, "stored", lambda *_: stored)
    monkeypatch.setattr(data, "read_manifest", lambda path: {"s-before": before, "s-now": now}[path.name])
    run = Run("r", AFTER_ALL.replace(year=2024, month=2, day=1, hour=0, minute=0, second=0), Settings(home=tmp_path))
    assert data._late(run, now) == {"against": "s-before", "came": 3, "went": 2}  # 15 January: incomplete week
    assert data._late(replace(run, as_of=run.as_of - timedelta(days=30)), now) is None
