"""Candidates of a batch of owners, the method of each list, and the model scores, before ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.data.batch import MASK, Candidates, Owners, Proposal, indptr_of
from models.data.columns import Features
from models.errors import BundleNotFound
from models.features.table import ITEM, table
from models.learned_ranker.scorer import LOOKED_AT, LearnedRanker
from models.ranker import RankerConfig
from models.recommender.surface import SurfaceRecommender
from models.routing import Route, chain, sources_of
from models.schema import Method
from models.scoring.scorer import Scorer, min_max
from models.spec import Source

#: Least number of candidates per item for which `prepared` changes a recipe.
MANY = 4


def candidates_of(recipe: SurfaceRecommender, owners: Owners, k: int) -> Candidates:
    """Return up to k proposals of every source, scored by every source (R06).

    Opted-out owners get none (R23).
    """
    return _union(recipe, owners, _proposals(recipe, owners, k), ())


def wide_candidates(recipe: SurfaceRecommender, owners: Owners) -> Candidates:
    """Return the learned ranker's candidates, also from demand-weighted sources.

    Each source proposes `ranker_candidates` items.
    """
    k = recipe.settings.of(RankerConfig).candidates
    own = _proposals(recipe, owners, k)  # first, because the demand-weighted sources use the products again
    return _union(recipe, owners, own, [(s, _for(owners, scorer.propose(owners, k))) for s, scorer in recipe.wanted])


def learned_features(
    recipe: SurfaceRecommender, owners: Owners, candidates: Candidates, names: Sequence[str] | None = None
) -> Features:
    """Return the learned ranker's features; see `models.features.table.table`."""
    if recipe.evidence is None:
        raise BundleNotFound("the learned ranker needs the bundle activity_v1, which this release lacks; build again")
    return table(recipe.evidence, recipe.scorers, owners, candidates, names, recipe.whole.get(tuple(names or ())))


def prepared(recipe: SurfaceRecommender, owners: int) -> SurfaceRecommender:
    """Return the recipe for batches of this many owners in all. The lists are the same.

    If there are many owners, the trees evaluate the columns of each item once, not once per batch.
    """
    ranker, items = recipe.ranker, len(recipe.catalogue)
    if not isinstance(ranker, LearnedRanker) or not items or owners * LOOKED_AT < MANY * items:
        return recipe
    nobody = recipe.unseen_owners([])
    features = learned_features(recipe, nobody, wide_candidates(recipe, nobody), ranker.names)
    return replace(recipe, whole={ranker.names: features.whole_parts(ITEM)})


def learned_table(
    recipe: SurfaceRecommender, owners: Owners, candidates: Candidates, names: Sequence[str] | None = None
) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Return names and (nnz, f) features of the learned ranker."""
    features = learned_features(recipe, owners, candidates, names)
    return tuple(features.columns), features.cells()


def learned_scores(
    recipe: SurfaceRecommender, ranker: LearnedRanker, owners: Owners, candidates: Candidates
) -> NDArray[np.float32]:
    """Return the learned ranker's score of every candidate, (nnz,) in 0..1."""
    return ranker.score_lists(learned_features(recipe, owners, candidates, ranker.names), candidates.indptr)


def _proposals(recipe: SurfaceRecommender, owners: Owners, k: int) -> dict[Source, Proposal]:
    return {s: _for(owners, scorer.propose(owners, k)) for s, scorer in recipe.scorers.items()}


def _union(
    recipe: SurfaceRecommender,
    owners: Owners,
    proposals: Mapping[Source, Proposal],
    more: Sequence[tuple[Source, Proposal]],
) -> Candidates:
    """Merge the proposals of every source and `more`, scored by every source (R06)."""
    union = Candidates.union(len(owners), proposals, more)
    return union.scored({s: _completed(s, scorer, owners, union) for s, scorer in recipe.scorers.items()})


def _completed(source: Source, scorer: Scorer, owners: Owners, union: Candidates) -> NDArray[np.float32]:
    """Return a source's scores over the union. It keeps proposals' scores and computes the rest."""
    column = union.scores[source]
    rest = np.flatnonzero(np.isnan(column))
    if len(rest):
        column[rest] = scorer.score(owners, union.scored({}).take(rest))
    return column


def answering_method(
    recipe: SurfaceRecommender, owners: Owners, routed: Route, candidates: Candidates
) -> NDArray[np.uint8]:
    """Return (b,) the first method of each owner's chain with a score for any candidate (B06, B08)."""
    knows = {s: _any(~np.isnan(score), candidates.indptr) for s, score in candidates.scores.items()}
    nobody, parts = np.zeros(len(owners), bool), sources_of(recipe.surface)
    method = np.full(len(owners), Method.POPULAR.code, np.uint8)
    for first in np.unique(routed.method):
        for m in reversed(chain(recipe.surface, Method.of_code(int(first)), recipe.settings)[:-1]):
            able = np.logical_and.reduce([knows.get(s, nobody) for s in parts[m]])
            method[(routed.method == first) & able & ~owners.opted_out] = m.code
    return method


def _for(owners: Owners, proposal: Proposal) -> Proposal:
    if not owners.opted_out.any():
        return proposal
    keep = ~owners.opted_out[proposal.owner]
    length = np.where(owners.opted_out, 0, np.diff(proposal.indptr))
    return Proposal(indptr_of(length), proposal.item[keep], proposal.score[keep])


def rankable(recipe: SurfaceRecommender, candidates: Candidates, method: NDArray[np.uint8]) -> Candidates:
    """Return the candidates of the ranking stage.

    The setting candidate_sources decides: all, or only the answering method's.
    """
    if _ranks_union(recipe):
        return candidates
    return candidates.take(np.flatnonzero(candidates.proposed & contributing(recipe, method)[candidates.owner]))


def contributing(recipe: SurfaceRecommender, method: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Return (b,) bits of the sources whose scores can order each list: all, or those of its method.

    method: (b,) codes.
    """
    if _ranks_union(recipe):
        return np.full(len(method), np.iinfo(MASK).max, MASK)
    parts = sources_of(recipe.surface)
    own = np.zeros(Method.codes(), MASK)
    for m in Method:
        own[m.code] = sum(s.bit for s in parts.get(m, ()))
    return own[method]


def model_score_of(
    recipe: SurfaceRecommender, owners: Owners, candidates: Candidates, method: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Return (nnz,) scores in 0..1, min-max over an owner's candidates.

    With the union of sources, it is the mean of scaled scores, without sources that have no score for the item: one
    method says nothing about proposals of others. For owners of the ensemble its blended score replaces both halves.
    Otherwise it is the answering method's score.
    """
    if not _ranks_union(recipe):
        return _base_score(recipe, owners, candidates, method)
    hot = (method == Method.ENSEMBLE.code)[candidates.owner]
    blended = _blended(recipe, owners, candidates) if hot.any() else None
    total, counted = np.zeros(len(candidates.item), np.float32), np.zeros(len(candidates.item), np.float32)
    for source, raw in candidates.scores.items():
        scaled = min_max(raw, candidates.indptr)
        if blended is not None and source in sources_of(recipe.surface)[Method.ENSEMBLE]:
            scaled = np.where(hot, blended, scaled)
        counted += ~np.isnan(scaled)
        total += np.nan_to_num(scaled)
    return np.nan_to_num(min_max(np.divide(total, np.maximum(counted, 1)), candidates.indptr))


def _ranks_union(recipe: SurfaceRecommender) -> bool:
    return recipe.ranker is not None and recipe.settings.lists.candidate_sources == "union"


def _base_score(
    recipe: SurfaceRecommender, owners: Owners, candidates: Candidates, method: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Return (nnz,) scores of each owner's answering method over its own candidates."""
    result = np.zeros(len(candidates.item), np.float32)
    mine = method[candidates.owner]
    for code in np.unique(method):
        m = Method.of_code(int(code))
        if m is Method.POPULAR:
            continue
        if m is Method.ENSEMBLE:
            score = _blended(recipe, owners, candidates)
        else:
            score = np.nan_to_num(min_max(candidates.scores[sources_of(recipe.surface)[m][0]], candidates.indptr))
        result = np.where(mine == code, score, result)
    return result


def _blended(recipe: SurfaceRecommender, owners: Owners, candidates: Candidates) -> NDArray[np.float32]:
    """Return (nnz,) scores of the ensemble, valid where both halves know the owner."""
    als, two_tower = (candidates.scores[s] for s in sources_of(recipe.surface)[Method.ENSEMBLE])
    age_days = recipe.age_days(owners.row)
    return recipe.blend(als, two_tower, candidates.owner, candidates.indptr, owners.count, age_days)


def _any(mask: NDArray[np.bool_], indptr: NDArray[np.int64]) -> NDArray[np.bool_]:
    total = np.concatenate([[0], np.cumsum(mask)])
    return np.asarray(total[indptr[1:]] > total[indptr[:-1]])
