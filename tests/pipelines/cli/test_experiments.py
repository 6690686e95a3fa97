"""Run `python -m pipelines experiments`: valid and invalid files, arms of the next build, engagement."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import text

from models.settings.settings import Settings
from pipelines.__main__ import main
from pipelines.postgres import engine, transaction

BLEND = {
    "name": "blend",
    "salt": "o01",
    "surfaces": ["startups/for-developer"],
    "share": 0.5,
    "arms": [{"name": w, "weight": 1, "settings": {"ENSEMBLE_ALS_WEIGHT": float(w)}} for w in ("0.5", "0.7")],
}


@pytest.fixture
def file(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of an experiments file. The environment names the test's servers."""
    for name, value in {
        "MATCHBOOK_HOME": str(settings.home),
        "MATCHBOOK_NAMESPACE": settings.namespace,
        "DATABASE_URL": settings.database_url.reveal(),
        "REDIS_URL": settings.redis_url.reveal(),
    }.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "experiments.json"
    path.write_text(json.dumps([BLEND]))
    return path


def test_a_file_is_checked_without_a_build(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiments", "check", str(file)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [a["settings"] for a in told["arms"]] == [{"ensemble_als_weight": 0.5}, {"ensemble_als_weight": 0.7}]
    file.write_text(json.dumps([BLEND | {"share": 7}]))
    assert main(["experiments", "check", str(file)]) == 1
    assert "[0].share: expected a number in 0..1, got 7" in capsys.readouterr().err


def test_the_next_build_is_shown_with_the_live_one(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MATCHBOOK_EXPERIMENTS", str(file))
    assert main(["experiments"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["next_build"][0]["name"] == "blend" and told["release"] is None and told["note"]
    assert main(["experiments", "show", "--release", "none"]) == 1


def test_engagement_with_answers_is_a_table(file: Path, settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    with transaction(engine(settings)) as connection:
        connection.execute(
            text(
                "INSERT INTO matchbook_answers VALUES ('a', 'startups/for-developer', 'als', 'als', "
                "'r', false, '2026-03-01', 'blend', 'abcd', '0.5')"
            )
        )
        connection.execute(
            text(
                "INSERT INTO matchbook_events (event_id, user_id, startup_id, type, at, answer_id) SELECT k, "
                "md5('u')::uuid, md5('s')::uuid, k, '2026-03-01', 'a' FROM unnest(ARRAY['impression', 'click']) k"
            )
        )
    assert main(["experiments", "measure", "--as-of", "2026-03-02", "--keep"]) == 0
    out = capsys.readouterr().out
    assert "method als" in out and "100.00% [0.00, 100.00]" in out and "arm blend/0.5" in out
    assert "no stored release has the weights of this edition's arms" in out
    assert (settings.artifacts / "earnings.json").is_file()
