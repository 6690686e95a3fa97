"""Compare confidence intervals of means with the central limit theorem, and pairs with their own variance."""

from __future__ import annotations

import numpy as np
import pytest

from models import metrics
from models.metrics import intervals


def test_bootstrap_repeats_covers_the_mean_and_pairs_columns() -> None:
    values = np.random.default_rng(3).random(200)
    low, high = metrics.bootstrap(values)
    assert (low, high) == metrics.bootstrap(values)
    assert low[0] < values.mean() < high[0]
    spread = 1.96 * values.std() / np.sqrt(len(values))
    assert (high[0] - low[0]) / 2 == pytest.approx(spread, rel=0.15)  # half width from the central limit theorem
    both_low, both_high = metrics.bootstrap(np.column_stack([values, values + 1]))
    assert both_low[1] - both_low[0] == pytest.approx(1) and both_high[0] == pytest.approx(high[0])
    assert np.isnan(metrics.bootstrap(np.array([1.0]))[0]).all()
    assert np.isnan(metrics.bootstrap(np.zeros(0))[0]).all() and metrics.bootstrap(np.zeros((0, 3)))[1].shape == (3,)
    assert np.isnan(list(metrics.paired_difference(np.zeros(0), np.zeros(0)).values())).all()


def test_bootstrap_does_not_depend_on_its_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(4).random(50)
    once = metrics.bootstrap(values)
    monkeypatch.setattr(intervals, "_DRAWS", 300)
    np.testing.assert_allclose(metrics.bootstrap(values), once, rtol=1e-12)


def test_paired_difference_is_narrower_than_either() -> None:
    rng = np.random.default_rng(5)
    easy = rng.random(300)
    got = metrics.paired_difference(easy + 0.1 + 0.01 * rng.random(300), easy)
    assert 0.1 < got["low"] < got["mean"] < got["high"] < 0.11


def test_summary_leaves_undefined_owners_out() -> None:
    got = metrics.summary({"ndcg": np.array([0.0, 1.0, 0.5]), "diversity": np.array([np.nan, 0.2, 0.4])})
    assert got["ndcg"]["mean"] == pytest.approx(0.5)
    assert got["diversity"]["mean"] == pytest.approx(0.3)
    assert got["diversity"]["low"] == pytest.approx(0.2) and got["diversity"]["high"] == pytest.approx(0.4)
