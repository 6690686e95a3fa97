"""The numbers of the charts: one object that console.js draws and the table under the chart shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any


def line(label: str, points: Iterable[Mapping[str, Any] | None]) -> dict[str, Any]:
    """Return a line. points: {mean or value, low, high} or None, one for each instant of the chart."""
    known = [p or {} for p in points]
    return {
        "label": label,
        "value": [p.get("mean", p.get("value")) for p in known],
        "low": [p.get("low") for p in known],
        "high": [p.get("high") for p in known],
    }


def chart(
    title: str, instants: Sequence[str], lines: Sequence[Mapping[str, Any]], share: bool = False
) -> dict[str, Any]:
    """Return a chart over time. instants: ISO 8601, ascending. share: values are shown in percent."""
    x = [_seconds(i) for i in instants]
    return {"title": title, "x": x, "labels": list(instants), "lines": list(lines), "share": share}


def _seconds(instant: str) -> float:
    found = datetime.fromisoformat(instant)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
