"""Comparisons use equal work, and tables show the measured values. No test asserts a time."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from benchmarks import __main__ as command
from benchmarks import run, top_k, ways
from benchmarks.ways import BASE, Rate, differing, owners_for
from models.scoring.top_k import Float32Product
from models.scoring.top_k import top_k as top_k_of
from pipelines.score.fast_product import BFloat16Product


def test_every_way_gives_the_items_of_implicit() -> None:
    rates, other = top_k.measure(owners=300, items=700, factors=16, places=20, repeats=1)
    assert list(other.values()) == [0, 0, 0, 0] and len(rates) == 5
    assert all(rate.owners_per_second > 0 and rate.cpu_us > 0 for rate in rates.values())


def test_a_way_that_is_slow_on_this_processor_is_timed_on_a_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "fastest", lambda: Float32Product)
    monkeypatch.setattr(ways, "SLICE", 40)
    assert owners_for(Float32Product, 300) == 300 and owners_for(BFloat16Product, 300) == 40
    _, other = top_k.measure(owners=300, items=700, factors=16, places=20, repeats=1)
    assert list(other.values()) == [0, 0, 0, 0]


def test_other_items_are_noticed() -> None:
    left, right = np.eye(2, dtype=np.float32), np.array([[3, 1], [2, 2], [2, 1], [1, 3]], np.float32)
    ours = top_k_of(left, Float32Product(right), sparse.csr_matrix((2, 4), dtype=bool), 2)
    assert differing(ours, np.array([[0, 2], [3, 1]]), left, right) == 0  # items 1 and 2 have equal scores
    assert differing(ours, np.array([[0, 3], [3, 2]]), left, right) == 2


@pytest.fixture
def taken() -> dict[str, dict[str, Any]]:
    """Return what the steps of a small run printed."""
    rates = {
        "rates": {BASE: asdict(Rate(100.0, 20.0)), "plain chain to Redis": asdict(Rate(60.0, 25.0))},
        "differing": {},
        "owners": 7,
        "items": 9,
        "factors": 4,
        "sources": ["als", "two_tower"],
        "candidates": 200,
        "blend": "weighted",
        "ranker": "rules",
        "depth": 100,
        "product": "BFloat16Product",
    }
    plain = {"seconds": 1.0, "cpu": 0.7, "peak_mb": 50.0}
    return {
        "import": {**plain, "interactions": 60_000},
        "plain COPY": {**plain, "own_seconds": 0.5},
        "export": {**plain, "own_seconds": 0.8},
        "score": {**plain, "owners": 4000, "own_seconds": 2.0},
        "publish": {**plain, "lists": 10, "encoded": 812.0, "memory_usage": 884.0, "used_memory": 1017.0},
        "rates": {**plain, **rates},
    }


def test_the_table_says_what_was_on(taken: dict[str, dict[str, Any]]) -> None:
    text = run.table("2k", taken)
    assert "export at 0.62 of plain COPY's speed" in text and "2,000 owners a second" in text
    assert "| plain chain to Redis | 60 | 0.60 | 25 | 0.80 | - |" in text
    assert "sources als + two_tower (200 candidates each), weighted blend, ranker rules, depth 100" in text


def test_a_finished_step_is_not_repeated(tmp_path: Path) -> None:
    def generated(users: str) -> tuple[dict[str, Any], int]:
        report = run.Bench(tmp_path, ()).step("generate", "generate", users, "3")
        return report, (tmp_path / "sample" / "users.csv").stat().st_mtime_ns

    first = generated("20")
    assert first[0]["cpu"] > 0 and generated("20") == first
    assert generated("30") != first


def test_a_section_of_the_page_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text("# Benchmarks\n\n## 2k\n\nold\n\n## 20k\n\nkept\n")
    monkeypatch.setattr(command, "PAGE", page)
    command.write("2k", "new")
    command.write("100k", "large")
    text = page.read_text()
    assert "old" not in text and text.index("new") < text.index("kept") < text.index("large")
    assert text.count("## 2k") == 1
