"""What a cap on exposure would cost in NDCG and gain in reach: the judged owners' lists, assigned jointly."""

from __future__ import annotations

from typing import Any

import numpy as np

from models import metrics
from models.nouns.ranked_lists import RankedLists
from models.recommend.exposure import above, capped, moved, places_of_an_item, reach
from pipelines.learning.holdout import Outcome

#: Caps that every report shows, as multiples of the mean exposure ([lists] exposure_cap).
CAPS = (20.0, 10.0, 5.0, 2.0, 1.0)


def caps(lists: RankedLists, catalogue: np.ndarray, outcome: Outcome) -> list[dict[str, Any]]:
    """A row without a cap, then one for each of CAPS: "multiple" (0: none), "most" places of an item, "above" the cap
    for want of room, "moved", "ndcg", "against_uncapped" (paired, with interval), "coverage", "gini".

    lists: at their full depth. catalogue: (m,) item rows, ascending. outcome: of the same owners over the catalogue.
    """
    before = _ndcg(lists, catalogue, outcome)
    rows: list[dict[str, Any]] = []
    for multiple in (0.0, *CAPS):
        most = places_of_an_item(multiple, lists, len(catalogue)) if multiple else 0
        found = capped(lists, most) if multiple else lists
        ndcg, spread = _ndcg(found, catalogue, outcome), reach(found, catalogue)
        difference = metrics.paired_difference(ndcg, before)
        rows.append(
            {
                "multiple": multiple,
                "most": most or spread["most"],
                "above": above(found, most) if multiple else 0,
                "moved": moved(found, lists),
                "ndcg": round(float(ndcg.mean()), 6),
                "against_uncapped": {k: None if np.isnan(v) else round(v, 6) for k, v in difference.items()},
                "coverage": spread["coverage"],
                "gini": spread["gini"],
            }
        )
    return rows


def tops(lists: RankedLists, catalogue: np.ndarray) -> np.ndarray:
    """(b, K) catalogue positions of the top tens, -1 behind a short list."""
    return metrics.places(lists.indptr, np.searchsorted(catalogue, lists.item))


def calibrated(lists: RankedLists, catalogue: np.ndarray, outcome: Outcome) -> list[dict[str, float | int]]:
    """Bins of the served scores of the top tens against how often they came true; see `metrics.reliability`."""
    hits = metrics.hits_of(tops(lists, catalogue), outcome.relevant)
    place = np.arange(len(lists.item)) - np.repeat(lists.indptr[:-1], np.diff(lists.indptr))
    owner = np.repeat(np.arange(len(lists)), np.diff(lists.indptr))
    top = place < metrics.K
    return metrics.reliability(lists.score[top], hits[owner[top], place[top]].astype(bool))


def _ndcg(lists: RankedLists, catalogue: np.ndarray, outcome: Outcome) -> np.ndarray:
    return metrics.ndcg_of(tops(lists, catalogue), outcome.relevant)
