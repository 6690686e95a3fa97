"""Keep the summaries of builds where the console finds them."""

from __future__ import annotations

import json
from typing import Any

import redis

from models.lists.redis_format import Keys
from models.settings.environment import Secret
from models.settings.settings import Settings
from pipelines.report.summary import KEPT, keep_summaries, keep_summary, summary

NDCG = {"mean": 0.4, "low": 0.3, "high": 0.5}


def report(release: str, **more: Any) -> dict[str, Any]:
    """Return the part of report.json that a summary reads."""
    check = {"name": "accuracy", "surface": "startups/for-investor", "segment": "overall", "value": 0.1}
    checks = [
        {**check, "low": 0.0, "high": 0.2},
        {**check, "segment": "cold", "low": 0.0, "high": 0.2},
        {**check, "surface": "startups/for-developer", "value": None, "low": None, "high": None},
    ]
    reasons = [f"reason {n}" for n in range(9)]
    surface = {"models": {"served": {"overall": {"ndcg": NDCG}}, "popular": {"overall": None}}}
    step = {"step": "train.als", "index": None, "wall_s": 1.0, "cpu_s": 2.0, "peak_mb": 3.0, "at": "2024"}
    return {
        "release": release,
        "run": "first",
        "as_of": "2024-05-01T00:00:00+00:00",
        "generated_at": "2024-05-01T01:00:00+00:00",
        "gate": {"verdict": "ask", "kind": "manual", "reasons": reasons, "checks": checks, "answer": None},
        "evaluation": {"surfaces": {"startups/for-investor": surface}},
        "steps": [step],
        **more,
    }


def kept(settings: Settings) -> dict[str, Any]:
    with redis.Redis.from_url(settings.redis_url.reveal()) as client:
        found = client.hgetall(Keys(settings.namespace).builds)
    return {name.decode(): json.loads(value) for name, value in found.items()}


def test_a_summary_has_the_verdict_the_quality_and_the_steps() -> None:
    told = summary(report("r"))
    assert (told["verdict"], told["reasons"], told["kind"]) == ("ask", [f"reason {n}" for n in range(5)], "manual")
    assert told["quality"] == {"startups/for-investor": {"served": NDCG, "popular": None}}
    assert told["dry_run"] is False and summary(report("r", dry_run=True))["dry_run"] is True
    assert told["against"] == {"startups/for-investor": {"value": 0.1, "low": 0.0, "high": 0.2}}
    assert told["steps"] == [{"step": "train.als", "index": None, "wall_s": 1.0, "at": "2024"}]


def test_a_build_without_a_gate_or_an_evaluation_has_a_summary() -> None:
    told = summary(report("r", gate=None, evaluation=None, steps=[]))
    assert (told["verdict"], told["quality"], told["against"], told["steps"]) == (None, {}, {}, [])


def test_summaries_are_replaced_by_the_newest(settings: Settings) -> None:
    keep_summary(settings, report("old"))
    assert set(kept(settings)) == {"old"}
    assert keep_summaries(settings, (report(f"r{n}") for n in range(KEPT + 5))) == KEPT
    assert set(kept(settings)) == {f"r{n}" for n in range(KEPT)}


def test_a_report_is_written_without_redis_too(settings: Settings) -> None:
    keep_summary(settings.layered({"redis_url": Secret("redis://127.0.0.1:1/0")}, "given"), report("r"))
    assert kept(settings) == {}
