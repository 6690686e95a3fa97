"""What answers earned: the figures of the ledger beside those of the hold-out, whatever it has kept.

Reads earnings.json: {"made_at", "window_days", "by": {"method": [record…], …}, "experiments": [record…]}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from pipelines.judging.report.tables import cell, grid

_ORDER = ("method", "surface", "release", "arm")
#: The columns that stand first where they are there, in this order.
_COLUMNS = ("name", "share", "owners", "impressions", "click_through", "conversion", "application", "satisfaction",
            "precision_at_10", "feedback", "age_days", "answers", "clicked", "converted", "applied")


def earned_of(earnings: Mapping[str, Any] | None) -> str:
    """The section; empty without a ledger."""
    if not earnings:
        return ""
    by = earnings.get("by") or {}
    names = [*(n for n in _ORDER if n in by), *(n for n in by if n not in _ORDER)]
    tables = "".join(_records(f"By {name}", by[name], name) for name in names)
    tables += _records("Experiments", earnings.get("experiments") or (), "name")
    tables += "".join(map(_compared, earnings.get("experiments") or ()))
    tables += _records("What the guides hope for", earnings.get("expected") or (), "id")
    window = earnings.get("window_days")
    over = f", over {window} days" if window else ""
    told = f"<p>As of {escape(str(earnings.get('made_at', '')))}{escape(over)}; brackets are 95% intervals.</p>"
    empty = "" if tables else "<p>No answer was followed up yet.</p>"
    return f'<section><h2 id="earned">What answers earned</h2>{told}{tables}{empty}</section>'


def _compared(experiment: Mapping[str, Any]) -> str:
    """What an experiment's arms came to: whether they are as large as drawn, and each difference, in words."""
    differences = experiment.get("differences") or ()
    said = [experiment["sample_ratio"]["says"]] if "sample_ratio" in experiment else []
    rows = [[d["arm"], d["rate"].replace("_", " "), d["says"]] for d in differences]
    note = "".join(f"<p>{escape(str(experiment.get('name', '')))}: {escape(s)}.</p>" for s in said)
    return note + (grid(f"Arms of {experiment.get('name', '')}", ["arm", "rate", "against the first"], rows, says=True)
                   if rows else "")


def _records(caption: str, records: Sequence[Mapping[str, Any]], first: str) -> str:
    """A table with a column for whatever figure any record has; what is itself made of records stays in the JSON."""
    keys = list(dict.fromkeys(k for record in records for k, v in record.items() if not _nested(v)))
    known = ("name", first, *_COLUMNS)
    keys.sort(key=lambda k: known.index(k) if k in known else len(known))
    rows = [[_word(record.get(k)) for k in keys] for record in records]
    return grid(caption, [k.replace("_", " ") for k in keys], rows) if rows and keys else ""


def _nested(value: Any) -> bool:
    return isinstance(value, list | tuple) or (isinstance(value, Mapping) and not {"mean", "value"} & set(value))


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping) and "value" in value:  # a rate, see models/metrics/rates.py
        return cell({**value, "mean": value["value"]})
    return cell(value) if value is None or isinstance(value, float | Mapping) else str(value)
