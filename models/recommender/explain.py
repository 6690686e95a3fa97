"""Explains one owner's list, for `python -m pipelines explain` and the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import registry
from models.data.batch import Owners
from models.data.interactions import EVENT_WEIGHTS
from models.learned_ranker.scorer import LearnedRanker
from models.recommender.candidates import learned_table
from models.recommender.recommend import Ranking, rank, rank_all
from models.recommender.surface import SurfaceRecommender
from models.schema import EventType, Method, Segment
from models.scoring.scorer import min_max
from models.sentences import sentences
from models.words import with_article


def explain(
    recipe: SurfaceRecommender, owners: Owners, depth: int, shown: int = 20, features: bool = True
) -> dict[str, Any]:
    """Return route, sources, candidates, scores, ranker features and final order of a batch of one.

    shown: number of list positions to describe. features: also those of the ranker, which take the most time.
    """
    ranking = rank(recipe, owners, depth)
    lists, told = ranking.lists, _Scores.of(recipe, owners, ranking, features)
    return {
        "surface": recipe.surface.value,
        "interaction_count": int(owners.count[0]),
        "segment": Segment.of_code(int(ranking.route.segment[0])).value,
        "route": Method.of_code(int(ranking.route.method[0])).value,
        "method_used": Method.of_code(int(ranking.method[0])).value,
        "opted_out": bool(owners.opted_out[0]),
        "ranker": ranker.kind if (ranker := registry.ranker(int(lists.ranker[0]))) else None,
        "mean_of": list(recipe.ranker.mean_of) if isinstance(recipe.ranker, LearnedRanker) and lists.ranker[0] else [],
        "candidates": len(ranking.candidates.item),
        "barred": int(owners.barred.nnz),
        "list": [_place(recipe, ranking, told, i) for i in range(min(shown, len(lists.item)))],
    }


def explain_item(recipe: SurfaceRecommender, owners: Owners, depth: int, row: int) -> dict[str, Any]:
    """Return why an item is or is not in the owner's list: "because", and its figures.

    row: the item's entity row, -1 unknown.
    """
    if why := not_shown(recipe, row):
        return {"listed": False, "because": why}
    position = int(np.searchsorted(recipe.catalogue, row))
    if position in owners.barred.indices:
        liked = float(owners.history[0, position])
        why = (
            "disliked"
            if liked == EVENT_WEIGHTS[EventType.DISLIKE.code]
            else "seen before"
            if liked
            else "own, or viewed or dismissed before"
        )
        return {"listed": False, "because": why}
    ranking = rank(recipe, owners, depth)
    told, places = _Scores.of(recipe, owners, ranking), np.flatnonzero(ranking.lists.item == row)
    if len(places):
        return {"listed": True, "because": "ranked", **_place(recipe, ranking, told, int(places[0]))}
    found = np.flatnonzero(ranking.candidates.item == position)
    if not len(found):
        return {"listed": False, "because": "not a candidate: no source had it among its best"}
    return {
        "listed": False,
        "because": "below the cut",
        **_short_of(recipe, owners, ranking, position),
        **told.at(int(found[0])),
    }


def _short_of(recipe: SurfaceRecommender, owners: Owners, ranking: Ranking, position: int) -> dict[str, Any]:
    """Return an item's rank and final score, and length and last score of the list that lacks it."""
    whole, last = rank_all(recipe, owners, ranking), ranking.lists.score[-1:]
    at = np.flatnonzero(whole.item == position)
    return {
        "rank": int(at[0]) + 1 if len(at) else None,
        "score": round(float(whole.score[at[0]]), 6) if len(at) else None,
        "places_in_list": len(ranking.lists.item),
        "last_score_in_list": round(float(last[0]), 6) if len(last) else 0.0,
    }


@dataclass(frozen=True, eq=False)
class _Scores:
    """The columns of all candidates, (nnz,) each: raw and scaled scores by source, and the ranker's features."""

    raw: Mapping[str, NDArray[np.float32]]
    scaled: Mapping[str, NDArray[np.float32]]
    features: Mapping[str, NDArray[np.float32]]

    @classmethod
    def of(cls, recipe: SurfaceRecommender, owners: Owners, ranking: Ranking, features: bool = True) -> _Scores:
        candidates = ranking.candidates
        raw = {s.name: v for s, v in candidates.scores.items()}
        scaled = {name: min_max(v, candidates.indptr) for name, v in raw.items()}
        return cls(raw, scaled, _features(recipe, owners, ranking) if features else {})

    def at(self, j: int) -> dict[str, Any]:
        """Return every score and feature of candidate j."""
        kinds = {"raw": self.raw, "scaled": self.scaled, "features": self.features}
        return {kind: {name: _number(v[j]) for name, v in columns.items()} for kind, columns in kinds.items()}


def _features(recipe: SurfaceRecommender, owners: Owners, ranking: Ranking) -> dict[str, NDArray[np.float32]]:
    """Return the features of the learned ranker, else of the rules.

    The rules' diversity is left out, because it depends on the items selected so far.
    """
    if isinstance(recipe.ranker, LearnedRanker):
        names, cells = learned_table(recipe, owners, ranking.candidates, recipe.ranker.names)
        return dict(zip(names, cells.T, strict=True))
    item = ranking.candidates.item
    return {
        "model_score": ranking.score,
        "recency": recipe.item_recency[item],
        "popularity": recipe.item_popularity[item],
    }


def _place(recipe: SurfaceRecommender, ranking: Ranking, told: _Scores, i: int) -> dict[str, Any]:
    lists, items, voice = ranking.lists, recipe.items, recipe.surface.voice
    row = int(lists.item[i])
    found = np.flatnonzero(ranking.candidates.item == np.searchsorted(recipe.catalogue, row))
    return {
        "rank": i + 1,
        "id": str(recipe.items.ids.text(slice(row, row + 1))[0]),
        "score": round(float(lists.score[i]), 6),
        "sources": [s.name for s in registry.sources() if lists.source[i] & s.bit],
        "reasons": sentences(int(lists.reason[i]), int(lists.source[i]), voice, row, items.facets, items.labels),
        **(told.at(int(found[0])) if len(found) else {}),
    }


def not_shown(recipe: SurfaceRecommender, row: int) -> str:
    """Return why no list of this surface may show an item; empty if one may.

    row: the item's entity row, -1 unknown.
    """
    if row < 0:
        return "unknown at the cutoff: it came later, or nothing has this id"
    if row in recipe.catalogue:
        return ""
    if recipe.items.listed[row]:
        return f"not {with_article(recipe.surface.role)}"
    if recipe.items.opted_out[row]:
        return "opted out"
    return "not there yet at the cutoff" if recipe.items.created_at[row] >= recipe.as_of_us else "withdrawn"


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)
