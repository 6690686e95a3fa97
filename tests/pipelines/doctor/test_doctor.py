"""Diagnose P01-P09: find each planted problem, with its figure and a remedy, and no other."""

from __future__ import annotations

import json
import shutil
from argparse import Namespace
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from models.lists.redis_format import Keys
from models.settings.environment import Secret
from models.settings.settings import Settings
from pipelines.cli.operate import _doctor
from pipelines.doctor.diagnosis import Diagnosis, State
from pipelines.doctor.doctor import QUESTIONS, as_text, diagnose
from pipelines.doctor.quality import _weak
from pipelines.ingest.ingest import import_folder
from pipelines.run.run import parse_instant
from pipelines.run_build import run_build
from tests.marketplace import small
from tests.marketplace.tiny import AFTER_ALL, write_tiny_marketplace

SMALL = small.SMALL | {"ranker_cuts": 0, "shards": 2, "reader_port": 1}
SURFACE = "startups/for-investor"


@pytest.fixture
def built(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Settings, dict[str, Any]]:
    """Publish one release of the tiny marketplace. Figures are planted, not measured."""
    monkeypatch.setattr("pipelines.evaluate.evaluate.evaluate_build", lambda *_: {})
    import_folder(settings, write_tiny_marketplace(tmp_path / "data"))
    small = settings.layered(SMALL, "given")
    return small, run_build(small, AFTER_ALL)


def asked(settings: Settings, at: datetime | None = None) -> dict[str, Diagnosis]:
    found = diagnose(settings, at or made(settings))
    assert [d.id for d in found] == list(QUESTIONS)
    assert all(len(d.cure) > 20 and len(d.says) > 3 and d.title for d in found)
    json.dumps([d.to_json() for d in found])
    return {d.id: d for d in found}


def made(settings: Settings) -> datetime:
    (release,) = (settings.artifacts / "releases").iterdir()
    return parse_instant(json.loads((release / "manifest.json").read_text())["generated_at"]) + timedelta(hours=1)


def found(settings: Settings, at: datetime | None = None) -> set[str]:
    return {id_ for id_, d in asked(settings, at).items() if d.state is State.FOUND}


def plant_figures(settings: Settings, done: dict[str, Any], high: float, **choice: str) -> None:
    path = Path(done["report"]).parent / "report.json"
    report, ndcg = json.loads(path.read_text()), {"mean": 0.3, "low": 0.2, "high": 0.4}
    models = {"served": {"overall": {"ndcg": ndcg}}, "popular": {"overall": {"ndcg": {**ndcg, "mean": 0.1}}}}
    claim = {
        "owners": 90,
        "ndcg": {"ensemble": 0.2, "als": 0.25, "two_tower": 0.1},
        "best_member": "als",
        "gain": -0.2,
        "difference": {"mean": -0.05, "low": -0.08, "high": high},
    }
    report["evaluation"] = {
        "blend": {"blend": "weighted"},
        "surfaces": {
            SURFACE: {"models": models, "claims": {"ensemble": claim}, "choice": choice or {"serves": "ranker"}},
            "developers/for-startup": {"models": models, "choice": {"serves": "ranker"}},
        },
    }
    path.write_text(json.dumps(report))


def test_what_is_well_and_what_was_planted(built: tuple[Settings, dict[str, Any]], capsys: Any) -> None:
    settings, done = built
    plant_figures(settings, done, high=0.01)
    well = asked(settings)
    assert {id_ for id_, d in well.items() if d.state is State.FOUND} == {"P06"}  # the marketplace is tiny
    assert "only" in well["P06"].says and well["P06"].figures["interactions"] < 1000
    assert well["P01"].figures["users"] > 0 and well["P07"].figures["counting"][0]["ms"] >= 0
    assert 0 < well["P05"].figures["surfaces"][SURFACE]["overlap"] <= 1
    assert well["P09"].state is State.UNKNOWN and well["gate"].state is State.WELL

    plant_figures(settings, done, high=-0.01, serves="rules")
    below = asked(settings)
    assert below["P05"].state is State.FOUND and "weighted" in below["P05"].says
    assert below["P05"].figures["surfaces"][SURFACE]["weak_member"] == "two_tower"
    assert below["P08"].state is State.FOUND and SURFACE in below["P08"].says

    plant_figures(settings, done, high=-0.01, ranks="stacked", serves="capped")
    assert f"{SURFACE} by the stacked ranker" in asked(settings)["P08"].says
    plant_figures(settings, done, high=-0.01, ranks="rules", serves="capped")
    assert f"no ranker passed on {SURFACE}" in asked(settings)["P08"].says

    late = asked(settings, made(settings) + timedelta(days=3))["lists"]
    assert late.state is State.FOUND and "73 h ago" in late.says
    with redis.Redis.from_url(settings.redis_url.reveal()) as client:
        client.sadd(Keys(settings.namespace).loading, "20240101T000000Z-00000000")
        drain = Keys(settings.namespace).drain
        for ago_s, state in ((10, State.WELL), (400, State.FOUND)):
            seconds: Any = client.time()[0]
            client.hset(drain, "until", (seconds - ago_s) * 1_000_000)
            assert asked(settings)["events"].state is state
        client.delete(drain)
    assert "killed" in asked(settings)["loading"].says
    (settings.artifacts / "decisions.jsonl").write_text(
        '{"what": "gate", "verdict": "stop", "at": "2024", "reasons": ["noise"]}\n{"what": "retrain"}\nnonsense\n'
    )
    assert "because noise" in asked(settings)["gate"].says
    assert {"P05", "P06", "P08", "loading", "gate"} == found(settings)

    settings = replace(settings, reader_port=1)
    assert _doctor(settings, Namespace(json=True)) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["id"] for line in lines] == list(QUESTIONS) and lines[0]["state"] == "well"


def test_damaged_and_missing_models_are_named(built: tuple[Settings, dict[str, Any]]) -> None:
    settings, _ = built
    (als,) = (settings.artifacts / "bundles" / "als_v1").iterdir()
    with (als / "als_v1_user_factors.npy").open("r+b") as file:
        file.truncate(100)
    damaged = asked(settings)
    assert damaged["P03"].state is State.FOUND and "als_v1" in damaged["P03"].figures["bad"]
    assert damaged["P04"].state is State.FOUND and damaged["P04"].says.startswith("als_v1 is missing")
    shutil.rmtree(settings.artifacts / "bundles" / "two_tower_v1")
    assert set(asked(settings)["P04"].figures["halves"]) == {"als_v1", "two_tower_v1"}
    assert "switched off" in asked(settings.layered({"enable_two_tower": False}, "given"))["P04"].says
    assert asked(settings.layered({"enable_ensemble": False}, "given"))["P04"].state is State.WELL
    shutil.rmtree(settings.artifacts / "bundles" / "catalogue_v1")
    assert asked(settings)["P02"].state is State.UNKNOWN
    (release,) = (settings.artifacts / "releases").iterdir()
    (release / "manifest.json").write_text("{}")
    broken = diagnose(settings, AFTER_ALL)
    assert len(broken) == len(QUESTIONS) and any("ReleaseIncomplete" in d.says for d in broken)


def test_an_empty_installation_lists_what_it_lacks(settings: Settings) -> None:
    told_of = {d.id: d for d in diagnose(replace(settings, reader_port=1), AFTER_ALL)}
    assert {id_ for id_, d in told_of.items() if d.state is State.FOUND} == {"P01", "P03", "lists"}
    assert told_of["P01"].figures == {"users": 0, "startups": 0, "interactions": 0}


def test_servers_that_do_not_answer_keep_nothing_else_waiting(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path,
        database_url=Secret("postgresql://nobody@127.0.0.1:1/none"),
        redis_url=Secret("redis://127.0.0.1:1/0"),
        reader_port=1,
    )
    text = as_text(diagnose(settings, AFTER_ALL))
    assert "FOUND    servers" in text and "cure: " in text and text.endswith(" found\n")
    assert "nothing found" not in text
    off = {d.id: d.state for d in diagnose(Settings(home=tmp_path, reader_port=1), AFTER_ALL, running=False)}
    assert off["servers"] is State.FOUND and off["P07"] is State.UNKNOWN


@pytest.mark.parametrize(
    ("ndcg", "weak"),
    [
        ({"ensemble": 0.3, "als": 0.3, "two_tower": 0.1}, "two_tower"),
        ({"als": 0.3, "two_tower": 0.2}, None),
        ({"als": 0.3}, None),
        ({"als": None, "two_tower": 0.2}, "als"),
    ],
)
def test_a_member_below_half_of_the_other_is_weak(ndcg: dict[str, float | None], weak: str | None) -> None:
    assert _weak(ndcg) == weak
