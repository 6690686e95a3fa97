"""A cap on exposure: the number of top tens of a batch that one item may be in, decided jointly.

Every owner requests its best ten items. An item requested too often keeps the owners who would lose most score with
their next candidate. The others request their next candidates, until no request is refused (deferred acceptance, Gale
and Shapley 1962, ordered by regret).
An owner whose list ends before ten items are found gets one by exchange. The exchange follows the shortest chain of
owners to an item below its cap (maximum flow, Dinic 1970). So the cap holds wherever the lists allow it. Where they do
not, the best refused items stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import maximum_flow

from models.lists.ranked_lists import RankedLists
from models.metrics.accuracy import K
from models.metrics.list_metrics import coverage, gini


def caps_of(
    multiple: float, lists: RankedLists, catalogue: NDArray[np.integer[Any]], events: NDArray[np.integer[Any]]
) -> NDArray[np.int64]:
    """Return (rows,) most top tens of each item: `multiple` times its fair share of all places, rounded up.

    The fair share is the mean of the item's share of the catalogue's events and an equal share.
    catalogue: (m,) item rows; others have no cap. events: (rows,) events before the cutoff.
    """
    places = int(np.minimum(np.diff(lists.indptr), K).sum())
    most = np.full(len(events), places, np.int64)
    if len(catalogue):
        count = events[catalogue].astype(np.float64)
        equal = 1 / len(catalogue)
        share = (count / count.sum() + equal) / 2 if count.any() else equal
        most[catalogue] = np.maximum(1, np.ceil(multiple * places * share - 1e-9))
    return most


def apply_cap(lists: RankedLists, most: NDArray[np.int64]) -> RankedLists:
    """Put each item in at most `most` (rows,) top tens, where possible.

    Lists keep their items, their length, and the order within the top ten and after it. Items that leave the top ten
    follow it directly, with at most the tenth score, so that scores never rise along a list. The order of the lists
    makes no difference.
    """
    length = np.diff(lists.indptr)
    if not places_above_cap(lists, most):
        return lists
    by_owner = np.argsort(lists.owner, kind="stable")
    there = np.arange(int(length.max())) < length[by_owner, None]
    cell = np.where(there, lists.indptr[by_owner, None] + np.arange(there.shape[1]), 0)
    item = np.where(there, lists.item[cell], -1)
    held, load = _asked(item, np.where(there, lists.score[cell], 0).astype(np.float64), length[by_owner], most)
    held = _exchanged(item, held, np.maximum(most - load, 0), _missing(held, length[by_owner]))
    held |= _best_of(there & ~held, _missing(held, length[by_owner]))
    order = np.argsort(~held, axis=1, kind="stable")  # positions past the end of a list are never held and stay there
    source = np.take_along_axis(cell, order, 1)
    score = np.minimum.accumulate(np.where(there, lists.score[source], 1), axis=1)
    target, source, score = cell[there], source[there], score[there]
    columns = {name: getattr(lists, name).copy() for name in ("item", "score", "source", "reason")}
    for name, column in columns.items():
        column[target] = score if name == "score" else getattr(lists, name)[source]
    return replace(lists, **columns)


def part_of(lists: RankedLists, start: int, stop: int) -> RankedLists:
    """Return lists start..stop-1."""
    return lists.take(np.arange(start, stop))


def exposure_stats(parts: Sequence[RankedLists], catalogue: NDArray[np.integer[Any]]) -> dict[str, float]:
    """Return "coverage", "gini" of exposure, and "most" (largest count of one item) of all top tens.

    parts: at least one batch of lists. catalogue: (m,) item rows, ascending; other items do not count.
    """
    item = np.concatenate([lists.item[_top(lists)] for lists in parts])
    shown = np.searchsorted(catalogue, item[np.isin(item, catalogue)])
    count = np.bincount(shown, minlength=len(catalogue))
    spread = gini(count)
    told = 0.0 if np.isnan(spread) else round(spread, 6)
    return {"coverage": round(coverage(shown, len(catalogue)), 6), "gini": told, "most": int(count.max(initial=0))}


def places_above_cap(lists: RankedLists, most: NDArray[np.int64]) -> int:
    """Return the number of top-ten positions above a cap of `most` (rows,) by item."""
    return int(np.maximum(np.bincount(lists.item[_top(lists)], minlength=len(most)) - most, 0).sum())


def share_moved(lists: RankedLists, before: RankedLists) -> float:
    """Return the share of top-ten positions whose item was not in the top ten before.

    Both have the same owners in the same order.
    """
    owner = np.repeat(np.arange(len(lists), dtype=np.int64), np.diff(lists.indptr))
    key, top = owner * (int(lists.item.max(initial=0)) + 1), _top(lists)
    fresh = ~np.isin((key + lists.item)[top], (key + before.item)[top])
    return round(float(fresh.mean()), 6) if len(fresh) else 0.0


def _top(lists: RankedLists) -> NDArray[np.bool_]:
    return np.asarray(np.arange(len(lists.item)) - np.repeat(lists.indptr[:-1], np.diff(lists.indptr)) < K)


def _missing(held: NDArray[np.bool_], length: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (b,) number of top-ten positions that each list still lacks."""
    return np.asarray(np.minimum(length, K) - held.sum(1))


def _asked(
    item: NDArray[np.int32], score: NDArray[np.float64], length: NDArray[np.int64], most: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return (b, w) bool positions held after all requests, and (items,) owners that hold each item.

    item: (b, w), -1 past the end. score: (b, w). Rows are owners, columns are positions.
    """
    held, load = np.zeros(item.shape, bool), np.zeros(len(most), np.int64)
    asked = np.zeros(len(item), np.int64)
    columns = np.arange(item.shape[1])
    while True:
        more = np.minimum(_missing(held, length), length - asked)
        if not more.any():
            return held, load
        row = np.flatnonzero(more)
        fresh = (columns >= asked[row, None]) & (columns < (asked + more)[row, None])
        held[row] |= fresh
        load += np.bincount(item[row][fresh], minlength=len(load))
        asked += more
        refused = _refused(item, score, length, held, asked, load, most)
        held[refused] = False
        load = np.minimum(load, most)


def _refused(
    item: NDArray[np.int32],
    score: NDArray[np.float64],
    length: NDArray[np.int64],
    held: NDArray[np.bool_],
    asked: NDArray[np.int64],
    load: NDArray[np.int64],
    most: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows and columns that crowded items refuse: least regret first.

    Ties go to the later position, then to the later owner.
    """
    row, column = np.nonzero(held)
    crowded = (load > most)[item[row, column]]
    row, column = row[crowded], column[crowded]
    next_best = score[row, np.minimum(asked, length - 1)[row]]
    regret = np.where((asked < length)[row], score[row, column] - next_best, np.inf)
    order = np.lexsort((row, column, -regret, item[row, column]))
    row, column = row[order], column[order]
    wanted = item[row, column]
    late = np.arange(len(row)) - np.searchsorted(wanted, wanted) >= most[wanted]
    return row[late], column[late]


def _exchanged(
    item: NDArray[np.int32], held: NDArray[np.bool_], room: NDArray[np.int64], missing: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return `held` after exchanges that fill missing positions.

    room: (items,) positions below the cap. missing: (b,).
    """
    if not missing.any() or not room.any():
        return held
    owners, items = len(item), len(room)
    start, end = owners + items, owners + items + 1
    row, column = np.nonzero(item >= 0)
    node, taken = owners + item[row, column], held[row, column]
    lacking, free = np.flatnonzero(missing), np.flatnonzero(room)
    tail = np.concatenate([np.where(taken, node, row), np.full(len(lacking), start), owners + free])
    head = np.concatenate([np.where(taken, row, node), lacking, np.full(len(free), end)])
    width = np.concatenate([np.ones(len(row), np.int64), missing[lacking], room[free]]).astype(np.int32)
    graph = sparse.csr_matrix((width, (tail, head)), shape=(end + 1, end + 1))
    flow = maximum_flow(graph, start, end).flow
    used = np.asarray(flow[tail[: len(row)], head[: len(row)]]).ravel() > 0
    held = held.copy()
    held[row[used], column[used]] = ~taken[used]
    return held


def _best_of(free: NDArray[np.bool_], wanted: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (b, w) bool: the first `wanted` (b,) free positions of each row."""
    return np.asarray(free & (np.cumsum(free, axis=1) <= wanted[:, None]))
