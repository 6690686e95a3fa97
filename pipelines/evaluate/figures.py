"""Compute the metrics of every contender's lists per group of owners, with intervals and differences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models import metrics
from models.data.batch import Owners
from models.data.entities import UNKNOWN_TIME
from models.data.interactions import DAY_US, Interactions
from models.lists.ranked_lists import RankedLists
from models.metrics.list_metrics import ItemFacts
from models.recommender.exposure import apply_cap, caps_of, exposure_stats, places_above_cap, share_moved
from models.recommender.surface import SurfaceRecommender
from models.routing import route
from models.schema import Entity, Segment
from pipelines.report.figure_names import ACCURACY, SERVED
from pipelines.train.holdout import Outcome

_SPREAD = ("popularity_rank", "novelty", "diversity", "age_days", "fresh")
#: Cold-start owners without events before the cut, reported separately.
NONE = "none"

#: By model and metric: (b,) float64, one value per owner.
PerOwner = Mapping[str, Mapping[str, NDArray[Any]]]


def groups(recipe: SurfaceRecommender, owners: Owners) -> dict[str, NDArray[np.bool_]]:
    """Return a mask (b,) bool for each group: overall, known (any event before the cut), none, and each segment."""
    segment = route(recipe.surface, owners.count, recipe.settings).segment
    known = owners.count > 0
    found = {"overall": np.ones(len(owners), bool), "known": known, NONE: ~known}
    found |= {s.value: known & (segment == s.code) for s in Segment}
    return {name: mask for name, mask in found.items() if mask.any()}


def item_facts(recipe: SurfaceRecommender, before: Interactions) -> ItemFacts:
    """Return facts of the surface's items at the cut. before: users x startups."""
    pairs = (before if recipe.surface.owner is Entity.USER else before.transposed()).pairs()
    created = recipe.items.created_at[recipe.catalogue]
    age = np.where(created == UNKNOWN_TIME, np.nan, np.maximum(recipe.as_of_us - created.astype(float), 0) / DAY_US)
    return ItemFacts(
        met=pairs.getnnz(axis=0)[recipe.catalogue],
        owners=int((pairs.getnnz(axis=1) > 0).sum()),
        age_days=age,
        category=recipe.facets["category"],
    )


def measured(
    lists: Mapping[str, NDArray[np.int64]], outcome: Outcome, items: ItemFacts
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return each model's metrics of each owner. lists: (b, K) catalogue positions, -1 after a short list."""
    return {name: metrics.per_owner(places, outcome.relevant, items) for name, places in lists.items()}


def evaluated(
    lists: Mapping[str, NDArray[np.int64]],
    each: PerOwner,
    masks: Mapping[str, NDArray[np.bool_]],
    items: int,
    reference: str = SERVED,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return "owners", every metric and "against_served", for each model and group.

    Accuracy metrics are {"mean", "low", "high"} with 95% bootstrap intervals over owners. "against_served" is the
    paired difference of NDCG to the model `reference`, in the same form. Other metrics are means, or None.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in lists}
    for group, mask in masks.items():
        columns = {(name, m): each[name][m][mask] for name in lists for m in ACCURACY}
        columns |= {(name, "against_served"): (each[name]["ndcg"] - each[reference]["ndcg"])[mask] for name in lists}
        low, high = metrics.bootstrap(np.column_stack(list(columns.values())))
        for (name, m), values, a, b in zip(columns, columns.values(), low.tolist(), high.tolist(), strict=True):
            found[name].setdefault(group, {"owners": int(mask.sum())})[m] = {
                "mean": plain(values.mean()),
                "low": plain(a),
                "high": plain(b),
            }
        for name, places in lists.items():
            found[name][group] |= {m: _mean(each[name][m][mask]) for m in _SPREAD}
            found[name][group] |= {m: plain(v) for m, v in metrics.as_a_whole(places[mask], items).items()}
    return found


def ensemble_gain(
    each: PerOwner, mask: NDArray[np.bool_], ensemble: str, members: tuple[str, ...], title: str = "ensemble"
) -> dict[str, Any] | None:
    """Return the paired NDCG@10 difference of a combination to its best member (I05).

    `gain` is relative to the member. title: of the combination in "ndcg". None without owners or members.
    """
    if ensemble not in each or not any(m in each for m in members) or not mask.any():
        return None
    ndcg = {m: float(each[m]["ndcg"][mask].mean()) for m in members if m in each}
    best = max(ndcg, key=lambda m: ndcg[m])
    difference = metrics.paired_difference(each[ensemble]["ndcg"][mask], each[best]["ndcg"][mask])
    blended = {title: float(each[ensemble]["ndcg"][mask].mean())}
    return {
        "owners": int(mask.sum()),
        "ndcg": {m: plain(v) for m, v in {**blended, **ndcg}.items()},
        "best_member": best,
        "difference": {k: plain(v) for k, v in difference.items()},
        "gain": plain(difference["mean"] / ndcg[best]) if ndcg[best] else None,
    }


def changed(each: PerOwner, metric: str, model: str, other: str) -> dict[str, Any] | None:
    """Compare the means of a metric over owners where both models have one (I09, I21).

    None without such owners.
    """
    both = ~np.isnan(each[model][metric]) & ~np.isnan(each[other][metric])
    if not both.any():
        return None
    mine, theirs = each[model][metric][both], each[other][metric][both]
    difference = metrics.paired_difference(mine, theirs)
    return {
        "owners": int(both.sum()),
        model: plain(mine.mean()),
        other: plain(theirs.mean()),
        "difference": {k: plain(v) for k, v in difference.items()},
    }


def plain(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 6)


def _mean(values: NDArray[np.float64]) -> float | None:
    defined = values[~np.isnan(values)]
    return plain(defined.mean()) if len(defined) else None


#: Multiples of an item's fair share ([lists] exposure_cap), the strictest last, and the fewest owners for a choice.
CAPS, ENOUGH = (20.0, 14.0, 10.0, 7.0, 5.0, 4.0), 100


def choose_cap(curve: Sequence[Mapping[str, Any]]) -> float:
    """Return the strictest cap of a curve before the first that clearly costs NDCG@10, 0 for none.

    The mean difference to no cap may be below 0 by half of its standard error, an eighth of the interval.
    """
    chosen = 0.0
    for row in curve[1:]:
        cost = row["against_uncapped"]
        if row["owners"] < ENOUGH or cost["mean"] < -(cost["high"] - cost["low"]) / 8:
            break
        chosen = row["multiple"]
    return chosen


def cap_curve(lists: RankedLists, recipe: SurfaceRecommender, relevant: sparse.csr_matrix) -> list[dict[str, Any]]:
    """Return one row without a cap and one for each of CAPS.

    Keys: "multiple" (0: no cap), "owners" with events, "most" places of an item, places "above" the cap for lack of
    candidates, "moved", "ndcg", "against_uncapped" (paired, with interval), "coverage", "gini".
    lists: at full depth. relevant: (lists, catalogue positions), see `Outcome`.
    """
    catalogue, known = recipe.catalogue, lists.count > 0
    before = metrics.ndcg_of(top_tens(lists, catalogue), relevant)
    rows: list[dict[str, Any]] = []
    for multiple in (0.0, *CAPS):
        most = caps_of(multiple, lists, catalogue, recipe.items.count)
        found = apply_cap(lists, most) if multiple else lists
        ndcg, spread = metrics.ndcg_of(top_tens(found, catalogue), relevant), exposure_stats([found], catalogue)
        difference = metrics.paired_difference(ndcg[known], before[known])
        rows.append(
            {
                "multiple": multiple,
                "owners": int(known.sum()),
                "most": spread["most"],
                "above": places_above_cap(found, most) if multiple else 0,
                "moved": share_moved(found, lists),
                "ndcg": plain(ndcg[known].mean()) if known.any() else None,
                "against_uncapped": {k: plain(v) for k, v in difference.items()},
                "coverage": spread["coverage"],
                "gini": spread["gini"],
            }
        )
    return rows


def top_tens(lists: RankedLists, catalogue: NDArray[np.int32]) -> NDArray[np.int64]:
    """(b, K) catalogue positions of the first ten, -1 after a short list."""
    return metrics.places(lists.indptr, np.searchsorted(catalogue, lists.item))


def calibrated(lists: RankedLists, catalogue: NDArray[np.int32], outcome: Outcome) -> list[dict[str, float | int]]:
    """Bin the served scores of the first ten places, with the hit rate of each bin (`metrics.reliability`)."""
    hits = metrics.hits_of(top_tens(lists, catalogue), outcome.relevant)
    place = np.arange(len(lists.item)) - np.repeat(lists.indptr[:-1], np.diff(lists.indptr))
    owner = np.repeat(np.arange(len(lists)), np.diff(lists.indptr))
    top = place < metrics.K
    return metrics.reliability(lists.score[top], hits[owner[top], place[top]].astype(bool))
