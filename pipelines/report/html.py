"""Render tables and text of the report as HTML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from pipelines.report import plots
from pipelines.report.figure_names import ACCURACY, SERVED

#: Name and decimals of each metric, in the order of the tables.
METRICS = {
    "precision": ("precision", 4),
    "recall": ("recall", 4),
    "ndcg": ("NDCG", 4),
    "map": ("MAP", 4),
    "against_served": ("NDCG less served", 4),
    "coverage": ("coverage", 4),
    "gini": ("Gini", 3),
    "answered": ("answered", 3),
    "novelty": ("novelty, bits", 2),
    "popularity_rank": ("popularity rank, %", 1),
    "diversity": ("diversity", 3),
    "age_days": ("age, days", 0),
    "fresh": ("under 30 days", 3),
}


def heading(name: str) -> str:
    return METRICS[name][0] + ("@10" if name in ACCURACY else "")


def grid(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], marked: str = "", says: bool = False) -> str:
    """Render a table; the first column names the row, cells are text and not HTML.

    marked: the highlighted row. says: the last column is a sentence.
    """
    last = ' class="says"' if says else ""
    top = "".join(
        f'<th scope="col"{last if i == len(head) else ""}>{escape(cell)}</th>' for i, cell in enumerate(head, 1)
    )
    lines = []
    for first, *rest in rows:
        cells = "".join(f"<td{last if i == len(rest) else ''}>{escape(cell)}</td>" for i, cell in enumerate(rest, 1))
        kind = ' class="marked"' if first == marked else ""
        lines.append(f'<tr{kind}><th scope="row">{escape(first)}</th>{cells}</tr>')
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead><tbody>{''.join(lines)}</tbody>"
        "</table></div>"
    )


def figures_of(group: str, models: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> str:
    """Render every figure of every model for one group of owners."""
    there = [name for name in names if group in models[name]]
    first = models[there[0]][group]
    columns = [m for m in METRICS if m in first]
    rows = [[name, *(cell(models[name][group].get(m), METRICS[m][1]) for m in columns)] for name in there]
    owners = "1 owner" if first["owners"] == 1 else f"{first['owners']:,} owners"
    return grid(f"{group}: {owners}", ["method", *(heading(m) for m in columns)], rows, SERVED)


def cell(value: Any, decimals: int = 4) -> str:
    """Format a number, or a mean with its interval; a dash for None."""
    if isinstance(value, Mapping):
        if value["mean"] is None:
            return "–"
        low, high = value.get("low"), value.get("high")
        between = "" if low is None or high is None else f" [{low:.{decimals}f}, {high:.{decimals}f}]"
        return f"{value['mean']:.{decimals}f}{between}"
    return "–" if value is None else f"{value:,.{decimals}f}"


def verdict(difference: Mapping[str, float | None], decimals: int = 4) -> str:
    mean, low, high = difference["mean"], difference["low"], difference["high"]
    if mean is None or low is None or high is None:
        return f"{cell(mean, decimals)} (too few owners to say more)"
    if low == high == 0:
        return "no difference"
    told = "clearly more" if low > 0 else "clearly less" if high < 0 else "no clear difference"
    return f"{mean:+.{decimals}f} [{low:+.{decimals}f}, {high:+.{decimals}f}], {told}"


def claims_of(claims: Mapping[str, Any]) -> list[str]:
    """Compare the requirements' expectations with the lists, one sentence each."""
    found = []
    for group, c in (claims.get("chain") or {}).items():
        gain = "" if c["gain"] is None else f"{c['gain']:+.1%}, "
        best = c["best_member"]
        found.append(
            f"Served lists against the best single source, {best}, {group}, {c['owners']:,} owners (I05, expected "
            f"+15% to +20%): NDCG@10 {cell(c['ndcg'][SERVED])} against {cell(c['ndcg'][best])}, {gain}"
            f"{verdict(c['difference'])}."
        )
    if "ensemble" in claims:
        c = claims["ensemble"]
        gain = "" if c["gain"] is None else f"{c['gain']:+.1%}, "
        ndcg = ", ".join(f"{m} {cell(v)}" for m, v in c["ndcg"].items())
        found.append(
            f"Blend of ALS and two-tower alone against its better member, {c['best_member']}, over {c['owners']:,} hot "
            f"owners: NDCG@10 {gain}{verdict(c['difference'])}. Each: {ndcg}."
        )
    for name, what, decimals in (("diversity", "Diversity", 3), ("age_days", "Mean age of shown items, days", 0)):
        if name in claims:
            c = claims[name]
            other = next(k for k in c if k not in ("owners", SERVED, "difference"))
            mark, hoped = ("I09", "more") if name == "diversity" else ("I21", "less")
            found.append(
                f"{what}, served {cell(c[SERVED], decimals)} against {cell(c[other], decimals)} unranked "
                f"({mark}, expected {hoped}): {verdict(c['difference'], decimals)}."
            )
    return found


def blend_of(blend: Mapping[str, Any]) -> str:
    name = " ".join(str(blend[k]) for k in ("blend", "profile") if blend.get(k))
    ndcg = ", ".join(f"{k} {cell(v)}" for k, v in (blend.get("ndcg") or {}).items())
    return f"{name}, because {blend['reason']}." + (f" NDCG@10 of each: {ndcg}." if ndcg else "")


def exposure_of(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    cells = [
        [
            "no cap" if not r["multiple"] else f"{r['multiple']:g} x",
            f"{r['most']:,}",
            f"{r['above']:,}",
            f"{r['moved']:.1%}",
            cell(r["ndcg"]),
            cell(r["against_uncapped"]),
            cell(r["coverage"], 3),
            cell(r["gini"], 3),
        ]
        for r in rows
    ]
    head = [
        "cap",
        "most places of an item",
        "places above the cap",
        "places changed",
        "NDCG@10",
        "NDCG less no cap",
        "coverage",
        "Gini",
    ]
    note = (
        "Over owners with events, of both halves. A cap is a multiple of an item's fair share ([lists] exposure_cap); "
        "places above it remain where lists have no other candidates."
    )
    return f"<h3>Cost of a cap on exposure</h3>{grid('Caps on exposure', head, cells)}<p class=note>{note}</p>"


def expectations_of(surfaces: Mapping[str, Any]) -> str:
    """Render I06-I08 (expected precision and MAP) beside the figures of ALS; empty if ALS was not evaluated."""
    rows = []
    for name, surface in surfaces.items():
        als = next((surface["models"][m]["overall"] for m in ("als", "als_reverse") if m in surface["models"]), None)
        if als is not None:
            rows.append([name, cell(als["precision"]), cell(als["map"])])
    head = ["surface", "Precision@10 (I06 good > 0.15, I08 poor < 0.10)", "MAP@10 (I07 good > 0.10)"]
    return grid("ALS: expected on an unspecified set, and here", head, rows) if rows else ""


def facts(pairs: Mapping[str, str]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in pairs.items()) + "</dl>"


_STYLE = """
:root{color-scheme:light dark;--ink:#222;--soft:#555;--page:#fff;--line:#ddd;--mark:#e8f1f8;--link:#005a8e;
--go:#00664b;--ask:#8a5a00;--stop:#b3261e;--bar:#0072b2}
@media (prefers-color-scheme:dark){:root{--ink:#e6e6e6;--soft:#aaa;--page:#16181d;--line:#3a3f47;--mark:#1d3347;
--link:#7cc4f5;--go:#5fd0ab;--ask:#f0b64a;--stop:#ff8a80;--bar:#56b4e9}
figure svg{filter:invert(.88) hue-rotate(180deg)}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);margin:0 auto;
padding:1rem 1.5rem 4rem;max-width:72rem}
h1{font-size:1.7rem;margin:.5rem 0}
h2{font-size:1.35rem;margin:2.5rem 0 .5rem;border-top:2px solid var(--line);padding-top:1rem}
h3{font-size:1.05rem;margin:1.5rem 0 .25rem}p,li{max-width:50rem}a{color:var(--link)}
figure{margin:1rem 0;overflow-x:auto}figcaption,.note{color:var(--soft);font-size:.9rem;max-width:50rem}
.scroll{overflow-x:auto;margin:.75rem 0}
table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums}
caption{text-align:left;white-space:nowrap;font-weight:600;padding:.25rem 0}
th,td{padding:.2rem .6rem;border-bottom:1px solid var(--line)}
th{text-align:left;font-weight:500;white-space:nowrap}thead th{vertical-align:bottom;white-space:normal;font-weight:600}
thead th:not(:first-child){text-align:right}
td{text-align:right;white-space:nowrap}tr.marked{background:var(--mark)}tr.marked th{font-weight:700}
td.says,thead th.says{text-align:left;white-space:normal;min-width:18rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;font-size:.9rem}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
summary{cursor:pointer;padding:.25rem 0}nav ul{padding-left:1.2rem;margin:.25rem 0}
.verdict{border-left:.4rem solid;padding:.1rem 1rem;margin:1rem 0}.verdict strong{font-size:1.15rem}
.go{border-color:var(--go)}.ask{border-color:var(--ask)}.stop{border-color:var(--stop)}
.go strong{color:var(--go)}.ask strong{color:var(--ask)}.stop strong{color:var(--stop)}
.bar{display:inline-block;height:.65rem;background:var(--bar);min-width:1px}td.bars{text-align:left;width:12rem}
@media (max-width:40rem){body{padding:.5rem .75rem 2rem}dl{grid-template-columns:1fr}dt{margin-top:.4rem}}
"""


def page(title: str, parts: Sequence[str]) -> str:
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
    )


def figure(svg: str, key: str, label: str, caption: str) -> str:
    """Render a figure with a text alternative. key: prefix of its ids, so that many fit on one page."""
    return (
        f"<figure>{plots.embedded(svg, key, escape(label, quote=True))}"
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def movable(name: str, html: str) -> str:
    """Mark a section that `exchanged` can replace later, because a build continues after its report."""
    return f"<!--{name}-->{html}<!--/{name}-->"


def section(text: str, name: str) -> str | None:
    """Return the content of a `movable` section; None if the page has none."""
    found = re.search(rf"<!--{name}-->(.*?)<!--/{name}-->", text, re.DOTALL)
    return found[1] if found else None


def exchanged(text: str, name: str, html: str) -> str:
    """Return the page with a new version of a `movable` section."""
    marks = re.compile(rf"<!--{name}-->.*?<!--/{name}-->", re.DOTALL)
    return marks.sub(lambda _: movable(name, html), text, count=1)
