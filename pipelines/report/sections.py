"""Render the report's sections: gate verdict, list differences, engagement, shares of lists, timings.

Reads gate.json as `pipelines/gate` writes it. Missing parts are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from models.schema import LIST_KINDS
from pipelines.build import place_of
from pipelines.report import plots
from pipelines.report.html import cell, figure, grid

_SAYS = {"go": "Go: no check failed", "ask": "A person decides", "stop": "Stopped"}
_ORDER = ("stop", "ask", "go")
#: Columns of the comparison with the live lists: key -> (head, decimals).
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


def gate_section(gate: Mapping[str, Any] | None) -> str:
    """Render the gate's section; it says so if no gate ran."""
    head = '<section><h2 id="verdict">May it go live?</h2>'
    if not gate:
        return f"{head}<p>No gate checked this release.</p></section>"
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
    apart = (
        ""
        if days is None
        else f" Its models were trained on data up to {days:,.1f} days before the evaluation cut of both."
    )
    return f"<p>Against the live release {escape(str(champion))}.{apart}</p>{table}{worth}"


def _worth(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Render metrics of the live models, the new models and popular lists on the same hold-out."""
    keys = list(dict.fromkeys(k for said in figures.values() for k, v in said.items() if _is_figure(v)))
    rows = [[surface, *(_pair(said.get(k), 4) for k in keys)] for surface, said in figures.items()]
    return grid("On the same hold-out", ["surface", *(_WORTH.get(k, k) for k in keys)], rows) if keys else ""


def _checks(checks: Sequence[Mapping[str, Any]]) -> str:
    """Render failed checks open and passed ones folded."""
    ranked = sorted(checks, key=lambda c: _ORDER.index(c["verdict"]) if c.get("verdict") in _ORDER else 0)
    open_ones = [c for c in ranked if c.get("verdict") != "go"]
    folded = [c for c in ranked if c.get("verdict") == "go"]
    parts = _table("Reasons against it", open_ones) if open_ones else ""
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
    """Format a number, a mean with its interval, or live and new side by side."""
    if isinstance(value, list | tuple):
        return ", ".join(_pair(v, decimals) for v in value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return cell(value, decimals) if value is None or _is_figure(value) else str(value)


def _is_figure(value: Any) -> bool:
    return (isinstance(value, Mapping) and "mean" in value) or (
        isinstance(value, int | float) and not isinstance(value, bool)
    )


_GROUPS = ("method", "route", "surface", "release", "arm", "day")
#: Order of columns: names, counts, rates, other keys, and last a sentence.
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


def engagement_section(earnings: Mapping[str, Any] | None) -> str:
    """Render the engagement section; empty without a ledger."""
    if not earnings:
        return ""
    by = earnings.get("by") or {}
    names = [*(n for n in _GROUPS if n in by), *(n for n in by if n not in _GROUPS)]
    parts = [_records("All answers", [{"name": "all", **(earnings.get("all") or {})}] if earnings.get("all") else ())]
    parts += [_records(f"By {name}", by[name]) for name in names]
    parts += [_experiment(record) for record in earnings.get("experiments") or ()]
    parts += [
        _records("Expectations", earnings.get("expected") or ()),
        _records("Interactions a day", earnings.get("interactions") or ()),
    ]
    window = earnings.get("window_days")
    told = f"As of {earnings.get('made_at', '')}" + (f", over {window} days" if window else "") + "."
    tables = "".join(parts) or "<p>No answer has an outcome yet.</p>"
    return (
        f'<section><h2 id="engagement">Engagement</h2><p>{escape(told)}</p>{tables}'
        f"<p class=note>{escape(_OF_RATES)}</p></section>"
    )


def _experiment(record: Mapping[str, Any]) -> str:
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
    """Render a table with a column for each figure in any record; nested records are only in the JSON."""
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


_KINDS = {"route": "Route of lists", "method": "Method of lists", "source": "Sources of places"}
_OF_LISTS = (
    "The route depends on the number of interactions (B01-B05); the method differs from it where that model knew "
    "nothing of an owner. A place may have several sources. In brackets: the live release."
)


def lists_of(lists: Mapping[str, int], shares: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    """Render the section from the manifest's `lists` and `shares`. before: the live release's shares."""
    if not shares:
        return ""
    shares = {str(kind): shares[kind] for kind in LIST_KINDS if kind in shares}
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
    return grid("Coverage and exposure of the first ten", head, rows)


def _names(kind: str, shares: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(name for said in shares.values() for name in said.get(kind) or {}))


def _beside(now: float, then: float, compared: bool) -> str:
    if not now and not then:
        return ""
    return f"{now:.1%}" + (f" ({then:.1%})" if compared else "")


def _figures(now: float | None, then: float | None, decimals: int) -> str:
    return cell(now, decimals) + (f" ({cell(then, decimals)})" if then is not None else "")


_OF_SIMILAR = (
    "A query is an item that an owner met; the answer is the next new item that they met, after the cut. HR: share of "
    "queries whose answer is among the most similar items. New: answers without an event before the cut."
)


def similar_section(found: Mapping[str, Any]) -> str:
    """Render the hit rates of similar lists; empty without a query."""
    rows = [
        [
            f"{listed}: {name}",
            f"{said['queries']:,}",
            f"{said['new']:.0%}",
            *(cell(rates[rate]) for rate in ("hr_10", "hr_20")),
        ]
        for listed, said in found.items()
        for name, rates in said["lists"].items()
    ]
    if not rows:
        return ""
    table = grid("The next item among the similar ones", ["lists", "queries", "new", "HR@10", "HR@20"], rows)
    return f'<section><h2 id="similar">Similar lists</h2>{table}<p class=note>{_OF_SIMILAR}</p></section>'


def timings_section(steps: Sequence[Mapping[str, Any]]) -> str:
    """Render the timings. Instances of a mapped step share a row: total seconds, largest memory."""
    if not steps:
        return ""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for line in sorted(steps, key=lambda s: place_of(str(s["step"]))):
        found.setdefault(str(line["step"]), []).append(line)
    wall = {name: sum(float(s["wall_s"]) for s in those) for name, those in found.items()}
    longest, most = max(wall.values()) or 1.0, max(float(s["peak_mb"]) for s in steps) or 1.0
    lines = "".join(_line(name, those, wall[name], longest, most) for name, those in found.items())
    head = "".join(f'<th scope="col">{h}</th>' for h in ("step", "seconds", "", "CPU seconds", "peak MB", ""))
    note = (
        "In the order of the build. Peak: the largest resident memory of the step's process during the "
        "step, and of its largest child."
    )
    return (
        f'<section><h2 id="spent">Time and memory</h2><p>{sum(wall.values()):,.1f} s of work in {len(steps)} '
        f'steps, at most {most:,.0f} MB.</p><div class="scroll" tabindex="0" role="region" aria-label="Steps">'
        f"<table><caption>Steps</caption><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>"
        f"<p class=note>{note}</p></section>"
    )


def _line(name: str, those: Sequence[Mapping[str, Any]], wall: float, longest: float, most: float) -> str:
    cpu, peak = sum(float(s["cpu_s"]) for s in those), max(float(s["peak_mb"]) for s in those)
    many = f" × {len(those)}" if len(those) > 1 else ""
    return (
        f'<tr><th scope="row">{escape(name)}{many}</th><td>{wall:,.2f}</td>{_bar(wall / longest)}'
        f"<td>{cpu:,.2f}</td><td>{peak:,.0f}</td>{_bar(peak / most)}</tr>"
    )


def _bar(share: float) -> str:
    return f'<td class="bars"><span class="bar" style="width:{max(share, 0):.1%}"></span></td>'
