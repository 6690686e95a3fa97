"""The numbers of the charts: one object that console.js draws and the table under the chart shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from serving.console.formats import instant

#: Functions of `formats.py` that show a value of a chart. console.js has the same.
Form = Literal["decimal", "percent", "count"]


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
    title: str, instants: Sequence[str], lines: Sequence[Mapping[str, Any]], form: Form = "decimal"
) -> dict[str, Any]:
    """Return a chart over time. instants: ISO 8601, ascending. form: how values are shown, see `formats.py`."""
    x = [instant(i).timestamp() for i in instants]
    return {"title": title, "x": x, "labels": list(instants), "lines": list(lines), "form": form}
