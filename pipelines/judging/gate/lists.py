"""How the lists of two stored releases differ, surface by surface; columns, never a loop over owners."""

from __future__ import annotations

from typing import Any

import numpy as np

from models import metrics
from models.metrics import mix_distance, overlap, places, rank_biased_overlap
from models.nouns.catalogue import CATALOGUE, entities_of
from models.nouns.entities import Entities
from models.nouns.ranked_lists import RankedLists
from models.nouns.release import Release
from models.nouns.release.files import release_lists
from models.recommend.exposure import reach
from models.schema import Method, Surface
from pipelines.artifacts import Artifacts

#: Places that rank-biased overlap looks at: they hold all but 0.1 % of its weight.
DEPTH = 50


def differences(artifacts: Artifacts, live: Release, new: Release) -> dict[str, dict[str, Any]]:
    """By surface that both have, two values being [live, new]: "owners" in both, "new_owners", "gone_owners", means
    over the owners in both of "overlap_at_10" and "rbo", "popular_share" of all owners, "route_distance" (see
    `mix_distance`), "gini" and "coverage" of the first ten, "methods" {method: [live, new]} shares of all owners."""
    sides = [entities_of(artifacts.open_bundle(CATALOGUE, r.bundles[CATALOGUE])) for r in (live, new)]
    found = {}
    for surface in (s for s in Surface if s.value in live.lists and s.value in new.lists):
        lists = [_lists(artifacts, release, surface) for release in (live, new)]
        owners, items = ([side[e] for side in sides] for e in (surface.owner, surface.item))
        found[surface.value] = difference(lists, owners, items, surface)
    return found


def difference(
    lists: list[RankedLists], owners: list[Entities], items: list[Entities], surface: Surface
) -> dict[str, Any]:
    """One surface; each argument is [live, new]."""
    mapped = np.append(owners[1].ids.rows_of(owners[0].ids.ids), -1)[lists[0].owner]
    both, mine, theirs = np.intersect1d(mapped, lists[1].owner, return_indices=True)
    kept = both >= 0
    shown = _shown(lists, items)
    a, b = shown[0][mine[kept]], shown[1][theirs[kept]]
    common = int(kept.sum())
    shares = [_mix(x.method) for x in lists]
    spread = [_spread(x, e, surface) for x, e in zip(lists, items, strict=True)]
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


def _lists(artifacts: Artifacts, release: Release, surface: Surface) -> RankedLists:
    return RankedLists.concat(list(release_lists(artifacts.directory(release.id), release, surface)))


def _shown(lists: list[RankedLists], items: list[Entities]) -> list[np.ndarray]:
    """Both (b, DEPTH) with the new release's item rows; who is gone has a number behind them."""
    row = items[1].ids.rows_of(items[0].ids.ids)
    row = np.where(row >= 0, row, len(items[1]) + np.arange(len(row)))
    return [places(lists[0].indptr, row[lists[0].item], DEPTH), places(lists[1].indptr, lists[1].item, DEPTH)]


def _mix(codes: np.ndarray) -> np.ndarray:
    """(m,) shares by the code of the method."""
    return np.bincount(codes, minlength=Method.codes()) / max(len(codes), 1)


def _spread(lists: RankedLists, items: Entities, surface: Surface) -> dict[str, float | None]:
    """Coverage of the catalogue and Gini of exposure in the first ten; None where nothing is shown."""
    found = reach(lists, items.items_of(surface))
    return {"coverage": found["coverage"], "gini": found["gini"] if found["most"] else None}


def _mean(values: np.ndarray) -> float | None:
    return round(float(values.mean()), 6) if len(values) else None
