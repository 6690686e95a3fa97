"""Apply settings of a build: recorded ones win and are reported. File and variables agree."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.errors import SettingsError
from models.settings.declared import DECLARED, in_toml
from models.settings.settings import Settings
from pipelines.cli.operate import line
from pipelines.ingest.ingest import import_folder
from pipelines.run.run import Run, slug_of
from pipelines.run_build import run_build
from pipelines.store.artifacts import Artifacts
from tests.marketplace import small
from tests.marketplace.tiny import AFTER_ALL, write_tiny_marketplace

#: Some settings of every phase, none with its default.
SMALL: dict[str, Any] = small.SMALL | {
    "als_reverse_factors": None,
    "ranker_hidden": (8, 4),
    "ranker_cuts": 0,
    "shards": 2,
    "gate": False,
    "gate_rbo_ask": 0.6,
    "gate_rbo_stop": 0.95,
    "cold_start_threshold": 3,
}


@pytest.fixture
def loaded(settings: Settings, tmp_path: Path) -> Settings:
    import_folder(settings, write_tiny_marketplace(tmp_path / "data"))
    return settings


def from_file(path: Path) -> Settings:
    tables: dict[str, list[str]] = {}
    for flat, value in SMALL.items():
        d = DECLARED[flat]
        tables.setdefault(d.table, []).append(f"{d.key} = {in_toml(value)}\n")
    path.write_text("".join(f"[{table}]\n{''.join(lines)}" for table, lines in tables.items()))
    return Settings.from_env({"MATCHBOOK_CONFIG": str(path)})


def from_variables() -> Settings:
    text = {DECLARED[flat].variable: str(DECLARED[flat].written(v)) for flat, v in SMALL.items()}
    return Settings.from_env(text | {"MATCHBOOK_ALS_REVERSE_FACTORS": "-1", "MATCHBOOK_GATE_RBO": "0.6/0.95"})


def test_file_and_variables_build_the_same_release(loaded: Settings, tmp_path: Path) -> None:
    releases = []
    for name, own in (("file", from_file(tmp_path / "own.toml")), ("variables", from_variables())):
        here = replace(
            own,
            home=tmp_path / name,
            database_url=loaded.database_url,
            redis_url=loaded.redis_url,
            namespace=loaded.namespace,
        )
        assert all(here.value(flat) == value for flat, value in SMALL.items())
        releases.append(Artifacts(here).release(run_build(here, AFTER_ALL)["release"]))
    assert releases[0].id == releases[1].id and releases[0].settings == releases[1].settings
    assert releases[0].settings["ranker_hidden"] == "8/4" and releases[0].settings["als_reverse_factors"] is None


def test_a_recorded_setting_that_wins_is_in_log_and_report(loaded: Settings, caplog: pytest.LogCaptureFixture) -> None:
    first = loaded.layered(SMALL, "here")
    run_build(first, AFTER_ALL)
    changed = first.layered({"cold_start_threshold": 4, "gate_loss": 0.1}, "COLD_START_THRESHOLD")
    with caplog.at_level(logging.INFO):
        done = run_build(changed, AFTER_ALL)
    told = (
        f"routing.cold_start_threshold 3, recorded with {slug_of(AFTER_ALL)}, instead of 4 from COLD_START_THRESHOLD; "
        "--fresh reads it anew"
    )
    assert told in caplog.messages and told in Path(done["report"]).read_text()
    assert Run.open(changed, json.loads((Path(done["report"]).parent / "report.json").read_text())["run"]).overruled
    release = Artifacts(changed).release(done["release"])
    again = changed.with_recorded(release.settings, f"recorded with {release.id}")
    assert line(DECLARED["cold_start_threshold"], again, ["rules"]).startswith(
        f"routing.cold_start_threshold = 3  # recorded with {release.id}; serve; "
    )
    assert not Run.start(changed, "anew", AFTER_ALL, fresh=True).overruled


def test_a_build_by_the_recipe_of_the_source_documents(loaded: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """The mode wins over single settings, is recorded with the release, and is shown in the report."""
    seed = loaded.layered({**SMALL, "blend": "rrf", "ranking_mode": "seed"}, "own.toml")
    with caplog.at_level(logging.INFO):
        done = run_build(seed, AFTER_ALL)
    (warned,) = [m for m in caplog.messages if m.startswith("set, but without effect: ")]
    assert 'ensemble.blend = "rrf" ([ranking] mode = seed makes it "weighted")' in warned
    assert "routing.cold_start_threshold = 3 ([ranking] mode = seed makes it 5)" in warned
    assert any(m.startswith("ranker: rules; set, but without effect: ") for m in caplog.messages)
    release = Artifacts(seed).release(done["release"])
    assert release.settings["ranking_mode"] == "seed" and release.settings["blend"] == "rrf", "as it was given"
    told = json.loads((Path(done["report"]).parent / "report.json").read_text())["evaluation"]
    for surface in told["surfaces"].values():
        models = surface["models"]
        assert not models or models["seed_recipe"]["overall"] == models["served"]["overall"]
    assert told["settings"]["cold_start_threshold"] == 5 and told["settings"]["ranking_mode"] == "seed"

    now = loaded.layered(SMALL, "own.toml")
    assert Run.refreshing(now, "refresh", AFTER_ALL, release.id).settings.routing.cold_start_threshold == 5
    again = Run.start(now, "again", AFTER_ALL)
    assert again.settings.ranking.mode == "seed" and any(x.startswith("ranking.mode seed, ") for x in again.overruled)


def test_a_build_that_recorded_another_constant_asks_for_a_fresh_one(loaded: Settings) -> None:
    run_build(loaded.layered(SMALL, "here"), AFTER_ALL, publish=False)
    (path,) = Artifacts(loaded).stored("snapshots")
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["settings"]["rrf_k"] = 30
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SettingsError, match=r"rrf_k=30, which is a constant now, 60 .*--fresh"):
        Run.start(loaded, "r", AFTER_ALL)
    Run.start(loaded, "r", AFTER_ALL, fresh=True)
