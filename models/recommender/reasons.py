"""What speaks for an item besides the sources that proposed it: shared facets, newness, popularity (A21)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import sparse

from models.nouns.candidates import MASK
from models.nouns.entities import FACETS
from models.nouns.ranked_lists import REASONS

_BIT = {name: MASK(1 << i) for i, name in enumerate(REASONS)}
#: An item is called new or popular from here on.
NEW_RECENCY, POPULAR_AT = 0.5, 0.8
#: Cells of owners x codes up to which weights are summed in a rectangle, 8 MiB.
_CELLS = 1 << 20


def reason_bits(
    facets: Mapping[str, np.ndarray],
    recency: np.ndarray,
    popularity: np.ndarray,
    favourite: Mapping[str, np.ndarray],
    at: np.ndarray,
    item: np.ndarray,
) -> np.ndarray:
    """(n,) uint16 bits by REASONS of n places: facets shared with most of the owner's history, new, popular.

    facets: codes by name over the catalogue. recency, popularity: (n,) in 0..1 of the items themselves.
    favourite: see `favourites`. at: (n,) owner of each place. item: (n,) catalogue positions.
    """
    bits = (recency >= NEW_RECENCY) * _BIT["new"] | (popularity >= POPULAR_AT) * _BIT["popular"]
    for name, codes in favourite.items():
        code = facets[name][item]
        bits |= ((code == codes[at]) & (code >= 0)) * _BIT[name]
    return np.asarray(bits, MASK)


def favourites(facets: Mapping[str, np.ndarray], history: sparse.csr_matrix) -> dict[str, np.ndarray]:
    """By facet the (b,) code with the most weight in each history, -1 without one: what facet reasons refer to."""
    met = history.tocoo()
    liked = met.data > 0
    row, item, weight = met.row[liked], met.col[liked], met.data[liked]
    found = {}
    for name in FACETS:
        code = facets[name][item]
        known = code >= 0
        found[name] = _heaviest(history.shape[0], row[known], code[known], weight[known])
    return found


def _heaviest(size: int, row: np.ndarray, code: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(size,) int32 the code with the largest summed weight of each row, the lowest of equals, -1 for empty rows."""
    width = int(code.max(initial=-1)) + 1
    pair = row.astype(np.int64) * width + code
    if 0 < size * width <= _CELLS:  # weights are positive: a sum of 0 means there is none
        total = np.bincount(pair, weights=weight, minlength=size * width).reshape(size, width)
        return np.where(total.any(axis=1), total.argmax(axis=1), -1).astype(np.int32)
    best = np.full(size, -1, np.int32)
    if len(row):
        pair, inverse = np.unique(pair, return_inverse=True)
        total = np.bincount(inverse, weights=weight)
        order = np.lexsort((pair, -total, pair // width))
        first = order[np.append(True, np.diff(pair[order] // width) > 0)]
        best[pair[first] // width] = pair[first] % width
    return best
