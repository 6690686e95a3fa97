"""Makes lists for batches and the live fallback: route -> candidates -> blend -> rank -> list.

The route decides the method and the base score. The ranker may use candidates of all sources that know the owner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import registry
from models.data.batch import MASK, Candidates, Owners, Proposal, indptr_of
from models.features.table import static_features
from models.learned_ranker.scorer import LearnedRanker
from models.lists.ranked_lists import RankedLists
from models.popularity import POPULAR
from models.ranker import RankerConfig
from models.recommender.candidates import (
    answering_method,
    candidates_of,
    contributing,
    learned_scores,
    model_score_of,
    rankable,
    wide_candidates,
)
from models.recommender.reasons import leading, reasons_of
from models.recommender.rerank import diversify, place_greedily, rescore_with_diversity
from models.recommender.surface import SurfaceRecommender, diversity_facets
from models.routing import Route, route
from models.schema import Method
from models.scoring.scorer import order_by_score

#: Owners per chunk: small enough for the caches, large enough for vector code.
CHUNK = 256


@dataclass(frozen=True, eq=False)
class Ranking:
    """Lists and intermediate results of a batch, for `explain`.

    method: (b,) answering method. score: (nnz,) in 0..1, of the learned ranker if it serves, else see `model_score_of`.
    """

    route: Route
    method: NDArray[np.uint8]
    candidates: Candidates
    score: NDArray[np.float32]
    lists: RankedLists


def recommend(recipe: SurfaceRecommender, owners: Owners, depth: int) -> RankedLists:
    """Return up to `depth` items per owner, fewer only if no more may be shown (R08, I12)."""
    starts = range(0, max(len(owners), 1), CHUNK)
    return RankedLists.concat([rank(recipe, owners.part(s, s + CHUNK), depth).lists for s in starts])


def rank(recipe: SurfaceRecommender, owners: Owners, depth: int) -> Ranking:
    """Make the lists of one chunk of owners, with the intermediate results for `explain`.

    Opted-out owners are ranked as unseen owners without profile. Their barred items stay excluded (R23).
    """
    owners = owners.impersonal()
    routed = route(recipe.surface, owners.count, recipe.settings)
    if isinstance(recipe.ranker, LearnedRanker):
        candidates = wide_candidates(recipe, owners)
        method = answering_method(recipe, owners, routed, candidates)
        score = learned_scores(recipe, recipe.ranker, owners, candidates)
    else:
        candidates = candidates_of(recipe, owners, int(np.ceil(depth * recipe.settings.lists.candidate_multiplier)))
        method = answering_method(recipe, owners, routed, candidates)
        candidates = rankable(recipe, candidates, method)
        score = model_score_of(recipe, owners, candidates, method)
    placed = _placed(recipe, owners, candidates, score, method, routed, depth)
    lists = _filled(recipe, owners, placed, depth)
    return Ranking(routed, method, candidates, score, lists)


def rank_all(recipe: SurfaceRecommender, owners: Owners, ranking: Ranking) -> RankedLists:
    """Return every candidate of a ranking in order, with the scores that decide which of them are in the list.

    item: columns of the catalogue.
    """
    whole, found = len(ranking.candidates.item), ranking
    return _placed(recipe, owners.impersonal(), found.candidates, found.score, found.method, found.route, whole)


def _placed(
    recipe: SurfaceRecommender,
    owners: Owners,
    candidates: Candidates,
    score: NDArray[np.float32],
    method: NDArray[np.uint8],
    routed: Route,
    depth: int,
) -> RankedLists:
    """Order every owner's candidates and keep the best `depth`.

    Owners with method popular get none yet. The learned ranker also ranks demand-weighted candidates.
    """
    ranked = (method != Method.POPULAR.code) | isinstance(recipe.ranker, LearnedRanker)
    length = np.where(ranked, np.diff(candidates.indptr), 0)
    width = int(length.max(initial=0))
    present = np.arange(width) < length[:, None]
    place_of = np.where(present, candidates.indptr[:-1, None] + np.arange(width), 0)
    order, final = _ordered(recipe, candidates, score, place_of, present, depth)
    kept = np.minimum(length, order.shape[1])
    cells = np.arange(order.shape[1]) < kept[:, None]
    chosen = np.take_along_axis(place_of, order, 1)[cells]
    item, at = candidates.item[chosen], np.repeat(np.arange(len(owners)), kept)
    code = 0 if recipe.ranker is None else registry.ranker_code(recipe.ranker.name)
    return RankedLists(
        owner=owners.row,
        method=method,
        route=routed.method,
        count=owners.count,
        ranker=np.where(length > 0, code, 0).astype(np.uint8),
        indptr=indptr_of(kept),
        item=item,
        score=np.clip(final[cells], 0, 1),
        source=candidates.proposed[chosen],
        reason=reasons_of(recipe, owners, at, item, leading(candidates, chosen, contributing(recipe, method))),
    )


def _ordered(
    recipe: SurfaceRecommender,
    candidates: Candidates,
    score: NDArray[np.float32],
    place_of: NDArray[np.int64],
    present: NDArray[np.bool_],
    depth: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return columns, best first, and their scores: by the ranker, or by the model score without one."""
    if not place_of.size:
        return np.zeros(place_of.shape, np.int64), np.zeros(place_of.shape, np.float32)
    if recipe.ranker is None:
        base = np.where(present, score[place_of], np.float32(-np.inf))
        order = order_by_score(base)[:, :depth]
        return order, np.take_along_axis(base, order, 1)
    item = candidates.item[place_of]
    if isinstance(recipe.ranker, LearnedRanker):
        base = np.where(present, score[place_of], np.float32(-np.inf))
        weight = recipe.settings.of(RankerConfig).diversity_weight
        places = recipe.settings.of(RankerConfig).diversity_places if weight else 0
        return place_greedily(diversify(base, weight), base, diversity_facets(recipe, item), places, depth)
    features = static_features(
        score[place_of].ravel(), recipe.item_recency[item].ravel(), recipe.item_popularity[item].ravel()
    )
    features = features.reshape(*item.shape, -1)
    base = np.where(present, recipe.ranker.score(features), np.float32(-np.inf)).astype(np.float32)
    again = rescore_with_diversity(recipe.ranker, features)
    return place_greedily(
        again, base, diversity_facets(recipe, item), recipe.settings.of(RankerConfig).diversity_places, depth
    )


def _filled(recipe: SurfaceRecommender, owners: Owners, lists: RankedLists, depth: int) -> RankedLists:
    """Fill short lists from popular items that they lack. Item numbers become entity rows."""
    short = np.flatnonzero(np.diff(lists.indptr) < min(depth, len(recipe.catalogue)))
    if not len(short):
        return _as_rows(recipe, lists, lists.indptr, lists.item, lists.score, lists.source, lists.reason)
    fill = recipe.popular.propose(owners.take(short), depth)
    at, item, score = _new_to(lists, short, fill, len(recipe.catalogue), depth)
    order = np.argsort(np.concatenate([np.repeat(np.arange(len(lists)), np.diff(lists.indptr)), at]), kind="stable")
    floor = np.full(len(lists), 1, np.float32)
    filled = np.flatnonzero(np.diff(lists.indptr))
    floor[filled] = lists.score[lists.indptr[filled + 1] - 1]
    more = {
        "item": item,
        "score": score * floor[at],
        "source": np.full(len(at), POPULAR.bit, MASK),
        "reason": reasons_of(recipe, owners, at, item, np.full(len(at), POPULAR.code)),
    }
    columns = {name: np.concatenate([getattr(lists, name), more[name]])[order] for name in more}
    length = np.diff(lists.indptr) + np.bincount(at, minlength=len(lists))
    return _as_rows(recipe, lists, indptr_of(length), **columns)


def _new_to(
    lists: RankedLists, short: NDArray[np.int64], fill: Proposal, items: int, depth: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Return popular items that a list lacks and that fit: list, item, score in 0..1."""
    have = np.zeros((len(short), items), bool)
    length = np.diff(lists.indptr)
    listed = np.repeat(np.isin(np.arange(len(lists)), short), length)
    have[np.repeat(np.arange(len(short)), length[short]), lists.item[listed]] = True
    fresh = ~have[fill.owner, fill.item]
    at = short[fill.owner]
    at, item, score = at[fresh], fill.item[fresh], fill.score[fresh]
    start = indptr_of(np.bincount(at, minlength=len(lists)))
    fits = np.arange(len(at)) - start[at] < depth - length[at]
    return at[fits], item[fits], score[fits]


def _as_rows(
    recipe: SurfaceRecommender,
    lists: RankedLists,
    indptr: NDArray[np.int64],
    item: NDArray[np.int32],
    score: NDArray[np.float32],
    source: NDArray[np.integer[Any]],
    reason: NDArray[np.uint32],
) -> RankedLists:
    return RankedLists(
        lists.owner,
        lists.method,
        lists.route,
        lists.count,
        lists.ranker,
        indptr,
        recipe.catalogue[item],
        score.astype(np.float32),
        source,
        reason,
    )
