"""Tables and text of the report: what the figures are in numbers, as HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from pipelines.judging.report.figure_names import ACCURACY, SERVED

#: How a metric is called in the report, in the order of its tables, and how many decimals tell.
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
    """A metric's column head."""
    return METRICS[name][0] + ("@10" if name in ACCURACY else "")


def grid(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], marked: str = "", says: bool = False) -> str:
    """A table whose first column names the row; cells are text, not HTML. marked: the row that stands out. says: the
    last column is a sentence."""
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
    """Every figure of every model over one group of owners."""
    there = [name for name in names if group in models[name]]
    first = models[there[0]][group]
    columns = [m for m in METRICS if m in first]
    rows = [[name, *(cell(models[name][group].get(m), METRICS[m][1]) for m in columns)] for name in there]
    owners = "1 owner" if first["owners"] == 1 else f"{first['owners']:,} owners"
    return grid(f"{group}: {owners}", ["method", *(heading(m) for m in columns)], rows, SERVED)


def cell(value: Any, decimals: int = 4) -> str:
    """A number, or a mean with its interval; a dash where there is none."""
    if isinstance(value, Mapping):
        if value["mean"] is None:
            return "–"
        low, high = value.get("low"), value.get("high")
        between = "" if low is None or high is None else f" [{low:.{decimals}f}, {high:.{decimals}f}]"
        return f"{value['mean']:.{decimals}f}{between}"
    return "–" if value is None else f"{value:,.{decimals}f}"


def verdict(difference: Mapping[str, float | None], decimals: int = 4) -> str:
    """A paired difference with its interval, and whether it tells."""
    mean, low, high = difference["mean"], difference["low"], difference["high"]
    if mean is None or low is None or high is None:
        return f"{cell(mean, decimals)} (too few owners to say more)"
    if low == high == 0:
        return "no difference"
    told = "clearly more" if low > 0 else "clearly less" if high < 0 else "too close to tell"
    return f"{mean:+.{decimals}f} [{low:+.{decimals}f}, {high:+.{decimals}f}], {told}"


def claims_of(claims: Mapping[str, Any]) -> list[str]:
    """What the seeds promised of the lists and what is so here, a sentence each."""
    found = []
    if "ensemble" in claims:
        c = claims["ensemble"]
        gain = "" if c["gain"] is None else f"{c['gain']:+.1%}, "
        ndcg = ", ".join(f"{m} {cell(v)}" for m, v in c["ndcg"].items())
        found.append(
            f"Ensemble against its best member, {c['best_member']}, over {c['owners']:,} hot owners (I05): "
            f"NDCG@10 {gain}{verdict(c['difference'])}; expected +15% to +20% on an unspecified set. "
            f"Each alone: {ndcg}."
        )
    for name, what, decimals in (("diversity", "Diversity", 3), ("age_days", "Mean age of what is shown, days", 0)):
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
    """Which blend the ensemble uses and why."""
    name = " ".join(str(blend[k]) for k in ("blend", "profile") if blend.get(k))
    ndcg = ", ".join(f"{k} {cell(v)}" for k, v in (blend.get("ndcg") or {}).items())
    return f"{name}, because {blend['reason']}." + (f" NDCG@10 of each: {ndcg}." if ndcg else "")


def exposure_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """What caps on exposure would cost and gain."""
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
        "Over the judged owners together. A cap is a multiple of the mean exposure ([lists] exposure_cap); "
        "places above it are those that the lists left no room for."
    )
    return f"<h3>What a cap on exposure would cost</h3>{grid('Caps on exposure', head, cells)}<p class=note>{note}</p>"


def expectations_of(surfaces: Mapping[str, Any]) -> str:
    """I06-I08 beside what ALS reaches here; empty where it was judged nowhere."""
    rows = []
    for name, surface in surfaces.items():
        als = next((surface["models"][m]["overall"] for m in ("als", "als_reverse") if m in surface["models"]), None)
        if als is not None:
            rows.append([name, cell(als["precision"]), cell(als["map"])])
    head = ["surface", "Precision@10 (I06 good > 0.15, I08 poor < 0.10)", "MAP@10 (I07 good > 0.10)"]
    return grid("ALS: expected on an unspecified set, and here", head, rows) if rows else ""


def facts(pairs: Mapping[str, str]) -> str:
    """A list of names and values."""
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in pairs.items()) + "</dl>"
