"""Two stored releases side by side: lists, models, settings, and what both were worth where that is still known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.nouns.release import Release
from models.settings import Settings
from pipelines.artifacts import Artifacts
from pipelines.judging.gate.lists import differences
from pipelines.judging.report.kept import figures_of_release
from pipelines.runs.decisions import decisions

_GATES = 10_000


def compared(settings: Settings, first: Release, second: Release) -> dict[str, Any]:
    """{"releases": [about, about], "surfaces": see `differences`, "bundles" and "settings": {name: [first, second]} of
    what differs, "ndcg": {surface: [first, second]} as reported with each, "gate": [verdict, verdict]}."""
    both = (first, second)
    reported = [_reported(settings, r.id) for r in both]
    surfaces = sorted({*reported[0], *reported[1]})
    return {
        "releases": [
            {
                "release": r.id,
                "as_of": r.as_of,
                "generated_at": r.generated_at,
                "digest": r.digest,
                "snapshot": r.snapshot,
                "lists": dict(r.lists),
            }
            for r in both
        ],
        "surfaces": differences(Artifacts(settings), first, second),
        "bundles": _unlike(first.bundles, second.bundles),
        "settings": _unlike(first.settings, second.settings),
        "ndcg": {s: [found.get(s) for found in reported] for s in surfaces},
        "gate": [_verdict(settings, r.id) for r in both],
    }


def table(found: Mapping[str, Any]) -> str:
    """The same as Markdown."""
    first, second = found["releases"]
    lines = [f"{first['release']} (A) and {second['release']} (B): cutoffs {first['as_of']} and {second['as_of']}", ""]
    if first["digest"] == second["digest"]:
        return "\n".join([*lines, "The same digest: every list is the same.", ""])
    heads = [
        "surface",
        "owners",
        "new",
        "gone",
        "overlap@10",
        "RBO",
        "routes differ",
        "popular A",
        "B",
        "coverage A",
        "B",
        "Gini A",
        "B",
    ]
    lines += ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += [_row(name, d) for name, d in found["surfaces"].items()]
    for name, d in found["surfaces"].items():
        mix = ", ".join(f"{m} {a:.1%} > {b:.1%}" for m, (a, b) in d["methods"].items())
        lines += ["", f"{name}: {mix}"]
    for title, unlike in (
        ("NDCG@10 as reported with each", found["ndcg"]),
        ("Settings that differ", found["settings"]),
        ("Models that differ", found["bundles"]),
    ):
        lines += [
            "",
            f"{title}: {'' if unlike else 'none'}",
            *(f"- {k}: {_word(a)} > {_word(b)}" for k, (a, b) in unlike.items()),
        ]
    return "\n".join([*lines, "", f"Gate: {_word(found['gate'][0])} > {_word(found['gate'][1])}", ""])


def _row(name: str, d: Mapping[str, Any]) -> str:
    pairs = [_word(x) for key in ("popular_share", "coverage", "gini") for x in d[key]]
    cells = [
        name,
        d["owners"],
        d["new_owners"],
        d["gone_owners"],
        _word(d["overlap_at_10"]),
        _word(d["rbo"]),
        _word(d["route_distance"]),
        *pairs,
    ]
    return "| " + " | ".join(str(c) for c in cells) + " |"


def _word(value: object) -> str:
    return "-" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)


def _unlike(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {k: [first.get(k), second.get(k)] for k in sorted({*first, *second}) if first.get(k) != second.get(k)}


def _reported(settings: Settings, release: str) -> dict[str, float]:
    """By surface NDCG@10 of what was served, from the report that is kept with a release, if it is."""
    report = figures_of_release(settings, release) or {}
    try:
        surfaces = (report.get("evaluation") or report)["surfaces"]
        return {s: a["models"]["served"]["overall"]["ndcg"]["mean"] for s, a in surfaces.items() if a["models"]}
    except (KeyError, TypeError, AttributeError):
        return {}


def _verdict(settings: Settings, release: str) -> str | None:
    """What the gate last said of it."""
    told = (d for d in decisions(settings, _GATES) if d["what"] == "gate" and d.get("release") == release)
    return next((str(d["verdict"]) for d in told), None)
