"""Evaluate similar lists: is the next new item of an owner among those similar to the one before it?

A query is a new item of an owner and the new item that they met before it; the answer came after the validation split.
HR@k is the share of queries whose answer is among the k most similar items. Nothing is removed from the lists, because
a similar list does not know who looks at it. Queries of one owner are correlated: the intervals are a little narrow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import metrics
from models.data.bundle import Bundle
from models.data.interactions import EVENT_WEIGHTS, Interactions
from models.list_version import SIMILAR_BUNDLES
from models.metrics.accuracy import places
from models.recommender.similar import SimilarRecommender, open_similar
from models.schema import Entity, Role, Similar
from models.settings.settings import Settings
from pipelines.report.figure_names import POPULAR, SERVED
from pipelines.score.shards import similar_lists

#: Places of a list that are looked at, and most queries of a kind; more are thinned evenly.
DEPTH, QUERIES = 20, 20_000
#: Names of the lists by one of the two parts.
PARTNERS, CONTENT = "common partners", "content"


@dataclass(frozen=True, eq=False)
class Queries:
    """What is asked of one kind of list. name: plural of what is listed.

    item, answer: (q,) int32 entity rows. events: before the cut, those of other roles left out, items as columns.
    pool: (n,) bool, the entities that may be listed.
    """

    name: str
    kind: Similar
    item: NDArray[np.int32]
    answer: NDArray[np.int32]
    events: Interactions
    pool: NDArray[np.bool_]

    @property
    def demand(self) -> NDArray[np.int64]:
        """Return (n,) int64 the number of owners with a positive pair before the cut."""
        return np.asarray((self.events.csr(damping="binary") > 0).sum(axis=0)).ravel().astype(np.int64) * self.pool

    def hits(self, lists: NDArray[np.int64], k: int) -> NDArray[np.float64]:
        """Return (q,) 1 if the answer is among the first k. lists: (n, DEPTH) rows by item, -1 after the end."""
        return np.asarray((lists[self.item, :k] == self.answer[:, None]).any(axis=1), np.float64)

    def lists_of(self, bundles: Mapping[str, Bundle], settings: Settings, without: int | None = None) -> NDArray[Any]:
        """Return (n, DEPTH) the lists of the asked items, as a release would hold them.

        without: place in SIMILAR_BUNDLES of a bundle to leave out.
        """
        out = None if without is None else SIMILAR_BUNDLES[self.kind][without]
        recipe: SimilarRecommender = open_similar(self.kind, {n: b for n, b in bundles.items() if n != out}, settings)
        rows = np.unique(self.item).astype(np.int32)
        found = similar_lists(recipe, rows, settings.threads)
        lists = np.full((len(self.pool), DEPTH), -1, np.int64)
        lists[found.owner] = places(found.indptr, found.item, DEPTH)
        return lists


def queries(
    events: Interactions, cut_us: int, role: NDArray[np.int8], listed: Mapping[Entity, NDArray[np.bool_]]
) -> Iterator[Queries]:
    """Yield the queries of startups, of developers and of investors.

    events: before and after the cut, users x startups. role: (users,) codes. listed: by kind, who may be in lists.
    """
    startups = listed[Entity.STARTUP]
    yield _queries("startups", Similar.STARTUPS, events, cut_us, startups)
    for one in Role:
        mine = role == one.code
        theirs = events.where(mine[events.owner]).transposed()
        yield _queries(f"{one}s", Similar.USERS, theirs, cut_us, mine & listed[Entity.USER])


def _queries(name: str, kind: Similar, events: Interactions, cut_us: int, pool: NDArray[np.bool_]) -> Queries:
    """Ask for every new item that an owner met from the cut on, by the new item before it."""
    liked = events.where((EVENT_WEIGHTS[events.kind] > 0) & pool[events.item])
    order = np.lexsort((liked.item, liked.at, liked.owner))
    owner, item, at = (column[order] for column in (liked.owner, liked.item, liked.at))
    first = np.unique(owner.astype(np.int64) * max(len(events.items), 1) + item, return_index=True)[1]
    owner, item, at = (column[np.sort(first)] for column in (owner, item, at))
    asked = np.flatnonzero((at >= cut_us) & np.append(False, owner[1:] == owner[:-1])[: len(owner)])
    asked = asked[:: max(1, -(-len(asked) // QUERIES))]
    return Queries(name, kind, item[asked - 1], item[asked], events.before(cut_us), pool)


def similar_figures(
    events: Interactions,
    cut_us: int,
    role: NDArray[np.int8],
    listed: Mapping[Entity, NDArray[np.bool_]],
    bundles: Mapping[str, Bundle],
    settings: Settings,
) -> dict[str, Any]:
    """Return by what is listed {"queries", "items", "new", "lists": {name: {"hr_10", "hr_20"}}}.

    new: share of answers without an event before the cut. Each rate is {"mean", "low", "high"}. Kinds without a query
    are left out. bundles: trained before the cut.
    """
    found = {}
    for asked in queries(events, cut_us, role, listed):
        if not len(asked.item):
            continue
        demand = asked.demand
        popular = np.argsort(-np.where(asked.pool, demand, -1), kind="stable")[:DEPTH]
        lists = {
            SERVED: asked.lists_of(bundles, settings),
            PARTNERS: asked.lists_of(bundles, settings, 1),
            CONTENT: asked.lists_of(bundles, settings, 0),
            POPULAR: np.tile(np.pad(popular, (0, DEPTH - len(popular)), constant_values=-1), (len(asked.pool), 1)),
        }
        found[asked.name] = {
            "queries": len(asked.item),
            "items": int(asked.pool.sum()),
            "new": round(float((demand[asked.answer] == 0).mean()), 4),
            "lists": {name: _rates(asked, shown) for name, shown in lists.items()},
        }
    return found


def _rates(asked: Queries, lists: NDArray[np.int64]) -> dict[str, dict[str, float | None]]:
    found = metrics.summary({f"hr_{k}": asked.hits(lists, k) for k in (10, DEPTH)})
    return {name: {k: None if np.isnan(v) else round(v, 6) for k, v in rate.items()} for name, rate in found.items()}
