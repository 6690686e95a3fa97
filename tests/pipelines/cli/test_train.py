"""Run `train-als` and other training commands on a real export (E04-E06, E09, E15)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models.data.bundle import open_bundle
from models.settings.settings import Settings
from pipelines.__main__ import main
from pipelines.ingest.ingest import import_folder
from pipelines.sample.sample import write_sample


@pytest.fixture
def command(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a step against the test's servers. Return its JSON output or its exit status."""
    monkeypatch.setenv("MATCHBOOK_HOME", str(settings.home))
    monkeypatch.setenv("DATABASE_URL", settings.database_url.reveal())
    monkeypatch.setenv("REDIS_URL", settings.redis_url.reveal())

    def run(*arguments: str) -> Any:
        capsys.readouterr()
        status = main(arguments)
        return json.loads(capsys.readouterr().out) if status == 0 else status

    return run


@pytest.fixture
def exported(command: Any, settings: Settings, tmp_path: Path) -> str:
    """Export a small sample marketplace. Return the name of the snapshot."""
    write_sample(tmp_path / "sample", users=80, startups=40, events_per_user=20)
    import_folder(settings, tmp_path / "sample")
    return str(command("export")["snapshot"])


def test_each_model_is_trained_evaluated_and_shown(command: Any, exported: str, settings: Settings) -> None:
    als = command(
        "train-als",
        "--factors",
        "8",
        "--regularization",
        "0.1",
        "--iterations",
        "3",
        "--alpha",
        "10",
        "--min-interactions",
        "2",
        "--test-split",
        "0.3",
    )
    config = als["config"]
    assert (config["factors"], config["regularization"], config["iterations"], config["alpha"]) == (8, 0.1, 3, 10.0)
    assert config["min_interactions"] == 2 and als["snapshot"] == exported
    assert {"owners", "Precision@10", "MAP@10", "NDCG@10", "NDCG@10 interval"} < set(als["test"])
    assert als["test"]["Precision@10"] > 0
    files = {Path(f).name for f in als["files"]}
    assert files == {
        "als_v1_config.json",
        "als_v1_user_factors.npy",
        "als_v1_item_factors.npy",
        "als_v1_user_mapping.json",
        "als_v1_item_mapping.json",
    }, "the files of the model (D13-D17, D23)"
    folder = Path(als["files"][0]).parent
    assert folder == settings.artifacts / "bundles" / "als_v1" / als["version"]
    assert open_bundle("als_v1", folder).arrays["user_factors"].shape[1] == 8

    reverse = command("train-als-reverse", "--factors", "4", "--data", exported)
    assert reverse["config"]["factors"] == 4 and "test" not in reverse
    assert {Path(f).name for f in reverse["files"]} == {f.replace("als_v1", "als_reverse_v1") for f in files}, "D18"
    towers = command("train-two-tower", "--epochs", "1", "--test-split", "0.2")
    assert towers["config"]["max_epochs"] == 1 and 0 <= towers["test"]["MAP@10"] <= 1
    assert any(f.endswith("two_tower_v1_best.pth") for f in towers["files"])
    content = command("train-content", "--dimensions", "5")
    assert content["config"]["dimensions"] == 5


def test_check_lists_files_and_names_what_is_missing(
    command: Any, exported: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """E15, D23: exit status 1 if a bundle of every build is missing."""
    trained = command("train-als")
    capsys.readouterr()
    assert main(["check"]) == 1
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    found = {line["bundle"]: line for line in said if "bundle" in line}
    assert found["als_v1"]["state"] == "verified" and found["als_v1"]["version"] == trained["version"]
    assert {Path(f).name for f in trained["files"]} <= set(found["als_v1"]["files"])
    assert found["als_reverse_v1"]["state"] == "bad" and "als_reverse_v1" in found["als_reverse_v1"]["why"]


def test_als_is_evaluated_on_the_last_fifth_by_default(command: Any, exported: str) -> None:
    assert "test" in command("train-als", "--factors", "2", "--iterations", "1")
    assert "test" not in command("train-als", "--factors", "2", "--iterations", "1", "--test-split", "0")


@pytest.mark.usefixtures("exported")
def test_impossible_values_give_clear_errors(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command("train-als", "--factors", "many")
    assert "argument --factors: the value must be int, got 'many'" in capsys.readouterr().err
    assert command("train-als", "--as-of", "2001-01-01") == 1
    assert "expected a snapshot of 2001-01-01T00:00:00+00:00" in capsys.readouterr().err
    assert command("train-als", "--min-interactions", "100000") == 1
    assert "too sparse" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        command("train-als", "--test-split", "1.5")


def test_without_a_snapshot_the_cure_is_named(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("train-content") == 1
    assert "pipelines export" in capsys.readouterr().err
