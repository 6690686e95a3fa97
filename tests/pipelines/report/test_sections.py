"""Write the report of a whole build: each section with data, none without."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from pipelines.report import plots
from pipelines.report.evaluation import build_report
from pipelines.report.html import exchanged, movable, section
from pipelines.report.sections import engagement_section, gate_section, timings_section

SURFACE = "startups/for-investor"


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    for drawn in ("bars", "weeks"):
        monkeypatch.setattr(plots, drawn, lambda *_, **__: "<svg></svg>")  # drawing is slow


def gate(**more: Any) -> dict[str, Any]:
    checks = [
        {
            "name": "coverage",
            "surface": SURFACE,
            "segment": None,
            "value": 0.9,
            "low": None,
            "high": None,
            "limit": 0.8,
            "verdict": "go",
            "says": "covers enough",
        },
        {
            "name": "ndcg",
            "surface": SURFACE,
            "segment": "hot",
            "value": -0.021,
            "low": -0.045,
            "high": 0.002,
            "limit": -0.02,
            "verdict": "ask",
            "says": "worse, perhaps by <chance>",
        },
    ]
    lists = {
        SURFACE: {
            "overlap_at_10": 0.61,
            "rbo": 0.55,
            "owners": 1335,
            "new_owners": 3,
            "gone_owners": 0,
            "popular_share": [0.009, 0.012],
            "gini": [0.47, 0.48],
            "coverage": [0.97, 0.96],
        }
    }
    return {
        "verdict": "ask",
        "release": "r",
        "champion": "live-1",
        "as_of": "2024",
        "kind": "manual",
        "reasons": ["NDCG@10 fell <a little>"],
        "checks": checks,
        "lists": lists,
        "answer": None,
        "notes": ["accuracy is not evaluated: too few"],
        "older_days": 1.5,
        "champion_figures": {
            SURFACE: {"owners": 66, "ndcg": {"mean": 0.21, "low": 0.18, "high": 0.24}, "new": 0.2, "popular": 0.1}
        },
        **more,
    }


def told() -> dict[str, Any]:
    shares = {
        SURFACE: {
            "method": {"als": 0.75, "popular": 0.25},
            "route": {"als": 1.0},
            "source": {"als": 0.5},
            "exposure": {"coverage": 0.9, "gini": 0.4, "most": 12},
        }
    }
    data = {
        "counts": {"users": 1500, "startups": 20, "interactions": 9000, "rejected": 3, "events/later": 7},
        "rejected": {"unknown type": 3},
        "events_by_kind": {"view": 9000},
        "limits": ["profiles are <new>"],
        "events_per_week": {"2024-01-01": 4, "2024-01-08": 9},
        "late": {"against": "s-1", "came": 5, "went": 2},
    }
    rate = {"value": 0.033, "low": 0.02, "high": 0.045, "trials": 1200, "owners": 80}
    arms = [{"name": "half", "owners": 40, "weight": 1.0, "settings": {"ensemble_als_weight": 0.5}}]
    earnings = {
        "made_at": "2024-05-01",
        "window_days": 14,
        "all": {"impressions": 1200, "click_through": rate},
        "by": {"method": [{"impressions": 1200, "name": "als", "click_through": rate}]},
        "experiments": [
            {
                "name": "blend",
                "since": "2024-04-01",
                "until": "2024-04-20",
                "arms": arms,
                "sample_ratio": {"even": True, "says": "as large as drawn"},
                "differences": [{"arm": "half", "says": "no difference <yet>"}],
            }
        ],
        "interactions": [{"day": "2024-04-01", "interactions": 70}],
        "expected": [{"id": "I13", "says": "conversion above 10%", "value": 0.02, "met": False}],
    }
    steps = [
        {"step": "score", "index": i, "wall_s": 2.0, "cpu_s": 1.5, "peak_mb": 100.0 + i, "at": "2024"} for i in range(2)
    ]
    return {
        "release": "20240501T000000Z-ab",
        "as_of": "2024-05-01T00:00:00+00:00",
        "snapshot": "s-2",
        "run": "run-1",
        "generated_at": "2024-05-01",
        "lists": {"lists": {SURFACE: 131}, "shares": shares},
        "data": data,
        "live_shares": {SURFACE: {"method": {"als": 0.7}, "exposure": {"coverage": 0.8}}},
        "gate": gate(),
        "earnings": earnings,
        "steps": steps,
        "evaluation": None,
    }


class _Balanced(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_every_section_describes_its_settings() -> None:
    text = build_report(told())
    for words in (
        "A person decides",
        "NDCG@10 fell &lt;a little&gt;",
        "Against the live release live-1",
        "0.610",
        "1,335",
        "0.0090, 0.0120",
        "worse, perhaps by &lt;chance&gt;",
        "[-0.0450, 0.0020]",
        "Checks passed: 1",
        "0.2100 [0.1800, 0.2400]",
        "75.0% (70.0%)",
        "0.900 (0.800)",
        "unknown type",
        "5 events arrived late, 2 were removed",
        "profiles are &lt;new&gt;",
        "0.0330 [0.0200, 0.0450]",
        "1,200",
        "Experiment blend, 2024-04-01 to 2024-04-20",
        "as large as drawn",
        "no difference &lt;yet&gt;",
        "conversion above 10%",
        "evaluated: too few",
        "up to 1.5 days before",
        "of popular lists",
        "score × 2",
        "4.0 s of work in 2 steps, at most 101 MB",
    ):
        assert words in text, words
    assert not _Balanced(text).open and "<script" not in text
    assert not re.findall(r'(?:src|href)="(?!#)', text.replace("http://www.w3.org", "#"))
    anchors = set(re.findall(r'href="#([^"]+)"', text))
    assert anchors == {"verdict", "lists", "data", "engagement", "spent"} <= set(re.findall(r'id="([^"]+)"', text))


def test_what_no_step_left_is_left_out() -> None:
    less = {key: told()[key] for key in ("release", "as_of")}
    text = build_report({**less, "gate": None, "evaluation": None, "earnings": None, "steps": [], "data": {}})
    assert "No gate checked" in text and not _Balanced(text).open
    for words in ("Everybody's lists</h2>", "What the models are worth", "Engagement", "Time and memory</h2>"):
        assert words not in text, words


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"verdict": "go", "reasons": []}, "no check failed"),
        ({"verdict": "stop"}, "Stopped"),
        ({"champion": None}, "Nothing was live to compare with"),
        ({"answer": {"chosen": "hold", "by": "ada", "at": "2024-05-02"}}, "Answered: hold by ada, 2024-05-02"),
        ({"checks": None, "lists": None, "champion_figures": None, "reasons": None}, "A person decides"),
    ],
)
def test_each_verdict_in_words(given: dict[str, Any], words: str) -> None:
    assert words in gate_section(gate(**given))


def test_a_ledger_with_other_fields_or_none_is_shown() -> None:
    rate = {"value": 0.25, "low": 0.2, "high": 0.3, "trials": 40, "owners": 9}
    told = engagement_section(
        {
            "by": {"arm": [{"name": "ranker/on", "click_through": rate}]},
            "experiments": [
                {
                    "name": "ranker",
                    "sample_ratio": {"p": 0.4, "says": "the arm sizes match their weights"},
                    "differences": [{"arm": "on", "rate": "click_through", "says": "on has the higher click through"}],
                }
            ],
        }
    )
    assert "0.2500 [0.2000, 0.3000]" in told and "arm sizes match their weights" in told and "on has the higher" in told
    assert engagement_section(None) == "" and "No answer has an outcome yet" in engagement_section({"by": {}})
    text = engagement_section({"by": {"day": [{"day": "monday", "sure": True, "note": None}]}})
    assert "By day" in text and ">yes<" in text and ">–<" in text


def test_a_step_without_time_or_memory_breaks_no_bar() -> None:
    assert "0.0%" in timings_section([{"step": "s", "index": None, "wall_s": 0.0, "cpu_s": 0.0, "peak_mb": 0.0}])


def test_a_section_is_found_and_exchanged_alone() -> None:
    text = f"a{movable('verdict', 'old')}b{movable('spent', 'x')}c"
    assert section(text, "verdict") == "old" and section(text, "models") is None
    assert exchanged(text, "verdict", r"new \1") == text.replace("old", r"new \1")
