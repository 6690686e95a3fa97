"""Features of the learned ranker and of the network, the same for training and serving (A31, R03).

To add a feature (A29), yield its name and column in `columns` (docs/reference/models/ranker.md). The next build trains
with it. A stored ranker keeps the names of its training and requests only these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.content import CONTENT_BASED
from models.data.batch import Candidates, Owners
from models.data.bundle import Bundle
from models.data.columns import Column, Features, Part
from models.data.entities import UNKNOWN_TIME, Entities
from models.data.interactions import DAY_US, EventTime
from models.errors import BundleCorrupt
from models.features.item_facts import NEVER
from models.features.location import AFFINITIES, LocationMatch, codes_in
from models.item_neighbours import ITEM_NEIGHBOURS
from models.schema import DIVERSITY_FACETS, Entity
from models.scoring.scorer import Ranks, Scorer
from models.spec import Source

PRIOR, DUST, FLOOR = 5.0, 1e-3, 0.05


@dataclass(frozen=True, eq=False)
class FacetAffinity:
    """How well startups' values of one facet match users' histories. Either side may own the list.

    Lift of a value = ln(FLOOR + (count of the value + PRIOR x share) / (count of all + PRIOR) / (share + DUST)). share:
    of all pairs. Lift is 0 without history or value. Additive smoothing: Chen and Goodman 1999.
    code: value of each startup, blank last; (m,) if startups are the items, else (owners,). values: number of values
    with blank. share: (values,).
    met: (values, m) csr, startups by value of each user, if users are the items. Else None: see `Owners.history`.
    met_all: (m,) its sums.
    """

    name: str
    code: NDArray[np.int32]
    values: int
    share: NDArray[np.float32]
    met: sparse.csr_matrix | None
    met_all: NDArray[Any] | None

    @cached_property
    def _one_hot(self) -> sparse.csr_matrix:
        n = len(self.code)
        return sparse.csr_matrix((np.ones(n, np.float32), self.code, np.arange(n + 1)), shape=(n, self.values))

    def columns(
        self, owners: Owners, owner: NDArray[np.integer[Any]], item: NDArray[np.integer[Any]]
    ) -> tuple[Column, Column]:
        """Return lift and ln(1 + count of the value) for n pairs (owner of the batch, catalogue row)."""
        place: NDArray[np.int64] | None = None
        if self.met is None or self.met_all is None:
            liked = owners.history > 0
            met = (liked.astype(np.float32) @ self._one_hot).toarray()
            total, value, count = np.diff(liked.indptr).astype(np.float32), np.arange(self.values), met
            if met.size <= len(item):  # one cell for each owner and value
                place = owner.astype(np.int64) * self.values + self.code[item]
                total = total[:, None]
            else:
                value = self.code[item]
                count, total = met[owner, value], total[owner]
        else:
            code = np.where(owners.row >= 0, self.code[np.maximum(owners.row, 0)], self.values - 1)
            stated, which = np.unique(code, return_inverse=True)
            value = code[owner]
            count, total = self.met[stated].toarray()[which[owner], item], self.met_all[item]
        share = self.share[value]
        lift = np.log(FLOOR + (count + PRIOR * share) / (total + PRIOR) / (share + DUST))
        told = (value < self.values - 1) & (total > 0)
        cells = np.where(told, lift, 0).astype(np.float32), np.log1p(np.where(told, count, 0)).astype(np.float32)
        return Column(cells[0].ravel(), place, self.name), Column(cells[1].ravel(), place, self.name)


def affinities(
    activity: Bundle, owners: Entities, items: Entities, catalogue: NDArray[np.integer[Any]]
) -> Iterator[FacetAffinity]:
    """Yield the affinity of every facet with a value.

    activity: "activity_v1", with the ids of the entities.
    """
    startups = items if items.entity is Entity.STARTUP else owners
    for name in AFFINITIES:
        values_of = activity.arrays.get(f"{name}_values")
        if values_of is None or not len(values_of):  # a facet newer than the bundle, or without values
            continue
        stated = values_of.tolist()
        codes, values = codes_in(stated, startups, name), len(stated) + 1
        code = np.where(codes < 0, values - 1, codes)
        share = activity.arrays[f"{name}_share"]
        if items is startups:
            yield FacetAffinity(name, code[catalogue], values, share, None, None)
        else:
            met = _csr(activity.arrays, name, len(items), values)[catalogue]
            yield FacetAffinity(name, code, values, share, met.T.tocsr(), np.asarray(met.sum(axis=1)).ravel())


def _csr(arrays: Mapping[str, NDArray[Any]], name: str, rows: int, values: int) -> sparse.csr_matrix:
    parts = (arrays[f"{name}_data"], arrays[f"{name}_indices"], arrays[f"{name}_indptr"])
    return sparse.csr_matrix(parts, shape=(rows, values))


@dataclass(frozen=True, eq=False)
class RankerInputs:
    """Facts of all catalogue rows and of the surface's owners, from the bundle "activity_v1".

    facts: (f, m) in the order of `fact_names`. demand: (m,) expected new partners. recent: (m,) recent events.
    facets, places: match of owner and item.
    """

    clock: EventTime
    fact_names: tuple[str, ...]
    facts: NDArray[np.float32]
    demand: NDArray[np.float32]
    recent: NDArray[np.float32]
    facets: tuple[FacetAffinity, ...]
    places: LocationMatch

    @classmethod
    def from_bundle(
        cls, activity: Bundle, owners: Entities, items: Entities, catalogue: NDArray[np.int32]
    ) -> RankerInputs:
        """Read the bundle. Raises BundleCorrupt if it belongs to another catalogue."""
        kind = items.entity.value
        if not np.array_equal(activity.maps[kind].ids, items.ids.ids):
            raise BundleCorrupt(f"expected activity_v1 of the catalogue's snapshot, got other {kind}s; train again")
        names = tuple(activity.config["facts"])
        facts = np.ascontiguousarray(activity.arrays[f"{kind}_facts"][catalogue].T)
        return cls(
            EventTime(activity.arrays["clock_instant"], activity.arrays["clock_share"]),
            names,
            facts,
            activity.arrays[f"{kind}_demand"][catalogue],
            facts[names.index("heat_0.03")],
            tuple(affinities(activity, owners, items, catalogue)),
            LocationMatch.from_entities(owners, items, catalogue),
        )


def last_ages(owners: Owners) -> NDArray[np.float32]:
    """Return (b,) age of each owner's last event in the catalogue; NEVER without one."""
    if owners.age is None:
        return np.full(len(owners), NEVER, np.float32)
    found = np.full(len(owners), NEVER, np.float32)
    some = np.flatnonzero(np.diff(owners.age.indptr))
    if len(some):
        found[some] = np.minimum.reduceat(owners.age.data, owners.age.indptr[some])
    return found


#: Groups of columns that depend only on the item or only on the owner.
ITEM, OWNER = "item", "owner"
#: Half-lives of decayed histories for the neighbours, as shares of all events.
FADING = (0.02, 0.1)


def table(
    evidence: RankerInputs,
    scorers: Mapping[Source, Scorer],
    owners: Owners,
    candidates: Candidates,
    names: Sequence[str] | None = None,
    whole: Mapping[str, Part] | None = None,
) -> Features:
    """Return the finite features of the candidates.

    names: columns that a stored ranker requests, in order. whole: see `Features`, of the same names.
    Raises BundleCorrupt for an unknown name.
    """
    found = {
        name: column if isinstance(column, Column) else Column(np.asarray(column, np.float32))
        for name, column in columns(evidence, scorers, owners, candidates)
    }
    wanted = tuple(found) if names is None else tuple(names)
    missing = [name for name in wanted if name not in found]
    if missing:
        raise BundleCorrupt(
            f"the ranker asks for {', '.join(missing)}, which this version does not compute, or a "
            "model is missing; train again"
        )
    return Features({name: found[name] for name in wanted}, len(candidates.item), whole or {})


def columns(
    evidence: RankerInputs, scorers: Mapping[Source, Scorer], owners: Owners, candidates: Candidates
) -> Iterator[tuple[str, Column | NDArray[Any]]]:
    """Yield every feature by name, (nnz,) over the candidates. owners: the same batch."""
    owner, item, ranks = candidates.owner, candidates.item, Ranks(candidates.indptr)
    yield from _of_the_sources(candidates, ranks)
    yield from _with_demand(evidence, candidates, ranks)
    yield from _fading(scorers, owners, candidates)
    for name, fact in zip(evidence.fact_names, evidence.facts, strict=True):
        yield f"item_{name}", Column(fact, item, ITEM)
    for facet in evidence.facets:
        lift, met = facet.columns(owners, owner, item)
        yield f"lift_{facet.name}", lift
        yield f"met_{facet.name}", met
    yield from evidence.places.columns(owners, owner, item).items()
    yield "owner_events", Column(np.log1p(owners.count).astype(np.float32), owner, OWNER)
    yield "owner_age", Column(last_ages(owners), owner, OWNER)


def _of_the_sources(candidates: Candidates, ranks: Ranks) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield each source's score (0 without one) and log rank, and the number of proposing sources."""
    for source, score in candidates.scores.items():
        yield f"score_{source}", _known(score)
        yield f"rank_{source}", ranks.log(score)
    yield "proposed_by", np.bitwise_count(candidates.proposed)


def _with_demand(
    evidence: RankerInputs, candidates: Candidates, ranks: Ranks
) -> Iterator[tuple[str, Column | NDArray[Any]]]:
    """Yield the item's expected demand, and its products with the scores of content and neighbours."""
    demand = evidence.demand[candidates.item]
    yield "demand", Column(np.log(evidence.demand + np.float32(1e-4)), candidates.item, ITEM)
    yield "rank_demand", ranks.log(demand)
    for source in (CONTENT_BASED, ITEM_NEIGHBOURS):
        if source in candidates.scores:
            both = candidates.scores[source] * demand
            yield f"score_{source}_demand", _known(both)
            yield f"rank_{source}_demand", ranks.log(both)


def _known(score: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the scores, 0 instead of NaN."""
    return np.where(np.isnan(score), np.float32(0), score)


def _fading(
    scorers: Mapping[Source, Scorer], owners: Owners, candidates: Candidates
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the neighbours' scores of decayed histories. They show recent interests."""
    neighbours = scorers.get(ITEM_NEIGHBOURS)
    if neighbours is None:
        return
    for half_life in FADING:
        score = neighbours.score(replace(owners, history=faded(owners, half_life)), candidates)
        column = np.zeros(len(score), np.float32)
        some = np.flatnonzero(score > 0)  # few scores are positive; NaN is not
        column[some] = np.log1p(100 * score[some])
        yield f"score_{ITEM_NEIGHBOURS}_{half_life}", column


def faded(owners: Owners, half_life: float) -> sparse.csr_matrix:
    """Return (b, items): 1 for a pair now, 0.5 after `half_life` of all events."""
    if owners.age is None:
        return sparse.csr_matrix(owners.history.shape, dtype=np.float32)
    weight = np.exp2(-owners.age.data / np.float32(half_life)).astype(np.float32)
    return sparse.csr_matrix((weight, owners.age.indices, owners.age.indptr), shape=owners.age.shape)


#: Columns of the network's input, in order.
FEATURES = ("model_score", "recency", "popularity", "diversity")
#: Diversity without selected items to compare with, and beyond the greedy positions (C50).
NEUTRAL_DIVERSITY = 0.5


def recency(created_at: NDArray[np.int64], as_of_us: int, days: float) -> NDArray[np.float32]:
    """Return (n,) exp(-age / days), in 0..1 (C46, C47).

    created_at: (n,) microseconds since 1970 UTC; UNKNOWN_TIME gives 0. Edits do not count (R21).
    """
    age_days = np.maximum(as_of_us - np.maximum(created_at, 0), 0) / DAY_US
    return np.where(created_at == UNKNOWN_TIME, 0.0, np.exp(-age_days / days)).astype(np.float32)


def popularity(views: NDArray[Any], interactions: NDArray[np.integer[Any]], maximum: float) -> NDArray[np.float32]:
    """Return (n,) log(views + 3 x interactions + 1) / log(maximum), clipped to 0..1 (C49).

    maximum: the largest views + 3 x interactions + 1 at the cutoff, stored with the model (R05); 1 gives zeros.
    """
    if maximum <= 1:
        return np.zeros(len(views), np.float32)
    return np.asarray(np.clip(np.log(views + 3.0 * interactions + 1) / np.log(maximum), 0, 1), np.float32)


def overlap(
    facets: Mapping[str, NDArray[np.int64]], left: NDArray[np.int64], right: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the share of equal DIVERSITY_FACETS of items `left` and `right` (C51).

    left, right: rows, broadcast. Blank values equal nothing.
    """
    shared = np.zeros(np.broadcast_shapes(left.shape, right.shape), np.float32)
    for name in DIVERSITY_FACETS:
        a, b = facets[name][left], facets[name][right]
        shared += (a == b) & (a >= 0)
    return shared / np.float32(len(DIVERSITY_FACETS))


def static_features(
    model_score: NDArray[np.float32], item_recency: NDArray[np.float32], item_popularity: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return (n, len(FEATURES)) with neutral diversity, which depends on the items selected so far."""
    neutral = np.full(len(model_score), NEUTRAL_DIVERSITY, np.float32)
    return np.stack([model_score, item_recency, item_popularity, neutral], axis=1).astype(np.float32)
