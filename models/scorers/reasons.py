"""What speaks for an item besides the sources that proposed it: shared facets, newness, popularity (A21)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import sparse

from models.nouns.entities import FACETS
from models.nouns.ranked_lists import REASONS

_BIT = {name: 1 << i for i, name in enumerate(REASONS)}
#: An item is called new or popular from here on.
NEW_RECENCY, POPULAR_AT = 0.5, 0.8


def reason_bits(facets: Mapping[str, np.ndarray], recency: np.ndarray, popularity: np.ndarray, history: sparse.csr_matrix,
                at: np.ndarray, item: np.ndarray) -> np.ndarray:
    """(n,) uint8 bits by REASONS of n places: facets shared with most of the owner's history, new, popular.

    facets: codes by name over the catalogue. recency, popularity: (n,) in 0..1 of the items themselves.
    history: (b, m) weights. at: (n,) row of `history` that each place belongs to. item: (n,) catalogue positions.
    """
    bits = np.where(recency >= NEW_RECENCY, _BIT["new"], 0) | np.where(popularity >= POPULAR_AT, _BIT["popular"], 0)
    for name, favourite in favourites(facets, history).items():
        code = facets[name][item]
        bits |= np.where((code >= 0) & (code == favourite[at]), _BIT[name], 0)
    return bits.astype(np.uint8)


def favourites(facets: Mapping[str, np.ndarray], history: sparse.csr_matrix) -> dict[str, np.ndarray]:
    """By facet the (b,) code with the most weight in each history, -1 without one: what facet reasons refer to."""
    liked = history.maximum(0).tocoo()
    found = {}
    for name in FACETS:
        code = facets[name][liked.col]
        known = code >= 0
        found[name] = _heaviest(history.shape[0], liked.row[known], code[known], liked.data[known])
    return found


def _heaviest(size: int, row: np.ndarray, code: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(size,) int32 the code with the largest summed weight of each row, the lowest of equals, -1 for empty rows."""
    best = np.full(size, -1, np.int32)
    if len(row):
        width = int(code.max()) + 1
        pair, inverse = np.unique(row.astype(np.int64) * width + code, return_inverse=True)
        total = np.bincount(inverse, weights=weight)
        order = np.lexsort((pair, -total, pair // width))
        first = order[np.append(True, np.diff(pair[order] // width) > 0)]
        best[pair[first] // width] = pair[first] % width
    return best
