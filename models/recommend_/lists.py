"""The one recipe, for batch scoring and for the live fallback: route -> candidates -> blend -> rank -> list.

It takes a batch of owners; one owner is a batch of one. The route decides the method and the base score; the ranker may
draw its candidates from the union of all sources that know the owner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.features import static_features
from models.nouns.candidates import Candidates, Proposal, indptr_of
from models.nouns.owners import Owners
from models.nouns.ranked_lists import RankedLists
from models.nouns.vocabulary import Method, Source
from models.recipe import Recipe, diversity_facets
from models.routing import Route, chain, route
from models.scorers import Scorer
from models.scorers.blending import min_max
from models.scorers.ranker import best_first, place
from models.scorers.reasons import favourites, reason_bits

#: Owners scored at once: small enough for the caches, large enough for vector code.
CHUNK = 256
_CODE = {m: i for i, m in enumerate(Method)}
_PARTS = {
    Method.CONTENT_BASED: (Source.CONTENT_BASED,),
    Method.ALS: (Source.ALS,),
    Method.ALS_REVERSE: (Source.ALS_REVERSE,),
    Method.TWO_TOWER: (Source.TWO_TOWER,),
    Method.ENSEMBLE: (Source.ALS, Source.TWO_TOWER),
}


@dataclass(frozen=True, eq=False)
class Ranking:
    """All that was computed on the way to a batch's lists; `explain` prints it.

    method: (b,) uint8, what answers. model_score: (nnz,) float32 in 0..1, see `_model_score`.
    lists: the result. reranked: (b,) bool.
    """

    route: Route
    method: np.ndarray
    candidates: Candidates
    model_score: np.ndarray
    lists: RankedLists


def recommend(recipe: Recipe, owners: Owners, depth: int) -> RankedLists:
    """Up to `depth` items for every owner, fewer only where no more may be shown (R08, I12)."""
    starts = range(0, max(len(owners), 1), CHUNK)
    return RankedLists.concat([rank(recipe, owners.part(s, s + CHUNK), depth).lists for s in starts])


def rank(recipe: Recipe, owners: Owners, depth: int) -> Ranking:
    """The recipe for one chunk of owners, with everything that `explain` wants to show."""
    routed = route(recipe.surface, owners.count, recipe.settings)
    candidates = candidates_of(recipe, owners, int(np.ceil(depth * recipe.settings.candidate_multiplier)))
    method = answering(recipe, owners, routed, candidates)
    candidates = _kept(recipe, candidates, method)
    score = _model_score(recipe, owners, candidates, method)
    favourite = favourites(recipe.facets, owners.history)
    placed = _placed(recipe, owners, candidates, score, method, routed, favourite, depth)
    lists = _filled(recipe, owners, placed, favourite, depth)
    return Ranking(routed, method, candidates, score, lists)


def candidates_of(recipe: Recipe, owners: Owners, k: int) -> Candidates:
    """The union of up to k proposals of every source, scored by every source (R06). Who opted out gets none (R23)."""
    proposals = {s: _for(owners, scorer.propose(owners, k)) for s, scorer in recipe.scorers.items()}
    union = Candidates.union(len(owners), proposals)
    return union.scored({s: _completed(s, scorer, owners, union) for s, scorer in recipe.scorers.items()})


def _completed(source: Source, scorer: Scorer, owners: Owners, union: Candidates) -> np.ndarray:
    """The source's column over the union: what it proposed has its score already, the rest is scored now."""
    column, rest = union.scores[source], (union.proposed & source.bit) == 0
    if rest.any():
        column[rest] = scorer.score(owners, union.scored({}).where(rest))
    return column


def answering(recipe: Recipe, owners: Owners, routed: Route, candidates: Candidates) -> np.ndarray:
    """(b,) uint8 the first method of each owner's chain that has a score for any of its candidates (B06, B08)."""
    knows = {s: _any(~np.isnan(score), candidates.indptr) for s, score in candidates.scores.items()}
    nobody = np.zeros(len(owners), bool)
    method = np.full(len(owners), _CODE[Method.POPULAR], np.uint8)
    for first in np.unique(routed.method):
        for m in reversed(chain(recipe.surface, tuple(Method)[first], recipe.settings)[:-1]):
            able = np.logical_and.reduce([knows.get(s, nobody) for s in _PARTS[m]])
            method[(routed.method == first) & able & ~owners.opted_out] = _CODE[m]
    return method


def model_scores(recipe: Recipe, owners: Owners, candidates: Candidates) -> np.ndarray:
    """(nnz,) float32 in 0..1: what the ranker is told of the models' opinion (C45), see `_model_score`."""
    method = answering(recipe, owners, route(recipe.surface, owners.count, recipe.settings), candidates)
    return _model_score(recipe, owners, candidates, method)


def _for(owners: Owners, proposal: Proposal) -> Proposal:
    if not owners.opted_out.any():
        return proposal
    keep = ~owners.opted_out[proposal.owner]
    length = np.where(owners.opted_out, 0, np.diff(proposal.indptr))
    return Proposal(indptr_of(length), proposal.item[keep], proposal.score[keep])


def _kept(recipe: Recipe, candidates: Candidates, method: np.ndarray) -> Candidates:
    """The candidates a second stage may draw on: all of them, or the answering method's own where that is asked for."""
    if _ranks_union(recipe):
        return candidates
    own = np.array([sum(s.bit for s in _PARTS.get(m, ())) for m in Method], np.uint8)
    keep = (candidates.proposed & own[method][candidates.owner]) > 0
    return candidates.where(keep)


def _model_score(recipe: Recipe, owners: Owners, candidates: Candidates, method: np.ndarray) -> np.ndarray:
    """(nnz,) float32 in 0..1, min-max over an owner's candidates.

    Where a second stage draws on the union of sources, their mean: each scaled, those that abstain on an item left out;
    one method's score alone would say nothing of what the others proposed. For owners of the ensemble both its halves
    speak with its blended score, so the blend and its weights count. Else the answering method's own.
    """
    if not _ranks_union(recipe):
        return _base_score(recipe, owners, candidates, method)
    hot = (method == _CODE[Method.ENSEMBLE])[candidates.owner]
    blended = _blended(recipe, owners, candidates) if hot.any() else None
    total, heard = np.zeros(len(candidates.item), np.float32), np.zeros(len(candidates.item), np.float32)
    for source, raw in candidates.scores.items():
        scaled = min_max(raw, candidates.indptr)
        if blended is not None and source in _PARTS[Method.ENSEMBLE]:
            scaled = np.where(hot, blended, scaled)
        heard += ~np.isnan(scaled)
        total += np.nan_to_num(scaled)
    return np.nan_to_num(min_max(total / np.maximum(heard, 1), candidates.indptr))


def _ranks_union(recipe: Recipe) -> bool:
    return recipe.ranker is not None and recipe.settings.candidate_sources == "union"


def _base_score(recipe: Recipe, owners: Owners, candidates: Candidates, method: np.ndarray) -> np.ndarray:
    """(nnz,) float32: each owner's answering method over its own candidates."""
    result = np.zeros(len(candidates.item), np.float32)
    mine = method[candidates.owner]
    for code in np.unique(method):
        m = tuple(Method)[code]
        if m is Method.POPULAR:
            continue
        if m is Method.ENSEMBLE:
            score = _blended(recipe, owners, candidates)
        else:
            score = np.nan_to_num(min_max(candidates.scores[_PARTS[m][0]], candidates.indptr))
        result = np.where(mine == code, score, result)
    return result


def _blended(recipe: Recipe, owners: Owners, candidates: Candidates) -> np.ndarray:
    """(nnz,) float32: the ensemble's score, of use where both its halves know the owner."""
    als, two_tower = (candidates.scores[s] for s in _PARTS[Method.ENSEMBLE])
    age_days = recipe.age_days(owners.row)
    return recipe.blend(als, two_tower, candidates.owner, candidates.indptr, owners.count, age_days)


def _placed(
    recipe: Recipe,
    owners: Owners,
    candidates: Candidates,
    score: np.ndarray,
    method: np.ndarray,
    routed: Route,
    favourite: Mapping[str, np.ndarray],
    depth: int,
) -> RankedLists:
    """Order every owner's candidates and keep the best `depth`; who is answered by popular has none yet."""
    length = np.where(method == _CODE[Method.POPULAR], 0, np.diff(candidates.indptr))
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
        reranked=(method != _CODE[Method.POPULAR]) & (recipe.ranker is not None),
        indptr=indptr_of(kept),
        item=item,
        score=np.clip(final[cells], 0, 1),
        source=candidates.proposed[chosen],
        reason=_reasons(recipe, favourite, np.repeat(np.arange(len(owners)), kept), item),
    )


def _ordered(
    recipe: Recipe, candidates: Candidates, score: np.ndarray, place_of: np.ndarray, present: np.ndarray, depth: int
) -> tuple[np.ndarray, np.ndarray]:
    """Columns of the rectangle, best first, and their scores: by the ranker, or by the model score where it is off."""
    if not place_of.size:
        return np.zeros(place_of.shape, np.int64), np.zeros(place_of.shape, np.float32)
    if recipe.ranker is None:
        base = np.where(present, score[place_of], np.float32(-np.inf))
        order = best_first(base)[:, :depth]
        return order, np.take_along_axis(base, order, 1)
    item = candidates.item[place_of]
    features = static_features(
        score[place_of].ravel(), recipe.item_recency[item].ravel(), recipe.item_popularity[item].ravel()
    )
    return place(
        recipe.ranker,
        features.reshape(*item.shape, -1),
        diversity_facets(recipe, item),
        present,
        recipe.settings.diversity_places,
        depth,
    )


def _filled(
    recipe: Recipe, owners: Owners, lists: RankedLists, favourite: Mapping[str, np.ndarray], depth: int
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
        "source": np.full(len(at), Source.POPULAR.bit, np.uint8),
        "reason": _reasons(recipe, favourite, at, item),
    }
    columns = {name: np.concatenate([getattr(lists, name), more[name]])[order] for name in more}
    length = np.diff(lists.indptr) + np.bincount(at, minlength=len(lists))
    return _as_rows(recipe, lists, indptr_of(length), **columns)


def _new_to(
    lists: RankedLists, short: np.ndarray, fill: Proposal, items: int, depth: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
    recipe: Recipe,
    lists: RankedLists,
    indptr: np.ndarray,
    item: np.ndarray,
    score: np.ndarray,
    source: np.ndarray,
    reason: np.ndarray,
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


def _reasons(recipe: Recipe, favourite: Mapping[str, np.ndarray], at: np.ndarray, item: np.ndarray) -> np.ndarray:
    """(n,) uint8 reason bits of items for the owners `at`."""
    return reason_bits(recipe.facets, recipe.item_recency[item], recipe.item_popularity[item], favourite, at, item)


def _any(mask: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    """(b,) bool: does any place of each row hold."""
    total = np.concatenate([[0], np.cumsum(mask)])
    return np.asarray(total[indptr[1:]] > total[indptr[:-1]])
