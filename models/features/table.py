"""The columns of the learned ranker, by one function for training and serving (A31, R03).

To add a feature (A29, docs/models/ranker.md), yield its name and column in `columns`; the next build trains with it. A
stored ranker keeps the names of its training and requests only these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.content import CONTENT_BASED
from models.data.batch import Candidates, Owners
from models.data.bundle import Bundle
from models.data.entities import Entities
from models.data.interactions import EventTime
from models.errors import BundleCorrupt
from models.features.affinity import FacetAffinity, affinities
from models.features.item_facts import NEVER
from models.features.location import LocationMatch
from models.item_neighbours import ITEM_NEIGHBOURS
from models.scoring.scale import log_rank
from models.scoring.scorer import Scorer
from models.spec import Source


@dataclass(frozen=True, eq=False)
class RankerInputs:
    """Facts of every catalogue row and of the surface's owners, from the bundle "activity_v1".

    facts: (f, m) in the order of `fact_names`. demand: (m,) expected new partners. recent: (m,) recent events. facets,
    places: match of owner and item.
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
        """Raises BundleCorrupt if the bundle belongs to another catalogue."""
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
    """(b,) age of each owner's last event in the catalogue, NEVER without one."""
    if owners.age is None:
        return np.full(len(owners), NEVER, np.float32)
    found = np.full(len(owners), NEVER, np.float32)
    some = np.flatnonzero(np.diff(owners.age.indptr))
    if len(some):
        found[some] = np.minimum.reduceat(owners.age.data, owners.age.indptr[some])
    return found


#: Half-lives of the decayed histories for the neighbours, in shares of all events.
FADING = (0.02, 0.1)


def table(
    evidence: RankerInputs,
    scorers: Mapping[Source, Scorer],
    owners: Owners,
    candidates: Candidates,
    names: Sequence[str] | None = None,
) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Names (f,) and features (nnz, f), finite, each column contiguous.

    names: columns that a stored ranker requests, in order. Raises BundleCorrupt for an unknown name.
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
    """Every feature by name, (nnz,) of the candidates. owners: the same batch."""
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
    """Score (0 without one) and log rank by each source; the number of sources that proposed the candidate."""
    for source, score in candidates.scores.items():
        yield f"score_{source}", np.nan_to_num(score)
        yield f"rank_{source}", log_rank(score, candidates.indptr)
    yield "proposed_by", np.bitwise_count(candidates.proposed)


def _with_demand(evidence: RankerInputs, candidates: Candidates) -> Iterator[tuple[str, NDArray[Any]]]:
    """Expected demand of the item, and the scores of content and neighbours multiplied by it."""
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
    """The neighbours' score of histories that decay, which shows recent interests."""
    neighbours = scorers.get(ITEM_NEIGHBOURS)
    if neighbours is None:
        return
    for half_life in FADING:
        score = neighbours.score(replace(owners, history=faded(owners, half_life)), candidates)
        yield f"score_{ITEM_NEIGHBOURS}_{half_life}", np.log1p(100 * np.maximum(np.nan_to_num(score), 0))


def faded(owners: Owners, half_life: float) -> sparse.csr_matrix:
    """(b, items): 1 for a pair now, 0.5 after `half_life` of all events."""
    if owners.age is None:
        return sparse.csr_matrix(owners.history.shape, dtype=np.float32)
    weight = np.exp2(-owners.age.data / np.float32(half_life)).astype(np.float32)
    return sparse.csr_matrix((weight, owners.age.indices, owners.age.indptr), shape=owners.age.shape)
