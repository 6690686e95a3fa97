"""What the reader did since it started, from the counters of all its processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from prometheus_client.core import Metric

#: Endpoints that answer with lists.
ENDPOINTS = ("one", "many", "popular", "trending")
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def traffic(metrics: Iterable[Metric]) -> dict[str, Any]:
    """Return requests, lists, shares by source and method, and quantiles of the time of list requests, in seconds.

    A quantile is {value, least}: interpolated in its bucket; `least` if it is below the first or above the last bound.
    """
    found = {metric.name: metric for metric in metrics}
    seconds = _buckets(found.get("matchbook_request_seconds"))
    lists = Counter[tuple[str, str]]()
    for sample in _samples(found.get("matchbook_lists"), "_total"):
        for label in ("source", "method"):
            lists[label, sample[0][label]] += int(sample[1])
    total = sum(n for (label, _), n in lists.items() if label == "source")
    degraded = sum(int(value) for _, value in _samples(found.get("matchbook_degraded_lists"), "_total"))
    return {
        "requests": int(seconds[-1][1]) if seconds else 0,
        "lists": total,
        "degraded": degraded / total if total else None,
        "sources": _shares(lists, "source", total),
        "methods": _shares(lists, "method", total),
        "seconds": {name: quantile(seconds, share) for name, share in QUANTILES.items()},
    }


def quantile(buckets: Sequence[tuple[float, float]], share: float) -> dict[str, Any] | None:
    """Return a quantile from cumulative buckets (bound, count), or None without observations."""
    if not buckets or not buckets[-1][1]:
        return None
    wanted = share * buckets[-1][1]
    if buckets[0][1] >= wanted:
        return {"value": buckets[0][0], "least": "under"}
    for (low, before), (high, count) in pairwise(buckets):
        if count >= wanted:
            if high == float("inf"):
                return {"value": low, "least": "over"}
            return {"value": low + (high - low) * (wanted - before) / (count - before), "least": ""}
    return None


def _buckets(metric: Metric | None) -> list[tuple[float, float]]:
    """Sum the buckets of the list endpoints, ascending by bound."""
    summed = Counter[float]()
    for labels, value in _samples(metric, "_bucket"):
        if labels["endpoint"] in ENDPOINTS:
            summed[float(labels["le"])] += value  # type: ignore[assignment]  # counts are floats
    return sorted(summed.items())


def _samples(metric: Metric | None, suffix: str) -> list[tuple[Mapping[str, str], float]]:
    return [(s.labels, s.value) for s in metric.samples if s.name.endswith(suffix)] if metric else []


def _shares(lists: Counter[tuple[str, str]], label: str, total: int) -> list[tuple[str, float]]:
    found = [(name, n / total) for (kind, name), n in lists.items() if kind == label and n]
    return sorted(found, key=lambda pair: -pair[1])
