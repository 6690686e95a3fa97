"""A cap on exposure: the number of top tens of a batch that one item may be in, decided jointly.

Every owner requests its best ten items. An item requested too often keeps the owners who score it highest. The others
request their next candidates, until no request is refused (deferred acceptance, Gale and Shapley 1962). Where a list
ends before ten items accept, the best that refused stay.
Owners without events keep their lists, and these do not count: nothing is known that could replace what is popular.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.lists.ranked_lists import RankedLists
from models.metrics.accuracy import K
from models.metrics.list_metrics import coverage, gini

#: Lists reordered at a time.
_ROWS = 65536


def caps_of(
    multiple: float, lists: RankedLists, catalogue: NDArray[np.integer[Any]], events: NDArray[np.integer[Any]]
) -> NDArray[np.int64]:
    """Return (rows,) most top tens of each item: `multiple` times its fair share of all places, rounded up.

    The fair share is the mean of the item's share of the catalogue's events and an equal share.
    catalogue: (m,) item rows; others have no cap. events: (rows,) events before the cutoff.
    """
    places = int(np.minimum(np.diff(lists.indptr), K)[lists.count > 0].sum())
    most = np.full(len(events), places, np.int64)
    if len(catalogue):
        count = events[catalogue].astype(np.float64)
        equal = 1 / len(catalogue)
        share = (count / count.sum() + equal) / 2 if count.any() else equal
        most[catalogue] = np.maximum(1, np.ceil(multiple * places * share - 1e-9))
    return most


def apply_cap(lists: RankedLists, most: NDArray[np.int64]) -> RankedLists:
    """Put each item in at most `most` (rows,) top tens of owners with events, where possible.

    Lists keep their items, their length, and the order within the top ten and after it. Items that leave the top ten
    follow it directly, with at most the tenth score, so that scores never rise along a list. The order of the lists
    makes no difference.
    """
    known = np.flatnonzero(lists.count > 0)
    known = known[np.argsort(lists.owner[known], kind="stable")]
    length = np.diff(lists.indptr)
    held = _accepted(lists, lists.indptr[known], length[known], most)
    changed = (held != np.where(np.arange(K) < length[known, None], np.arange(K), -1)).any(1)
    columns = {name: getattr(lists, name).copy() for name in ("item", "score", "source", "reason")}
    for rows in np.array_split(np.flatnonzero(changed), 1 + changed.sum() // _ROWS):
        _reorder(lists, columns, known[rows], held[rows])
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
    """Return the number of top-ten positions above a cap of `most` (rows,) by item, of owners with events."""
    counted = _top(lists) & np.repeat(lists.count > 0, np.diff(lists.indptr))
    return int(np.maximum(np.bincount(lists.item[counted], minlength=len(most)) - most, 0).sum())


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


def _accepted(
    lists: RankedLists, start: NDArray[np.int64], length: NDArray[np.int64], most: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return (b, K) positions of the items that accept each owner, -1 where its candidates ended.

    start, length: (b,) of the owners' lists. Of equal scores, items prefer the earlier owner.
    """
    held = np.where(np.arange(K) < length[:, None], np.arange(K), -1)
    requested = np.minimum(length, K)
    while True:
        row, slot = np.nonzero(held >= 0)
        place = start[row] + held[row, slot]
        item = lists.item[place]
        crowded = np.flatnonzero((np.bincount(item, minlength=len(most)) > most)[item])
        if not len(crowded):
            return held
        crowded = crowded[np.lexsort((row[crowded], -lists.score[place[crowded]], item[crowded]))]
        wanted = item[crowded]
        refused = np.sort(crowded[np.arange(len(wanted)) - np.searchsorted(wanted, wanted) >= most[wanted]])
        row, slot = row[refused], slot[refused]
        follows = requested[row] + np.arange(len(row)) - np.searchsorted(row, row)
        held[row, slot] = np.where(follows < length[row], follows, -1)
        requested = np.minimum(requested + np.bincount(row, minlength=len(requested)), length)


def _reorder(
    lists: RankedLists, columns: Mapping[str, NDArray[Any]], rows: NDArray[np.int64], held: NDArray[np.int64]
) -> None:
    """Write these lists to `columns`, with the held positions first. held: (rows, K), -1 for none."""
    length = np.diff(lists.indptr)[rows]
    there = np.arange(int(length.max(initial=0))) < length[:, None]
    first = np.zeros(there.shape, bool)
    row, slot = np.nonzero(held >= 0)
    first[row, held[row, slot]] = True
    missing = np.minimum(length, K) - first.sum(1)
    free = there & ~first
    first |= free & (np.cumsum(free, axis=1) <= missing[:, None])
    cell = lists.indptr[rows, None] + np.arange(there.shape[1])
    source = np.take_along_axis(cell, np.argsort(~first, axis=1, kind="stable"), 1)  # the end of a list stays there
    source[~there] = 0
    score = np.minimum.accumulate(np.where(there, lists.score[source], 1), axis=1)
    for name, column in columns.items():
        column[cell[there]] = score[there] if name == "score" else getattr(lists, name)[source[there]]
