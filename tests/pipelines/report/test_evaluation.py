"""Write the report: one page without external files, all figures, text for each chart, no empty section."""

from __future__ import annotations

import copy
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from pipelines.report import plots
from pipelines.report.evaluation import report
from pipelines.report.html import cell, claims_of, grid, verdict

pytestmark = pytest.mark.slow

VOID = {"meta", "br", "img", "hr", "path", "use"}


def entry(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - 0.01, "high": mean + 0.01}


def group(ndcg: float, owners: int) -> dict[str, Any]:
    return {
        "owners": owners,
        **{m: entry(ndcg) for m in ("precision", "recall", "ndcg", "map", "against_served")},
        "coverage": 0.5,
        "gini": 0.4,
        "answered": 1.0,
        "novelty": 5.5,
        "popularity_rank": 12.5,
        "diversity": None,
        "age_days": 401.0,
        "fresh": 0.25,
    }


def surface() -> dict[str, Any]:
    models = {
        name: {"overall": group(ndcg, 200), "none": group(ndcg, 120), "hot": group(ndcg, 1)}
        for name, ndcg in (("served", 0.31), ("als", 0.2345), ("popular", 0.12), ("random", 0.01))
    }
    return {
        "owners": 200,
        "pairs": 900,
        "catalogue": 1500,
        "models": models,
        "choice": {"serves": "ranker", "reason": "it <passed>", "candidates": {"rules": 0.29, "ranker": 0.31}},
        "claims": {
            "ensemble": {
                "owners": 90,
                "ndcg": {"ensemble": 0.25, "als": 0.24},
                "best_member": "als",
                "difference": {"mean": 0.01, "low": 0.002, "high": 0.018},
                "gain": 0.0417,
            },
            "age_days": {
                "owners": 90,
                "served": 300.0,
                "route": 420.0,
                "difference": {"mean": -120.0, "low": -150.0, "high": -90.0},
            },
        },
        "calibration": [{"score": 0.1, "rate": 0.02, "count": 500}, {"score": 0.9, "rate": 0.2, "count": 400}],
        "ablation": {"als": {"mean": -0.01, "low": -0.02, "high": -0.001}, "recency": entry(0.0)},
    }


@pytest.fixture
def evaluation() -> dict[str, Any]:
    return {
        "snapshot": "20240301T000000Z-abc",
        "as_of": "2024-03-01T00:00:00+00:00",
        "k": 10,
        "cut": "2024-02-17T00:00:00+00:00",
        "sizes": {"users": 1234, "startups": 1500, "interactions": 9876},
        "settings": {"seed": 42, "blend": "weighted"},
        "leaks": ["8 models counted 9000 events"],
        "second_stage": [{"name": "ensemble_v1", "version": "", "reason": "too few rows"}],
        "training": {"two_tower_v1": {"loss": [3.0, 2.0], "watched": [0.1, 0.2]}, "ranker": {"loss": [0.7, 0.6]}},
        "surfaces": {
            "startups/for-investor": surface(),
            "investors/for-startup": surface(),
            "developers/for-startup": {"owners": 0, "pairs": 0, "catalogue": 0, "models": {}},
        },
    }


class Page(HTMLParser):
    """Reads a page like a browser and a screen reader."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self.ids += [value for key, value in attrs if key == "id" and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self.ids += [value for key, value in attrs if key == "id" and value]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_needs_nothing(evaluation: dict[str, Any]) -> None:
    text = report(evaluation)
    page = Page(text)
    assert not page.open and len(page.ids) == len(set(page.ids))
    tags = [tag for tag, _ in page.found]
    assert not {"script", "link", "iframe", "img"} & set(tags)
    assert not re.findall(r'(?:src|href)="(?!#)', text.replace("http://www.w3.org", "#")) and "@import" not in text
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    assert used <= set(page.ids)


def test_pictures_and_tables_speak(evaluation: dict[str, Any]) -> None:
    page = Page(report(evaluation))
    pictures = [attrs for tag, attrs in page.found if tag == "svg"]
    assert len(pictures) == 2 * 4 + 1
    assert all(p["role"] == "img" and len(p["aria-label"] or "") > 20 for p in pictures)
    tags = [tag for tag, _ in page.found]
    assert tags.count("caption") == tags.count("table") > 8
    assert all(attrs.get("scope") in ("col", "row") for tag, attrs in page.found if tag == "th")
    assert ("html", {"lang": "en"}) in page.found


def test_every_section_describes_its_settings(evaluation: dict[str, Any]) -> None:
    text = report(evaluation)
    for words in (
        "it &lt;passed&gt;",
        "ensemble_v1 was refused: too few rows",
        "0.2345 [0.2245, 0.2445]",
        "1,234",
        "hot owners: NDCG@10 +4.2%, +0.0100 [+0.0020, +0.0180], clearly more",
        "(I21, expected less): -120",
        "I06 good &gt; 0.15, I08 poor &lt; 0.10",
        "I07 good &gt; 0.10",
        "8 models counted 9000 events",
        "<h3>Ablation</h3>",
        "hot: 1 owner",
        "two_tower_v1: loss",
        "Temporal split: the last share",
        "No owner to evaluate by: developers/for-startup.",
        "Do higher scores mean more hits?",
        "weighted",
    ):
        assert words in text, words


def test_a_reader_learns_what_orders_the_lists_and_what_the_cap_does(
    evaluation: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for drawn in ("dots", "bars", "curves", "calibration"):
        monkeypatch.setattr(plots, drawn, lambda *_, **__: "<svg></svg>")  # drawing is slow
    assert "Ordered by the network. Why: it &lt;passed&gt;." in (plain := report(evaluation)) and "cap on" not in plain
    for surface in evaluation["surfaces"].values():
        if surface.get("choice"):
            surface |= {"cap": 14.0, "choice": {"ranks": "stacked", "serves": "capped", "reason": "few data"}}
    page = report(evaluation)
    assert "Ordered by the stacked ranker. Why: few data. Then a cap on exposure limits each item to 14 times" in page
    assert "stacked, capped" in page and "because stacked" not in page


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        (("training",), "<h2>Training</h2>"),
        (("leaks",), "Leak checks"),
        (("settings",), "<h2>Settings</h2>"),
        (("ablation",), "<h3>Ablation</h3>"),
        (("calibration",), "higher scores mean more hits"),
        (("claims",), "Expected, and measured here"),
        (("choice",), "Ordered by"),
        (("sizes",), "interactions"),
        (("second_stage",), "was refused"),
    ],
)
def test_what_is_absent_is_left_out(
    evaluation: dict[str, Any], gone: tuple[str, ...], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for drawn in ("dots", "bars", "curves", "calibration"):
        monkeypatch.setattr(plots, drawn, lambda *_, **__: "<svg></svg>")  # drawing is slow
    less = copy.deepcopy(evaluation)
    for name in gone:
        less.pop(name, None)
        for part in less["surfaces"].values():
            part.pop(name, None)
    assert words in report(evaluation) and words not in report(less)
    assert not Page(report(less)).open


def test_missing_evaluation_data_is_reported() -> None:
    text = report({"snapshot": "s", "as_of": "2024-03-01", "reason": "one < two", "surfaces": {}})
    assert "Nothing to evaluate by: one &lt; two" in text
    text = report(
        {
            "snapshot": "s",
            "as_of": "2024-03-01",
            "cut": "2024-02-01",
            "surfaces": {"investors/for-startup": {"owners": 0, "pairs": 0, "catalogue": 3, "models": {}}},
        }
    )
    assert "no owner has an event" in text


def test_the_same_figures_give_the_same_page(evaluation: dict[str, Any]) -> None:
    assert report(evaluation) == report(json.loads(json.dumps(evaluation, sort_keys=True)))
    assert len(report(evaluation)) < 400_000


def test_figures_without_numbers_draw_nothing() -> None:
    nothing = {"mean": None, "low": None, "high": None}
    assert "<svg" in plots.dots({"overall (0)": {"als": nothing}}, ["als", "absent"])
    assert "<svg" in plots.bars({"Gini": {"als": None}}, ["als"])
    assert "0.012" in plots.bars({"Gini": {"als": 0.0123456}}, ["als"])  # coordinates are rounded, numbers are not


def test_cells_and_verdicts() -> None:
    assert cell(None) == cell({"mean": None}) == "–" and cell({"mean": 0.5}) == "0.5000" and cell(1234.5, 0) == "1,234"
    assert verdict({"mean": 0.0, "low": 0.0, "high": 0.0}) == "no difference"
    assert verdict({"mean": 0.1, "low": -0.1, "high": 0.2}).endswith("no clear difference")
    assert verdict({"mean": -0.1, "low": -0.3, "high": -0.01}).endswith("clearly less")
    assert verdict({"mean": 0.1, "low": None, "high": None}) == "0.1000 (too few owners to say more)"
    assert "<b>" not in grid("a<b>", ["<b>"], [["<b>", "<b>"]])
    assert claims_of({}) == []
