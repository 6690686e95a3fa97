"""The columns of the learned ranker and the features of the network, the same for training and serving (A31, R03).

To add a feature, yield its name and its column in `columns` (docs/reference/models/ranker.md); the next build trains
with it. A stored ranker keeps the names of the columns it was trained with and asks for these alone.
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
from models.data.entities import UNKNOWN_TIME, Entities
from models.data.interactions import DAY_US, EventTime
from models.errors import BundleCorrupt
from models.features.item_facts import NEVER
from models.features.location import AFFINITIES, LocationMatch, codes_in
from models.item_neighbours import ITEM_NEIGHBOURS
from models.schema import DIVERSITY_FACETS, Entity
from models.scoring.scorer import Scorer, log_rank
from models.spec import Source

PRIOR, DUST, FLOOR = 5.0, 1e-3, 0.05


@dataclass(frozen=True, eq=False)
class FacetAffinity:
    """One facet on one surface. code: int32 values of the startups, blank the last: (m,) items, or (owners,).

    values: how many there are, blank included. share: (values,). met: (values, m) csr, where the items are people: how
    many startups of each value each has met; None where the owners are people: their history says it. met_all: (m,).
    """

    name: str
    code: NDArray[np.int32]
    values: int
    share: NDArray[np.float32]
    met: sparse.csr_matrix | None
    met_all: NDArray[Any] | None

    @cached_property
    def _one_hot(self) -> sparse.csr_matrix:
        """(m, values) float32: 1 at each item's value."""
        n = len(self.code)
        return sparse.csr_matrix((np.ones(n, np.float32), self.code, np.arange(n + 1)), shape=(n, self.values))

    def columns(
        self, owners: Owners, owner: NDArray[np.integer[Any]], item: NDArray[np.integer[Any]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(n,) float32 lift and ln(1 + met of this value) of pairs (owner of the batch, catalogue position)."""
        if self.met is None or self.met_all is None:
            liked = owners.history > 0
            met = np.asarray((liked.astype(np.float32) @ self._one_hot).todense())
            value = self.code[item]
            count, total = met[owner, value], np.diff(liked.indptr).astype(np.float32)[owner]
        else:
            code = np.where(owners.row >= 0, self.code[np.maximum(owners.row, 0)], self.values - 1)
            value = code[owner]
            count, total = self.met[code].toarray()[owner, item], self.met_all[item]
        share = self.share[value]
        lift = np.log(FLOOR + (count + PRIOR * share) / (total + PRIOR) / (share + DUST))
        told = (value < self.values - 1) & (total > 0)
        return np.where(told, lift, 0).astype(np.float32), np.log1p(np.where(told, count, 0)).astype(np.float32)


def affinities(
    activity: Bundle, owners: Entities, items: Entities, catalogue: NDArray[np.integer[Any]]
) -> Iterator[FacetAffinity]:
    """Of every facet that any startup stated. activity: "activity_v1", whose ids are the entities' own."""
    startups = items if items.entity is Entity.STARTUP else owners
    for name in AFFINITIES:
        values_of = activity.arrays.get(f"{name}_values")
        if values_of is None or not len(values_of):  # declared since the bundle was made, or stated by nobody
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
    """Facts of every catalogue position and of the surface's owners, from the bundle "activity_v1".

    facts: (f, m) float32 in the order of `fact_names`. demand: (m,) float32 expected new partners. recent: (m,) events
    of late. facets, places: how owner and item fit.
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
        """Raises BundleCorrupt where the bundle is of another catalogue."""
        kind = items.entity.value
        if not np.array_equal(activity.maps[kind].ids, items.ids.ids):
            raise BundleCorrupt(f"activity_v1 and catalogue_v1 know other {kind}s: of two snapshots; train again")
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
    """(b,) float32 age of each owner's last event with the catalogue, by the clock; NEVER without one."""
    if owners.age is None:
        return np.full(len(owners), NEVER, np.float32)
    found = np.full(len(owners), NEVER, np.float32)
    some = np.flatnonzero(np.diff(owners.age.indptr))
    if len(some):
        found[some] = np.minimum.reduceat(owners.age.data, owners.age.indptr[some])
    return found


#: Half-lives, in shares of all events, of the histories that neighbours are asked with again.
FADING = (0.02, 0.1)


def table(
    evidence: RankerInputs,
    scorers: Mapping[Source, Scorer],
    owners: Owners,
    candidates: Candidates,
    names: Sequence[str] | None = None,
) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Names (f,) and features (nnz, f) float32, finite, one contiguous column each.

    names: the columns that a stored ranker asks for, in its order. Raises BundleCorrupt for one that is not known here.
    """
    found = dict(columns(evidence, scorers, owners, candidates))
    wanted = tuple(found) if names is None else tuple(names)
    missing = [name for name in wanted if name not in found]
    if missing:
        raise BundleCorrupt(
            f"the ranker asks for {', '.join(missing)}, which this version does not compute, or a "
            "model is missing; train again"
        )
    cells = np.empty((len(wanted), len(candidates.item)), np.float32)
    for i, name in enumerate(wanted):
        cells[i] = found[name]
    return wanted, cells.T


def columns(
    evidence: RankerInputs, scorers: Mapping[Source, Scorer], owners: Owners, candidates: Candidates
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Every feature: (nnz,) of the candidates. owners: the same batch."""
    owner, item = candidates.owner, candidates.item
    yield from _of_the_sources(candidates)
    yield from _with_demand(evidence, candidates)
    yield from _fading(scorers, owners, candidates)
    for i, name in enumerate(evidence.fact_names):
        yield f"item_{name}", evidence.facts[i].take(item)
    for facet in evidence.facets:
        lift, met = facet.columns(owners, owner, item)
        yield f"lift_{facet.name}", lift
        yield f"met_{facet.name}", met
    yield from evidence.places.columns(owners, owner, item).items()
    yield "owner_events", np.log1p(owners.count).astype(np.float32)[owner]
    yield "owner_age", last_ages(owners)[owner]


def _of_the_sources(candidates: Candidates) -> Iterator[tuple[str, NDArray[Any]]]:
    """Each model's score (0 where it abstains) and the logarithm of its rank; how many proposed the candidate."""
    for source, score in candidates.scores.items():
        yield f"score_{source}", np.nan_to_num(score)
        yield f"rank_{source}", log_rank(score, candidates.indptr)
    yield "proposed_by", np.bitwise_count(candidates.proposed)


def _with_demand(evidence: RankerInputs, candidates: Candidates) -> Iterator[tuple[str, NDArray[Any]]]:
    """What the item may expect from anybody, and what that makes of content's and the neighbours' scores."""
    demand = evidence.demand[candidates.item]
    yield "demand", np.log(demand + np.float32(1e-4))
    yield "rank_demand", log_rank(demand, candidates.indptr)
    for source in (CONTENT_BASED, ITEM_NEIGHBOURS):
        if source in candidates.scores:
            both = candidates.scores[source] * demand
            yield f"score_{source}_demand", np.nan_to_num(both)
            yield f"rank_{source}_demand", log_rank(both, candidates.indptr)


def _fading(
    scorers: Mapping[Source, Scorer], owners: Owners, candidates: Candidates
) -> Iterator[tuple[str, NDArray[Any]]]:
    """The neighbours' score again, of a history that fades: what the owner did of late."""
    neighbours = scorers.get(ITEM_NEIGHBOURS)
    if neighbours is None:
        return
    for half_life in FADING:
        score = neighbours.score(replace(owners, history=faded(owners, half_life)), candidates)
        yield f"score_{ITEM_NEIGHBOURS}_{half_life}", np.log1p(100 * np.maximum(np.nan_to_num(score), 0))


def faded(owners: Owners, half_life: float) -> sparse.csr_matrix:
    """(b, items) float32: 1 for every pair just now, half of it after `half_life` of all events."""
    if owners.age is None:
        return sparse.csr_matrix(owners.history.shape, dtype=np.float32)
    weight = np.exp2(-owners.age.data / np.float32(half_life)).astype(np.float32)
    return sparse.csr_matrix((weight, owners.age.indices, owners.age.indptr), shape=owners.age.shape)


#: Columns of the ranker's input, in order.
FEATURES = ("model_score", "recency", "popularity", "diversity")
#: Diversity where nothing is placed to compare with, and of places beyond the greedy ones (C50).
NEUTRAL_DIVERSITY = 0.5


def recency(created_at: NDArray[np.int64], as_of_us: int, days: float) -> NDArray[np.float32]:
    """exp(-age / days), (n,) float32 in 0..1: 1.0 new, 0.37 after `days`, 0.14 after twice that (C46, C47).

    created_at: (n,) int64 microseconds; UNKNOWN_TIME gives 0. An edit does not make an item new again (R21).
    """
    age_days = np.maximum(as_of_us - np.maximum(created_at, 0), 0) / DAY_US
    return np.where(created_at == UNKNOWN_TIME, 0.0, np.exp(-age_days / days)).astype(np.float32)


def popularity(views: NDArray[Any], interactions: NDArray[np.integer[Any]], maximum: float) -> NDArray[np.float32]:
    """log(views + 3 x interactions + 1) / log(maximum), clipped, (n,) float32 in 0..1 (C49).

    maximum: the largest views + 3 x interactions + 1 of the items at the cutoff, stored with the model (R05); where it
    is 1 nothing has happened yet and everything is 0.
    """
    if maximum <= 1:
        return np.zeros(len(views), np.float32)
    return np.asarray(np.clip(np.log(views + 3.0 * interactions + 1) / np.log(maximum), 0, 1), np.float32)


def overlap(
    facets: Mapping[str, NDArray[np.int64]], left: NDArray[np.int64], right: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Similarity in 0..1 of items `left` and `right` (positions, broadcast): the share of the facets that count for
    diversity which both have and share (C51)."""
    shared = np.zeros(np.broadcast_shapes(left.shape, right.shape), np.float32)
    for name in DIVERSITY_FACETS:
        a, b = facets[name][left], facets[name][right]
        shared += (a == b) & (a >= 0)
    return shared / np.float32(len(DIVERSITY_FACETS))


def static_features(
    model_score: NDArray[np.float32], item_recency: NDArray[np.float32], item_popularity: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(n, len(FEATURES)) float32 with neutral diversity, which depends on what is already placed."""
    neutral = np.full(len(model_score), NEUTRAL_DIVERSITY, np.float32)
    return np.stack([model_score, item_recency, item_popularity, neutral], axis=1).astype(np.float32)
