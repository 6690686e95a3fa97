"""Finds the reasons for each list position while the list is made. So batch and live lists agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.data.batch import Candidates, Owners
from models.lists.reasons import packed, standing_bit
from models.popularity import POPULAR
from models.recommender.surface import SurfaceRecommender
from models.schema import COUNTED_TYPES, FACET_REASONS, PEOPLE_LEAST, REASONS, Entity, Standing
from models.scoring.scorer import CountingScorer, min_max

#: From these values on an item is called new or popular.
NEW_RECENCY, POPULAR_AT = 0.5, 0.8
#: Up to this many cells of owners x codes (4 MiB), positions are looked up in a table.
_CELLS = 1 << 20


def reasons_of(
    recipe: SurfaceRecommender,
    owners: Owners,
    at: NDArray[np.int64],
    item: NDArray[np.int32],
    source: NDArray[np.int64],
) -> NDArray[np.uint32]:
    """Return (n,) uint32 reasons, see models/lists/reasons.py.

    at: (n,) owners, ascending. item: (n,) catalogue positions. source: (n,) code of the source that ranks the item
    highest, see `leading`.
    """
    founders = recipe.surface.item is Entity.USER
    least = PEOPLE_LEAST if founders else 1
    facet, event, number = shared_facets(recipe.facets, owners.kinds, at, item, least)
    people_event, people = np.zeros(len(item), np.int64), np.zeros(len(item), np.int64)
    for scorer in (scorer for of, scorer in recipe.scorers.items() if of.said_counted(recipe.surface.voice)):
        people_event, people = cast(CountingScorer, scorer).counted(owners, at, item)
    standing = (recipe.item_recency[item] >= NEW_RECENCY) * standing_bit(Standing.NEW)
    standing |= (recipe.item_popularity[item] >= POPULAR_AT) * standing_bit(Standing.POPULAR)
    return packed(facet, event, number, people_event, people, source, standing)


def leading(
    candidates: Candidates, places: NDArray[np.int64], ordering: NDArray[np.uint16] | None = None
) -> NDArray[np.int64]:
    """Return (n,) code of the source that ranks each candidate highest, among those that proposed it.

    Scores are scaled to 0..1 over the owner's candidates (`min_max`). The first of equal sources wins. It is `popular`
    if none has a score.
    ordering: (b,) bits of the sources that can order each owner's list; None: all.
    """
    proposed = candidates.proposed[places]
    if ordering is not None:
        proposed = proposed & ordering[candidates.owner[places]]
    best, lead = np.full(len(places), -np.inf, np.float32), np.full(len(places), POPULAR.code)
    for source, column in candidates.scores.items():
        scaled = min_max(column, candidates.indptr, places)
        better = (proposed & source.bit > 0) & (scaled > best)  # false for NaN
        best, lead = np.where(better, scaled, best), np.where(better, source.code, lead)
    return lead


def shared_facets(
    facets: Mapping[str, NDArray[np.int32]],
    kinds: sparse.csr_matrix | None,
    at: NDArray[np.int64],
    item: NDArray[np.int32],
    least: int = 1,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Find the facet value that best links each item to the owner's history.

    Returns (n,) facet code, -1 for none; (n,) the heaviest event type that happened to at least `least` items with that
    value; (n,) the number of these items.
    The strength of a value is k log(k / np), its part of the log-likelihood ratio (Dunning 1993): k of the owner's n
    items and a share p of the catalogue have it. A value that is no more frequent than by chance does not count. Of
    equal facets the last wins: a field is a part of a category.
    facets: codes by name over the catalogue. kinds: see `Owners`. at: (n,) owner. item: (n,) positions.
    """
    facet, event = np.full(len(item), -1), np.zeros(len(item), np.int64)
    number, best = np.zeros(len(item), np.int64), np.zeros(len(item))
    if kinds is None or not kinds.nnz:
        return facet, event, number
    met = kinds.tocoo()
    for name in FACET_REASONS:
        codes = facets[name]
        known = codes[met.col] >= 0
        if not known.any():
            continue
        width, row, code = int(codes.max()) + 1, met.row[known].astype(np.int64), codes[met.col[known]]
        value, inverse, total = np.unique(row * width + code, return_inverse=True, return_counts=True)
        each = np.stack([np.bincount(inverse, met.data[known] >> t.code & 1, len(value)) for t in COUNTED_TYPES])
        enough = each >= least
        first = enough.argmax(axis=0)
        share = np.bincount(codes[codes >= 0], minlength=width) / len(codes)
        expected = np.bincount(row, minlength=kinds.shape[0])[value // width] * share[value % width]
        tie = total * np.log(total / expected)
        mine = codes[item]
        place = _places(value, np.where(mine >= 0, at * width + mine, -1), kinds.shape[0] * width)
        better = (place >= 0) & enough[first[place], place] & (tie[place] > 0) & (tie[place] >= best)
        place = place[better]
        facet[better], best[better] = REASONS[name], tie[place]
        event[better] = np.array([t.code for t in COUNTED_TYPES])[first[place]]
        number[better] = each[first[place], place]
    return facet, event, number


def _places(values: NDArray[np.int64], wanted: NDArray[np.int64], size: int) -> NDArray[np.integer[Any]]:
    """Return (n,) index of each wanted number in the ascending values, -1 if missing or -1 itself.

    size: all numbers are below it.
    """
    if size > _CELLS:
        place = np.minimum(np.searchsorted(values, wanted), len(values) - 1)
        return np.where(values[place] == wanted, place, -1)
    table = np.full(size + 1, -1, np.int32)  # the last cell is that of the number -1
    table[values] = np.arange(len(values))
    return table[wanted]
