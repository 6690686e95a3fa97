"""Overlap and rank-biased overlap against numbers by hand and against the definition, written out list by list."""

from __future__ import annotations

import numpy as np
import pytest

from models.metrics import overlap, rank_biased_overlap


def rows(*lists: str, k: int = 5) -> np.ndarray:
    return np.array([[ord(c) - 97 for c in one] + [-1] * (k - len(one)) for one in lists])


@pytest.mark.parametrize(
    ("mine", "theirs", "shared"),
    [
        ("abcde", "abcde", 1.0),
        ("abcde", "edcba", 1.0),
        ("abcde", "fghij", 0.0),
        ("abcde", "abxyz", 0.4),
        ("ab", "abcd", 0.5),
        ("", "", 1.0),
        ("", "abc", 0.0),
    ],
)
def test_overlap_by_hand(mine: str, theirs: str, shared: float) -> None:
    assert overlap(rows(mine), rows(theirs)) == pytest.approx([shared])


@pytest.mark.parametrize(
    ("mine", "theirs", "found"),
    [
        ("abc", "abc", 1.0),
        ("abc", "xyz", 0.0),
        ("", "", 1.0),
        ("", "abc", 0.0),
        # agreement 0, 1, 1: (0.1 / 0.9) (0 + 0.81 + 0.729) + 0.729
        ("abc", "bac", 0.9),
        # agreement 1, 1/2, 2/3: (0.1 / 0.9) (0.9 + 0.5 * 0.81 + 2/3 * 0.729) + 2/3 * 0.729
        ("abc", "axb", 0.1 / 0.9 * (0.9 + 0.405 + 0.486) + 0.486),
        # lengths 1 and 2, nothing new at depth 2 but assumed to go on as before: it is 1
        ("a", "ab", 0.1 / 0.9 * (0.9 + 0.5 * 0.81 + 1 * 1 / (1 * 2) * 0.81) + 1 * 0.81),
        # lengths 1 and 3: X = 0, 1, 1 against s = 1: (0.1 / 0.9) (0 + 0.5 * 0.81 + 0.729 / 3) + (1 / 3) 0.729
        ("a", "bac", 0.1 / 0.9 * (0.405 + 0.243) + 0.243),
    ],
)
def test_rank_biased_overlap_by_hand(mine: str, theirs: str, found: float) -> None:
    assert rank_biased_overlap(rows(mine), rows(theirs)) == pytest.approx([found])
    assert rank_biased_overlap(rows(theirs), rows(mine)) == pytest.approx([found])


def by_the_book(mine: list[int], theirs: list[int], p: float) -> float:
    """Equation 32, list by list."""
    short, long = sorted((mine, theirs), key=len)
    s, n = len(short), len(long)
    x = [len(set(short[:d]) & set(long[:d])) for d in range(n + 1)]
    first = sum(x[d] / d * p**d for d in range(1, n + 1))
    second = sum(x[s] * (d - s) / (s * d) * p**d for d in range(s + 1, n + 1))
    return (1 - p) / p * (first + second) + ((x[n] - x[s]) / n + x[s] / s) * p**n


def test_many_rankings_at_once_are_each_by_the_book() -> None:
    rng = np.random.default_rng(3)
    pairs = [[rng.permutation(40)[: rng.integers(1, 30)].tolist() for _ in range(2)] for _ in range(200)]
    mine, theirs = (np.array([p[i] + [-1] * (30 - len(p[i])) for p in pairs]) for i in (0, 1))
    assert rank_biased_overlap(mine, theirs) == pytest.approx([by_the_book(a, b, 0.9) for a, b in pairs])
    assert overlap(mine, theirs) == pytest.approx([len(set(a) & set(b)) / max(len(a), len(b)) for a, b in pairs])
