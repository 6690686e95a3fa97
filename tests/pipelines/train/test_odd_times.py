"""Times of the year 1 or 9999 overflow in no model, and one odd event changes no model much."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import registry
from models.data.interactions import FEW, MOST, Span, faded
from models.errors import TooSparse
from models.schema import INTERACTION_TYPES, Entity
from pipelines.export.snapshot import Snapshot
from pipelines.run.run import EPOCH
from pipelines.train.train import fit
from tests.architecture.tree import CODE, name, python
from tests.marketplace.small import small_settings

SMALL = small_settings(als_iterations=2, als_half_life_share=0.3, content_dimensions=4, graph_filter_min_pairs=0.0)
KINDS = list(INTERACTION_TYPES)
YEAR_1, LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
_ALL_US = (LAST - YEAR_1) // timedelta(microseconds=1)
INSTANT = st.integers(0, _ALL_US - 1).map(lambda n: YEAR_1 + timedelta(microseconds=n))


def identity(kind: int, n: int) -> str:
    return f"{kind:08d}-0000-4000-8000-{n:012d}"


def snapshot(at: list[datetime], born: list[datetime | None]) -> Snapshot:
    """Make twelve people, eight startups, one event per instant, before the calendar's last microsecond."""
    told = [None if b is None else b.isoformat() for b in born]
    users = pd.DataFrame(
        {
            "user_id": [identity(1, n) for n in range(12)],
            "role": ["developer", "Investor "] * 6,
            "headline": [f"word{n % 3} all" for n in range(12)],
            "created_at": [told[n % len(told)] for n in range(12)],
        }
    )
    startups = pd.DataFrame(
        {
            "startup_id": [identity(2, n) for n in range(8)],
            "category": ["a", "A", "b", ""] * 2,
            "created_at": [told[-1 - n % len(told)] for n in range(8)],
        }
    )
    events = pd.DataFrame(
        [
            {
                "user_id": identity(1, n * 5 % 12),
                "startup_id": identity(2, n % 8),
                "interaction_type": KINDS[n * 3 % 7],
                "occurred_at": instant.isoformat(),
            }
            for n, instant in enumerate(at)
        ]
    )
    return Snapshot.from_frames(users, startups, events.drop_duplicates(), LAST.isoformat(), {"stage_known": "auto"})


@settings(max_examples=12, deadline=None)
@given(st.lists(INSTANT, min_size=30, max_size=60), st.lists(INSTANT | st.none(), min_size=1, max_size=5))
@pytest.mark.slow
def test_no_instant_overflows_in_any_model(at: list[datetime], born: list[datetime | None]) -> None:
    taken = snapshot([YEAR_1, LAST - timedelta(microseconds=1), *at], [YEAR_1, *born])
    for entity in Entity:
        assert len(taken.entities(entity)) in (12, 8)
    for model in registry.bundles():
        try:
            bundle = fit(model, taken, SMALL)
        except TooSparse:
            continue
        for key, array in bundle.arrays.items():
            assert array.dtype.kind not in "fc" or np.isfinite(array).all(), (model, key)


@cache
def _steady(odd: datetime | None) -> Snapshot:
    """Make 3,000 events over a year. One may have an odd time."""
    start = datetime(2023, 1, 1, tzinfo=UTC)
    at = [start + timedelta(minutes=175 * n) for n in range(3000)]
    return snapshot(at if odd is None else [odd, *at[1:]], [None])


@pytest.mark.parametrize("odd", [datetime(1970, 1, 1, tzinfo=UTC), YEAR_1, datetime(2030, 1, 1, tzinfo=UTC), LAST])
@pytest.mark.parametrize("model", registry.bundles())
def test_one_odd_event_changes_no_model_much(model: str, odd: datetime) -> None:
    """Half-lives are shares of a span. Similarities change by at most a fiftieth, factor scores agree."""
    plain, spoiled = (fit(model, _steady(o), SMALL.layered({"two_tower_epochs": 0}, "given")) for o in (None, odd))
    if "data" in plain.arrays:
        was, now = plain.arrays["data"], spoiled.arrays["data"]
        assert was.shape == now.shape and np.abs(was - now).max() <= 0.02 * np.abs(was).max()
    if model.startswith("als"):
        scores = [b.arrays["user_factors"] @ b.arrays["item_factors"].T for b in (plain, spoiled)]
        assert np.corrcoef(*(s.ravel() for s in scores))[0, 1] > 0.98
        assert spoiled.config["half_life_days"] == pytest.approx(plain.config["half_life_days"], rel=0.01)


@given(st.lists(st.integers(0, 10**15), min_size=FEW + 1, max_size=300), st.integers(-6 * 10**16, 25 * 10**16))
def test_a_span_has_the_events_without_the_tails(at: list[int], odd: int) -> None:
    with_odd = Span.from_times(np.array([odd, *at]))
    assert min(at) <= with_odd.newest_us <= max(at) and 0 <= with_odd.length_us <= max(at) - min(at)


def test_weights_fade_between_1_and_a_little_and_few_events_span_all() -> None:
    assert Span.from_times(np.array([], np.int64)) == (0, 0.0) and Span.from_times(np.array([7, 3])) == (7, 4.0)
    weight = faded(np.array([-(10**17), 0, 50, 100, 200]), 100, 50.0)
    assert weight.tolist() == pytest.approx([2.0**-MOST, 0.25, 0.5, 1.0, 1.0]) and weight[0] > 0
    assert np.float32(weight[0]) > 0 and Span(100, 0.0).fading(np.array([1]), 0.5).tolist() == [1.0]


def test_only_span_measures_the_time_of_events() -> None:
    """Code uses `Span` for the time span of events, because one wrong row can set an extreme."""
    found = [name(p) for p in python(*CODE) if "ptp(" in p.read_text()]
    assert found == []


def test_the_calendar_of_the_tests_is_all_there_is() -> None:
    assert (YEAR_1 - EPOCH).days == -719_162
