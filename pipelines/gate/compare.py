"""Compare two stored releases: lists, models, settings, and metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import metrics
from models.catalogue.catalogue import CATALOGUE, entities_of
from models.data.entities import Entities
from models.lists.ranked_lists import RankedLists
from models.lists.release import Release, release_lists
from models.metrics.accuracy import mix_distance, overlap, places, rank_biased_overlap
from models.recommender.exposure import exposure_stats
from models.schema import LIST_KINDS, ListKind, Method, Surface
from models.settings.settings import Settings
from pipelines.report.store import figures_of_release
from pipelines.run.run import read_decisions
from pipelines.store.artifacts import Artifacts

#: Depth of rank-biased overlap. These places hold all but 0.1 % of its weight.
DEPTH = 50


def differences(
    artifacts: Artifacts, live: Release, new: Release, kinds: Iterable[ListKind] = tuple(Surface)
) -> dict[str, dict[str, Any]]:
    """Return the differences of the lists by kind in both releases. A pair of values is [live, new].

    "owners" in both, "new_owners", "gone_owners"; means over common owners of "overlap_at_10" and "rbo";
    "popular_share" of all owners, "route_distance" (see `mix_distance`), "gini" and "coverage" of the first ten,
    "methods" {method: [live, new]} shares of all owners.
    """
    sides = [entities_of(artifacts.open_bundle(CATALOGUE, r.bundles[CATALOGUE])) for r in (live, new)]
    found = {}
    for kind in (k for k in kinds if k.value in live.lists and k.value in new.lists):
        lists = [_lists(artifacts, release, kind) for release in (live, new)]
        owners, items = ([side[e] for side in sides] for e in (kind.owner, kind.item))
        found[kind.value] = difference(lists, owners, items, kind)
    return found


def difference(
    lists: list[RankedLists], owners: list[Entities], items: list[Entities], kind: ListKind
) -> dict[str, Any]:
    mapped = np.append(owners[1].ids.find(owners[0].ids.packed()), -1)[lists[0].owner]
    both, mine, theirs = np.intersect1d(mapped, lists[1].owner, return_indices=True)
    kept = both >= 0
    shown = _shown(lists, items)
    a, b = shown[0][mine[kept]], shown[1][theirs[kept]]
    common = int(kept.sum())
    shares = [_mix(x.method) for x in lists]
    spread = [_spread(x, e, kind) for x, e in zip(lists, items, strict=True)]
    popular = Method.POPULAR.code
    return {
        "owners": common,
        "new_owners": len(lists[1]) - common,
        "gone_owners": len(lists[0]) - common,
        "overlap_at_10": _mean(overlap(a[:, : metrics.K], b[:, : metrics.K])),
        "rbo": _mean(rank_biased_overlap(a, b)),
        "popular_share": [round(float(s[popular]), 6) for s in shares],
        "route_distance": round(max(mix_distance(*shares), mix_distance(*(_mix(x.route) for x in lists))), 6),
        "gini": [s["gini"] for s in spread],
        "coverage": [s["coverage"] for s in spread],
        "methods": {
            m.value: [round(float(s[m.code]), 6) for s in shares]
            for m in Method
            if shares[0][m.code] or shares[1][m.code]
        },
    }


def _lists(artifacts: Artifacts, release: Release, kind: ListKind) -> RankedLists:
    return RankedLists.concat(list(release_lists(artifacts.directory(release.id), release, kind)))


def _shown(lists: list[RankedLists], items: list[Entities]) -> list[NDArray[np.int64]]:
    """Return both lists, (b, DEPTH), with the new release's item rows. Missing items get numbers after them."""
    row = items[1].ids.find(items[0].ids.packed())
    row = np.where(row >= 0, row, len(items[1]) + np.arange(len(row)))
    return [places(lists[0].indptr, row[lists[0].item], DEPTH), places(lists[1].indptr, lists[1].item, DEPTH)]


def _mix(codes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return (m,) shares by method code."""
    return np.bincount(codes, minlength=Method.codes()) / max(len(codes), 1)


def _spread(lists: RankedLists, items: Entities, kind: ListKind) -> dict[str, float | None]:
    """Return coverage and Gini of exposure in the first ten, None where nothing is shown."""
    found = exposure_stats([lists], items.items_of(kind))
    return {"coverage": found["coverage"], "gini": found["gini"] if found["most"] else None}


def _mean(values: NDArray[np.float64]) -> float | None:
    return round(float(values.mean()), 6) if len(values) else None


_GATES = 10_000


def compare_releases(settings: Settings, first: Release, second: Release) -> dict[str, Any]:
    """Compare two releases.

    Returns {"releases": [about, about], "surfaces": see `differences`, also of similar lists, "bundles" and
    "settings": {name: [first, second]} of differing entries, "ndcg": {surface: [first, second]} from the reports,
    "gate": [verdict, verdict]}.
    """
    both = (first, second)
    reported = [_reported(settings, r.build) for r in both]
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
        "surfaces": differences(Artifacts(settings), first, second, LIST_KINDS),
        "bundles": _unlike(first.bundles, second.bundles),
        "settings": _unlike(first.settings, second.settings),
        "ndcg": {s: [found.get(s) for found in reported] for s in surfaces},
        "gate": [_verdict(settings, r.build) for r in both],
    }


def table(found: Mapping[str, Any]) -> str:
    first, second = found["releases"]
    lines = [f"{first['release']} (A) and {second['release']} (B): cutoffs {first['as_of']} and {second['as_of']}", ""]
    if first["digest"] == second["digest"]:
        return "\n".join([*lines, "The same digest: every list is the same.", ""])
    heads = [
        "lists",
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
        mix = ", ".join(f"{m} {a:.1%} to {b:.1%}" for m, (a, b) in d["methods"].items())
        lines += ["", f"{name}: {mix}"]
    for title, unlike in (
        ("NDCG@10 as reported with each", found["ndcg"]),
        ("Settings that differ", found["settings"]),
        ("Models that differ", found["bundles"]),
    ):
        lines += [
            "",
            f"{title}: {'' if unlike else 'none'}",
            *(f"- {k}: {_word(a)} to {_word(b)}" for k, (a, b) in unlike.items()),
        ]
    return "\n".join([*lines, "", f"Gate: {_word(found['gate'][0])} to {_word(found['gate'][1])}", ""])


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
    """Return by surface NDCG@10 of the served lists from the stored report, empty without one."""
    report = figures_of_release(settings, release) or {}
    try:
        surfaces = (report.get("evaluation") or report)["surfaces"]
        return {s: a["models"]["served"]["overall"]["ndcg"]["mean"] for s, a in surfaces.items() if a["models"]}
    except (KeyError, TypeError, AttributeError):
        return {}


def _verdict(settings: Settings, release: str) -> str | None:
    told = (d for d in read_decisions(settings, _GATES) if d["what"] == "gate" and d.get("release") == release)
    return next((str(d["verdict"]) for d in told), None)
