"""The one recipe, for batch scoring and for the live fallback: route -> candidates -> blend -> rank -> list.

It takes a batch of owners; one owner is a batch of one. The route decides the method and the base score; the ranker may
draw its candidates from the union of all sources that know the owner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.data.batch import MASK, Candidates, Owners, Proposal, indptr_of
from models.features.table import static_features
from models.learned_ranker.scorer import LearnedRanker
from models.lists.ranked_lists import RankedLists
from models.popularity import POPULAR
from models.ranker import RankerConfig
from models.recommender.candidates import (
    answering_method,
    candidates_of,
    learned_scores,
    model_score_of,
    rankable,
    wide_candidates,
)
from models.recommender.rerank import diversify, place_greedily, rescore_with_diversity
from models.recommender.surface import SurfaceRecommender, diversity_facets
from models.routing import Route, route
from models.schema import FACET_REASONS, REASONS, Method, Standing
from models.scoring.scorer import order_by_score

_BIT = {name: MASK(1 << code) for name, code in REASONS.items()}
#: An item is called new or popular from here on.
NEW_RECENCY, POPULAR_AT = 0.5, 0.8
#: Cells of owners x codes up to which weights are summed in a rectangle, 8 MiB.
_CELLS = 1 << 20


def reason_bits(
    facets: Mapping[str, NDArray[np.int32]],
    recency: NDArray[np.float32],
    popularity: NDArray[np.float32],
    favourite: Mapping[str, NDArray[np.int32]],
    at: NDArray[np.int64],
    item: NDArray[np.int32],
) -> NDArray[np.uint16]:
    """(n,) uint16 bits by REASONS of n places: facets shared with most of the owner's history, new, popular.

    facets: codes by name over the catalogue. recency, popularity: (n,) in 0..1 of the items themselves.
    favourite: see `favourites`. at: (n,) owner of each place. item: (n,) catalogue positions.
    """
    bits = (recency >= NEW_RECENCY) * _BIT[Standing.NEW] | (popularity >= POPULAR_AT) * _BIT[Standing.POPULAR]
    for name, codes in favourite.items():
        code = facets[name][item]
        bits |= ((code == codes[at]) & (code >= 0)) * _BIT[name]
    return np.asarray(bits, MASK)


def favourites(facets: Mapping[str, NDArray[np.int32]], history: sparse.csr_matrix) -> dict[str, NDArray[np.int32]]:
    """By facet the (b,) code with the most weight in each history, -1 without one: what facet reasons refer to."""
    met = history.tocoo()
    liked = met.data > 0
    row, item, weight = met.row[liked], met.col[liked], met.data[liked]
    found = {}
    for name in FACET_REASONS:
        code = facets[name][item]
        known = code >= 0
        found[name] = _heaviest(history.shape[0], row[known], code[known], weight[known])
    return found


def _heaviest(
    size: int, row: NDArray[np.int32], code: NDArray[np.int32], weight: NDArray[np.float32]
) -> NDArray[np.int32]:
    """(size,) int32 the code with the largest summed weight of each row, the lowest of equals, -1 for empty rows."""
    width = int(code.max(initial=-1)) + 1
    pair = row.astype(np.int64) * width + code
    if 0 < size * width <= _CELLS:  # weights are positive: a sum of 0 means there is none
        total = np.bincount(pair, weights=weight, minlength=size * width).reshape(size, width)
        return np.where(total.any(axis=1), total.argmax(axis=1), -1).astype(np.int32)
    best = np.full(size, -1, np.int32)
    if len(row):
        pair, inverse = np.unique(pair, return_inverse=True)
        total = np.bincount(inverse, weights=weight)
        order = np.lexsort((pair, -total, pair // width))
        first = order[np.append(True, np.diff(pair[order] // width) > 0)]
        best[pair[first] // width] = pair[first] % width
    return best


#: Owners scored at once: small enough for the caches, large enough for vector code.
CHUNK = 256


@dataclass(frozen=True, eq=False)
class Ranking:
    """All that was computed on the way to a batch's lists; `explain` prints it.

    method: (b,) uint8, what answers. score: (nnz,) float32 in 0..1, the learned ranker's score where it serves, else
    the models', see `model_score_of`. lists: the result. reranked: (b,) bool.
    """

    route: Route
    method: NDArray[np.uint8]
    candidates: Candidates
    score: NDArray[np.float32]
    lists: RankedLists


def recommend(recipe: SurfaceRecommender, owners: Owners, depth: int) -> RankedLists:
    """Up to `depth` items for every owner, fewer only where no more may be shown (R08, I12)."""
    starts = range(0, max(len(owners), 1), CHUNK)
    return RankedLists.concat([rank(recipe, owners.part(s, s + CHUNK), depth).lists for s in starts])


def rank(recipe: SurfaceRecommender, owners: Owners, depth: int) -> Ranking:
    """The recipe for one chunk of owners, with everything that `explain` wants to show.

    Whoever opted out is answered as a stranger without a profile, less what is barred for them (R23)."""
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
    favourite = favourites(recipe.facets, owners.history)
    placed = _placed(recipe, owners, candidates, score, method, routed, favourite, depth)
    lists = _filled(recipe, owners, placed, favourite, depth)
    return Ranking(routed, method, candidates, score, lists)


def _placed(
    recipe: SurfaceRecommender,
    owners: Owners,
    candidates: Candidates,
    score: NDArray[np.float32],
    method: NDArray[np.uint8],
    routed: Route,
    favourite: Mapping[str, NDArray[np.int32]],
    depth: int,
) -> RankedLists:
    """Order every owner's candidates and keep the best `depth`; whom popular answers has none yet, unless what is in
    demand was ranked for them too."""
    ranked = (method != Method.POPULAR.code) | isinstance(recipe.ranker, LearnedRanker)
    length = np.where(ranked, np.diff(candidates.indptr), 0)
    width = int(length.max(initial=0))
    present = np.arange(width) < length[:, None]
    place_of = np.where(present, candidates.indptr[:-1, None] + np.arange(width), 0)
    order, final = _ordered(recipe, candidates, score, place_of, present, depth)
    kept = np.minimum(length, order.shape[1])
    cells = np.arange(order.shape[1]) < kept[:, None]
    chosen = np.take_along_axis(place_of, order, 1)[cells]
    item = candidates.item[chosen]
    return RankedLists(
        owner=owners.row,
        method=method,
        route=routed.method,
        count=owners.count,
        reranked=(length > 0) & (recipe.ranker is not None),
        indptr=indptr_of(kept),
        item=item,
        score=np.clip(final[cells], 0, 1),
        source=candidates.proposed[chosen],
        reason=_reasons(recipe, favourite, np.repeat(np.arange(len(owners)), kept), item),
    )


def _ordered(
    recipe: SurfaceRecommender,
    candidates: Candidates,
    score: NDArray[np.float32],
    place_of: NDArray[np.int64],
    present: NDArray[np.bool_],
    depth: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Columns of the rectangle, best first, and their scores: by the ranker, or by the model score where it is off."""
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


def _filled(
    recipe: SurfaceRecommender,
    owners: Owners,
    lists: RankedLists,
    favourite: Mapping[str, NDArray[np.int32]],
    depth: int,
) -> RankedLists:
    """Fill lists shorter than `depth` from the popular items not yet in them; item numbers become entity rows."""
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
        "reason": _reasons(recipe, favourite, at, item),
    }
    columns = {name: np.concatenate([getattr(lists, name), more[name]])[order] for name in more}
    length = np.diff(lists.indptr) + np.bincount(at, minlength=len(lists))
    return _as_rows(recipe, lists, indptr_of(length), **columns)


def _new_to(
    lists: RankedLists, short: NDArray[np.int64], fill: Proposal, items: int, depth: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """The popular places that are not in the list already and still fit: list, item, score in 0..1."""
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
    reason: NDArray[np.integer[Any]],
) -> RankedLists:
    return RankedLists(
        lists.owner,
        lists.method,
        lists.route,
        lists.count,
        lists.reranked,
        indptr,
        recipe.catalogue[item],
        score.astype(np.float32),
        source,
        reason,
    )


def _reasons(
    recipe: SurfaceRecommender,
    favourite: Mapping[str, NDArray[np.int32]],
    at: NDArray[np.int64],
    item: NDArray[np.int32],
) -> NDArray[np.uint16]:
    """(n,) uint16 reason bits of items for the owners `at`."""
    return reason_bits(recipe.facets, recipe.item_recency[item], recipe.item_popularity[item], favourite, at, item)
