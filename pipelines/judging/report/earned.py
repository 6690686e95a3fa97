"""What answers earned: the figures of the ledger beside those of the hold-out, whatever it has kept.

Reads earnings.json as `pipelines/judging/earnings` writes it: {"made_at", "window_days", "all", "by": {"method":
[record…], …}, "experiments": [record…], "interactions": [record…], "expected": [record…]}. A figure with an interval is
{"value" (or "mean"), "low", "high", …}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from pipelines.judging.report.tables import cell, grid

_GROUPS = ("method", "route", "surface", "release", "arm", "day")
#: The order of columns: what names a record, then counts, then rates; whatever else there is follows, a sentence last.
_RATES = (
    "name",
    "arm",
    "day",
    "id",
    "owners",
    "answers",
    "impressions",
    "share",
    "clicked",
    "applied",
    "converted",
    "click_through",
    "conversion",
    "application",
    "satisfaction",
    "feedback",
    "precision_at_10",
    "age_days",
)
_SENTENCE = "says"
_OF_RATES = (
    "Brackets are 95% intervals, owners as units. A rate is out of impressions; satisfaction is likes out of "
    "likes and dislikes. Conversion counts applications and expressed interest, application the first alone "
    "(R16)."
)


def earned_of(earnings: Mapping[str, Any] | None) -> str:
    """The section; empty without a ledger."""
    if not earnings:
        return ""
    by = earnings.get("by") or {}
    names = [*(n for n in _GROUPS if n in by), *(n for n in by if n not in _GROUPS)]
    parts = [_records("All answers", [{"name": "all", **(earnings.get("all") or {})}] if earnings.get("all") else ())]
    parts += [_records(f"By {name}", by[name]) for name in names]
    parts += [_experiment(record) for record in earnings.get("experiments") or ()]
    parts += [
        _records("What was hoped for", earnings.get("expected") or ()),
        _records("Interactions a day", earnings.get("interactions") or ()),
    ]
    window = earnings.get("window_days")
    told = f"As of {earnings.get('made_at', '')}" + (f", over {window} days" if window else "") + "."
    tables = "".join(parts) or "<p>No answer was followed up yet.</p>"
    return (
        f'<section><h2 id="earned">What answers earned</h2><p>{escape(told)}</p>{tables}'
        f"<p class=note>{escape(_OF_RATES)}</p></section>"
    )


def _experiment(record: Mapping[str, Any]) -> str:
    """One experiment: its arms, whether they are as large as they were drawn, and how they differ."""
    ratio = record.get("sample_ratio") or {}
    days = f", {record['since']} to {record['until']}" if record.get("since") else ""
    says = [
        text
        for text in (str(ratio.get("says", "")), *(str(d.get("says", "")) for d in record.get("differences") or ()))
        if text
    ]
    told = "".join(f"<li>{escape(text)}</li>" for text in says)
    return (
        f"<h3>Experiment {escape(str(record.get('name', '')))}{escape(days)}</h3>"
        f"{_records('Arms', record.get('arms') or ())}{f'<ul>{told}</ul>' if told else ''}"
    )


def _records(caption: str, records: Sequence[Mapping[str, Any]]) -> str:
    """A table with a column for whatever figure any record has; what is itself made of records stays in the JSON."""
    keys = list(dict.fromkeys(k for record in records for k, v in record.items() if not _nested(v)))
    keys.sort(key=lambda k: (k == _SENTENCE, _RATES.index(k) if k in _RATES else len(_RATES)))
    rows = [[_word(record.get(k)) for k in keys] for record in records]
    if not rows or not keys:
        return ""
    return grid(caption, [k.replace("_", " ") for k in keys], rows, says=keys[-1] == _SENTENCE)


def _nested(value: Any) -> bool:
    return isinstance(value, list | tuple) or (isinstance(value, Mapping) and not _has_interval(value))


def _has_interval(value: Mapping[str, Any]) -> bool:
    return "mean" in value or "value" in value


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return cell({"mean": value.get("mean", value.get("value")), "low": value.get("low"), "high": value.get("high")})
    return cell(value) if value is None or isinstance(value, float) else str(value)
