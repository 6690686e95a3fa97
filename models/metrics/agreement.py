"""How much two rankings of the same owners agree: the first ten as sets, rank-biased overlap; and two mixes.

Webber, Moffat and Zobel 2010, "A similarity measure for indefinite rankings", ACM TOIS 28(4). Rankings come as (b, k)
items, -1 behind the end of a short one, numbered alike on both sides; an item stands once in a ranking.
"""

from __future__ import annotations

import numpy as np

#: Persistence of rank-biased overlap: the first ten places weigh 86 %.
PERSISTENCE = 0.9


def mix_distance(share: np.ndarray, other: np.ndarray) -> float:
    """Total variation distance of two mixes: the share of owners who would have to change sides, 0..1."""
    return float(np.abs(share - other).sum() / 2)


def overlap(shown: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(b,) share of the longer ranking that stands in both; 1 where both are empty."""
    longer = np.maximum(_length(shown), _length(other))
    return np.where(longer > 0, _agreed(shown, other)[:, -1] / np.maximum(longer, 1), 1.0)


def rank_biased_overlap(shown: np.ndarray, other: np.ndarray, p: float = PERSISTENCE) -> np.ndarray:
    """(b,) RBO extrapolated behind the last place (equation 32, which also takes rankings of unequal length): 0 nothing
    in common, 1 the same ranking."""
    agreed, depth = _agreed(shown, other).astype(float), np.arange(1, shown.shape[1] + 1)
    lengths = np.stack([_length(shown), _length(other)])
    short, long = lengths.min(axis=0)[:, None], lengths.max(axis=0)[:, None]
    at_short, at_long = _at(agreed, short), _at(agreed, long)
    known = np.where(depth <= long, agreed / depth, 0)
    behind = np.where((depth > short) & (depth <= long), at_short * (depth - short) / (np.maximum(short, 1) * depth), 0)
    series = (1 - p) / p * ((known + behind) * p**depth).sum(axis=1)
    rest = ((at_long - at_short) / np.maximum(long, 1) + at_short / np.maximum(short, 1))[:, 0] * p ** long[:, 0]
    return np.where(long[:, 0] > 0, series + rest, 1.0)


def _agreed(shown: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(b, k) int64: how many items the first 1, 2 … k places of both rankings share."""
    owners, k = shown.shape
    stride = int(max(shown.max(initial=0), other.max(initial=0))) + 1
    key, wanted = (np.arange(owners, dtype=np.int64)[:, None] * stride + side for side in (other, shown))
    there = np.flatnonzero(other >= 0)
    order = there[np.argsort(key.ravel()[there])]
    keys = key.ravel()[order]
    place = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
    met = (shown >= 0) & (keys[place] == wanted) if len(keys) else np.zeros(shown.shape, bool)
    owner, mine = np.nonzero(met)
    theirs = order[place[met]] % k
    both = np.bincount(owner * k + np.maximum(mine, theirs), minlength=owners * k)
    return np.asarray(both.reshape(owners, k).cumsum(axis=1))


def _length(shown: np.ndarray) -> np.ndarray:
    return np.asarray((shown >= 0).sum(axis=1))


def _at(agreed: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """(b, 1) the value at a depth, 0 at depth 0."""
    return np.where(depth > 0, np.take_along_axis(agreed, np.maximum(depth - 1, 0), axis=1), 0)
