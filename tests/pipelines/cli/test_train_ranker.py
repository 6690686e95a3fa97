"""Run the commands of the second stage (E03, E07, E08)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from models.data.bundle import open_bundle
from models.mlp_ranker.scorer import MlpRanker
from models.settings.settings import Settings
from pipelines.__main__ import main
from pipelines.cli import train as learn
from pipelines.run.run import Run, parse_instant
from pipelines.train_ranker.mlp_samples import COLUMNS


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MATCHBOOK_HOME", str(tmp_path / "home"))
    return tmp_path


def csv(path: Path, owners: int = 60, seed: int = 0) -> str:
    """Write a ranking set whose owners like popular items."""
    rng = np.random.default_rng(seed)
    x = rng.random((owners * 6, 4)).round(4)
    label = (x[:, 2] > 0.6).astype(int)
    owner = np.repeat([f"owner {seed} {i}" for i in range(owners)], 6)
    pd.DataFrame(dict(zip(COLUMNS, [owner, "startup", *x.T, label], strict=True))).to_csv(path, index=False)
    return str(path)


def test_train_on_a_csv_with_every_option(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, val = csv(home / "ranker_train.csv"), csv(home / "val.csv", seed=1)
    assert (
        main(
            [
                "train-ranker",
                "--data",
                data,
                "--val",
                val,
                "--epochs",
                "3",
                "--batch-size",
                "64",
                "--lr",
                "0.01",
                "--output-dir",
                str(home / "models"),
            ]
        )
        == 0
    )
    assert json.loads(capsys.readouterr().out) == [{"name": "ranker_v1", "folder": str(home / "models")}]
    written = {p.name for p in (home / "models").iterdir()}
    assert {"ranker_v1.pth", "ranker_v1_best.pth", "ranker_v1_config.json"} <= written
    bundle = open_bundle("ranker_v1", home / "models")
    expected: dict[str, Any] = {"epochs": 3, "batch_size": 64, "learning_rate": 0.01, "data": ["ranker_train.csv"]}
    assert {k: bundle.config[k] for k in expected} == expected and bundle.config["validated_on"] == 60
    low, high = MlpRanker.from_bundle(bundle).score(np.array([[0.5, 0.5, 0.1, 0.5], [0.5, 0.5, 0.9, 0.5]], np.float32))
    assert high > low


def test_too_few_positives_end_with_one_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = csv(home / "few.csv", owners=8)
    assert main(["train-ranker", "--data", data, "--output-dir", str(home / "models")]) == 1
    said = capsys.readouterr().err
    assert "positives, 100 needed (C53)" in said and "Traceback" not in said


@pytest.mark.parametrize("step", ["train-ranker", "ranking-set", "evaluate"])
def test_without_a_snapshot(step: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([step]) == 1
    assert "run `python -m pipelines export` first" in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_evaluate_prints_the_path_of_the_report(
    options: list[str], home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run("learn", parse_instant("2024-03-01"), Settings(home=home))
    monkeypatch.setattr(learn, "newest_run", lambda settings: (run, "snapshot"))
    monkeypatch.setattr(learn, "evaluate", lambda run, snapshot, *_: {"reason": "too few events", "surfaces": {}})
    assert main(["evaluate", *options]) == 0
    out, err = capsys.readouterr()
    assert str(run.directory / "evaluation.html") in err and "too few events" in out
    assert not options or json.loads(out)["surfaces"] == {}


@pytest.mark.parametrize("wrong", [["--epochs", "0"], ["--lr", "-1"], ["--recipe", "guess"]])
def test_wrong_use(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["train-ranker", *wrong])
    assert left.value.code == 2


def test_options_of_a_file_need_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train-ranker", "--output-dir", "models"]) == 2
    assert "need --data" in capsys.readouterr().err
