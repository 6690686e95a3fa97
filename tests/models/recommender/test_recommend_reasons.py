"""Favourites and reason bits, by hand and both ways of summing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from models.recommender import recommend as reasons
from models.recommender.recommend import favourites, reason_bits
from models.schema import FACETS, REASONS

#: Codes of four items; blank is -1. Every other facet is blank throughout.
CATEGORY = np.array([2, 1, 1, -1], np.int32)
BLANK = np.full(4, -1, np.int32)
_MET = [[2, 1, 1, 9], [3, 1, 1, 0], [-1, 1, 0, 0], [0, 0, 0, 5], [-1, 0, 0, 0]]
HISTORY = sparse.csr_matrix(np.array(_MET, np.float32))


def facets() -> dict[str, np.ndarray]:
    return dict.fromkeys(FACETS, BLANK) | {"category": CATEGORY}


@pytest.mark.parametrize("cells", [reasons._CELLS, 0])
def test_the_code_of_most_weight(monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    """A tie goes to the lower code; blanks and dislikes count for nothing."""
    monkeypatch.setattr(reasons, "_CELLS", cells)
    found = favourites(facets(), HISTORY)
    assert found["category"].tolist() == [1, 2, 1, -1, -1]
    assert found["field"].tolist() == [-1] * 5


def test_bits() -> None:
    at, item = np.array([0, 1, 3, 0]), np.array([1, 1, 3, 3])
    recency, popularity = np.array([0.5, 0.4, 0, 0]), np.array([0, 0.9, 0.8, 0])
    got = reason_bits(facets(), recency, popularity, favourites(facets(), HISTORY), at, item)
    names = [{name for name, code in REASONS.items() if bits >> code & 1} for bits in got.tolist()]
    assert names == [{"category", "new"}, {"popular"}, {"popular"}, set()]
