"""Read shares and quantiles from counters."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram

from serving.console.traffic import quantile, traffic

BUCKETS = [(0.001, 10.0), (0.002, 90.0), (0.005, 99.0), (float("inf"), 100.0)]


@pytest.mark.parametrize(
    ("share", "value", "least"),
    [(0.05, 0.001, "under"), (0.1, 0.001, "under"), (0.5, 0.0015, ""), (0.99, 0.005, ""), (0.999, 0.005, "over")],
)
def test_a_quantile_is_interpolated_in_its_bucket(share: float, value: float, least: str) -> None:
    assert quantile(BUCKETS, share) == {"value": pytest.approx(value), "least": least}


def test_without_observations_there_is_no_quantile() -> None:
    assert quantile([], 0.5) is None and quantile([(0.1, 0.0), (float("inf"), 0.0)], 0.5) is None
    assert traffic([])["lists"] == 0 and traffic([])["degraded"] is None


def test_lists_are_counted_by_source_and_only_list_requests_are_timed() -> None:
    registry = CollectorRegistry()
    lists = Counter("matchbook_lists", "x", ["surface", "route", "method", "source"], registry=registry)
    seconds = Histogram("matchbook_request_seconds", "x", ["endpoint"], buckets=(0.01, 0.1), registry=registry)
    degraded = Counter("matchbook_degraded_lists", "x", ["surface"], registry=registry)
    lists.labels("s", "als", "als", "cache").inc(3)
    lists.labels("s", "als", "popular", "live").inc()
    degraded.labels("s").inc()
    for endpoint in ("one", "many", "home"):
        seconds.labels(endpoint).observe(0.05)
    found = traffic(registry.collect())
    assert (found["requests"], found["lists"], found["degraded"]) == (2, 4, 0.25)
    assert found["sources"] == [("cache", 0.75), ("live", 0.25)] == [(s, n) for s, n in found["sources"]]
    assert dict(found["methods"]) == {"als": 0.75, "popular": 0.25}
    assert found["seconds"]["p50"]["value"] == pytest.approx(0.055)
