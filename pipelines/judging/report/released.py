"""Everybody's lists, all of a release: by which route and method they came, from which sources, whom they reach."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from models.schema import Surface
from pipelines.judging.report import plots
from pipelines.judging.report.page import figure
from pipelines.judging.report.tables import cell, grid

_KINDS = {"route": "Route of lists", "method": "Method of lists", "source": "Sources of places"}
_OF_LISTS = (
    "The route follows the number of interactions (B01-B05); the method differs from it where that model knew "
    "nothing of an owner. A place may have several sources. In brackets: the live release."
)


def lists_of(lists: Mapping[str, int], shares: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    """The section, from `lists` and `shares` of the release's manifest; before: the shares of the live release."""
    if not shares:
        return ""
    shares = {str(s): shares[s] for s in Surface if s in shares}
    methods = _names("method", shares)
    panels = {s: {m: said.get("method", {}).get(m) for m in methods} for s, said in shares.items()}
    label = "; ".join(f"{s}: " + ", ".join(f"{m} {v:.0%}" for m, v in told.items() if v) for s, told in panels.items())
    drawn = figure(plots.bars(panels, methods), "m", f"Share of lists by method. {label}", "Share of lists by method.")
    tables = "".join(_shares_table(title, kind, shares, before) for kind, title in _KINDS.items())
    return (
        f'<section><h2 id="lists">Everybody\'s lists</h2>{drawn}{_reach(lists, shares, before)}{tables}'
        f"<p class=note>{escape(_OF_LISTS)}</p></section>"
    )


def _shares_table(title: str, kind: str, shares: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    names = _names(kind, shares)
    rows = [
        [
            s,
            *(
                _beside(said.get(kind, {}).get(n, 0.0), before.get(s, {}).get(kind, {}).get(n, 0.0), bool(before))
                for n in names
            ),
        ]
        for s, said in shares.items()
    ]
    return grid(title, ["surface", *names], rows) if names else ""


def _reach(lists: Mapping[str, int], shares: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    head = ["surface", "lists", "coverage", "Gini of exposure", "most shown item, places"]
    rows = []
    for surface, said in shares.items():
        now, then = said.get("exposure") or {}, (before.get(surface) or {}).get("exposure") or {}
        rows.append(
            [
                surface,
                f"{lists.get(surface, 0):,}",
                *(_figures(now.get(k), then.get(k), d) for k, d in (("coverage", 3), ("gini", 3), ("most", 0))),
            ]
        )
    return grid("Whom the top tens reach", head, rows)


def _names(kind: str, shares: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(name for said in shares.values() for name in said.get(kind) or {}))


def _beside(now: float, then: float, compared: bool) -> str:
    if not now and not then:
        return ""
    return f"{now:.1%}" + (f" ({then:.1%})" if compared else "")


def _figures(now: float | None, then: float | None, decimals: int) -> str:
    return cell(now, decimals) + (f" ({cell(then, decimals)})" if then is not None else "")
