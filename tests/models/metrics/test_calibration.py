"""Reliability bins against counts by hand."""

from __future__ import annotations

import numpy as np
import pytest

from models.errors import DataError
from models.metrics import reliability


def test_bins_hold_as_many_pairs_each_and_all_of_them() -> None:
    score = np.arange(100) / 100
    got = reliability(score, score >= 0.5, bins=4)
    assert [(round(b["score"], 3), b["rate"], b["count"]) for b in got] == [
        (0.12, 0, 25),
        (0.37, 0, 25),
        (0.62, 1, 25),
        (0.87, 1, 25),
    ]


def test_equal_scores_share_a_bin() -> None:
    got = reliability(np.array([0.0] * 90 + [1.0] * 10), np.array([False] * 100))
    assert [b["count"] for b in got] == [90, 10]
    same = reliability(np.ones(7), np.arange(7) < 2)
    assert same == [{"score": 1.0, "rate": pytest.approx(2 / 7, abs=1e-6), "count": 7}]


def test_nothing_and_nonsense() -> None:
    assert reliability(np.zeros(0), np.zeros(0, bool)) == []
    with pytest.raises(DataError, match="3 scores and 2 hits"):
        reliability(np.zeros(3), np.zeros(2, bool))
