"""The ranker's features against numbers computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.data.entities import UNKNOWN_TIME
from models.data.interactions import DAY_US
from models.features.mlp_features import overlap, popularity, recency

NOW = 20_000 * DAY_US


def test_recency_at_the_seeds_checkpoints() -> None:
    """C46, C47: 1.0 new, 0.37 after 30 days, 0.14 after 60."""
    created = np.array([NOW, NOW - 30 * DAY_US, NOW - 60 * DAY_US])

    assert recency(created, NOW, 30.0) == pytest.approx([1.0, 0.3679, 0.1353], abs=1e-4)


def test_recency_of_the_future_and_of_the_unknown() -> None:
    found = recency(np.array([NOW + 5 * DAY_US, UNKNOWN_TIME, 0]), NOW, 30.0)

    assert found.tolist() == [1.0, 0.0, 0.0]


def test_popularity_by_hand() -> None:
    """C49: log(10 + 3 x 5 + 1) / log(101)."""
    found = popularity(np.array([10, 100, 0]), np.array([5, 0, 0]), 101.0)

    assert found == pytest.approx([math.log(26) / math.log(101), 1.0, 0.0])


def test_popularity_stays_in_0_to_1_whatever_the_maximum() -> None:
    """R05: a maximum of 1 does not divide by zero, one from the past is clipped."""
    assert popularity(np.array([0, 7]), np.array([0, 0]), 1.0).tolist() == [0.0, 0.0]
    assert popularity(np.array([1000]), np.array([0]), 10.0).tolist() == [1.0]


def test_a_third_of_similarity_for_each_shared_facet() -> None:
    """C51; a blank shares nothing with a blank."""
    facets = {"category": np.array([1, 1, 1, -1]), "field": np.array([2, 2, 0, -1]), "type": np.array([3, 0, 0, -1])}

    assert overlap(facets, np.array([0]), np.array([1, 2, 3])) == pytest.approx([2 / 3, 1 / 3, 0])
    assert overlap(facets, np.array([3]), np.array([3])).tolist() == [0]
