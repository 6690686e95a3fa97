"""May the release go live: what the gate found, and how the new lists differ from those that are live.

Reads gate.json as `pipelines/judging/gate` writes it; what a gate does not say is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from pipelines.judging.report.tables import cell, grid

_SAYS = {"go": "Go: nothing speaks against it", "ask": "A person decides", "stop": "Stopped"}
_ORDER = ("stop", "ask", "go")
#: Of the lists against the live ones: key -> (column head, decimals).
_COLUMNS = {
    "overlap_at_10": ("overlap at 10", 3),
    "rbo": ("rank-biased overlap", 3),
    "owners": ("owners", 0),
    "new_owners": ("new owners", 0),
    "gone_owners": ("gone owners", 0),
    "popular_share": ("on popular: live, new", 4),
    "route_distance": ("routes moved", 4),
    "gini": ("Gini of exposure: live, new", 3),
    "coverage": ("coverage: live, new", 3),
}

_WORTH = {"ndcg": "NDCG@10 of the live release's models", "new": "of the new ones", "popular": "of popular lists"}


def verdict_of(gate: Mapping[str, Any] | None) -> str:
    """The section; says so where no gate was asked."""
    head = '<section><h2 id="verdict">May it go live?</h2>'
    if not gate:
        return f"{head}<p>No gate was asked about this release.</p></section>"
    verdict = str(gate.get("verdict", ""))
    reasons = "".join(f"<li>{escape(str(reason))}</li>" for reason in gate.get("reasons") or ())
    notes = "".join(f"<p class=note>{escape(str(note))}</p>" for note in gate.get("notes") or ())
    told = (
        f'<div class="verdict {escape(verdict, quote=True)}"><p><strong>{escape(_SAYS.get(verdict, verdict))}'
        f"</strong></p>{f'<ul>{reasons}</ul>' if reasons else ''}{_answer(gate.get('answer'))}</div>{notes}"
    )
    return f"{head}{told}{_against(gate)}{_checks(gate.get('checks') or ())}</section>"


def _answer(answer: Mapping[str, Any] | None) -> str:
    if not answer:
        return ""
    by = f" by {answer['by']}" if answer.get("by") else ""
    return f"<p>Answered: {escape(str(answer.get('chosen', '')))}{escape(by)}, {escape(str(answer.get('at', '')))}</p>"


def _against(gate: Mapping[str, Any]) -> str:
    champion, lists = gate.get("champion"), gate.get("lists") or {}
    if not champion:
        return "<p>Nothing was live to compare with: popularity is the floor.</p>"
    used = [key for key in _COLUMNS if any(key in said for said in lists.values())]
    rows = [[surface, *(_pair(said.get(key), _COLUMNS[key][1]) for key in used)] for surface, said in lists.items()]
    table = grid("The lists against the live ones", ["surface", *(_COLUMNS[k][0] for k in used)], rows) if used else ""
    worth = _worth(gate.get("champion_figures") or {})
    days = gate.get("older_days")
    apart = "" if days is None else f" Its models were taught up to {days:,.1f} days before the cut that judges both."
    return f"<p>Against the live release {escape(str(champion))}.{apart}</p>{table}{worth}"


def _worth(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """What the live release's models, the new ones and popular lists reach on the same hold-out."""
    keys = list(dict.fromkeys(k for said in figures.values() for k, v in said.items() if _is_figure(v)))
    rows = [[surface, *(_pair(said.get(k), 4) for k in keys)] for surface, said in figures.items()]
    return grid("On the same hold-out", ["surface", *(_WORTH.get(k, k) for k in keys)], rows) if keys else ""


def _checks(checks: Sequence[Mapping[str, Any]]) -> str:
    """What speaks against it is open, the rest folded away."""
    ranked = sorted(checks, key=lambda c: _ORDER.index(c["verdict"]) if c.get("verdict") in _ORDER else 0)
    open_ones = [c for c in ranked if c.get("verdict") != "go"]
    folded = [c for c in ranked if c.get("verdict") == "go"]
    parts = _table("What speaks against it", open_ones) if open_ones else ""
    if folded:
        parts += f"<details><summary>Checks passed: {len(folded)}</summary>{_table('Passed', folded)}</details>"
    return parts


def _table(caption: str, checks: Sequence[Mapping[str, Any]]) -> str:
    head = ["check", "verdict", "surface", "segment", "value", "interval", "limit", "says"]
    rows = [
        [
            str(c.get("name", "")),
            str(c.get("verdict", "")),
            str(c.get("surface") or "all"),
            str(c.get("segment") or "all"),
            _pair(c.get("value"), 4),
            _interval(c),
            _pair(c.get("limit"), 4),
            str(c.get("says", "")),
        ]
        for c in checks
    ]
    return grid(caption, head, rows, says=True)


def _interval(check: Mapping[str, Any]) -> str:
    low, high = check.get("low"), check.get("high")
    return "" if low is None or high is None else f"[{_pair(low, 4)}, {_pair(high, 4)}]"


def _pair(value: Any, decimals: int) -> str:
    """A number, a mean with its interval, or live and new beside each other."""
    if isinstance(value, list | tuple):
        return ", ".join(_pair(v, decimals) for v in value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return cell(value, decimals) if value is None or _is_figure(value) else str(value)


def _is_figure(value: Any) -> bool:
    return (isinstance(value, Mapping) and "mean" in value) or (
        isinstance(value, int | float) and not isinstance(value, bool)
    )
