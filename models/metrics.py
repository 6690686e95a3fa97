"""What a set of lists is worth: accuracy, reach and spread, per owner and as a whole (C54, C58).

Lists come ragged (indptr, item); the truth is a csr of owners x items. At K places: precision = hits / K (short lists
are not padded with luck), recall = hits / relevant, NDCG is binary with log2 discount and the ideal of
min(K, relevant), average precision is over min(K, relevant). Every mean over owners is a plain mean.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import sparse

from models.errors import DataError

K = 10
#: Resampled means are drawn in blocks of about this many owner draws: memory stays flat however many owners there are.
_DRAWS = 4_000_000


def places(indptr: np.ndarray, item: np.ndarray, k: int = K) -> np.ndarray:
    """(b, k) int64 items of the first k places of each ragged list, -1 behind the end of a short one."""
    length = np.minimum(np.diff(indptr), k)
    here = np.arange(k)[None, :] < length[:, None]
    shown = np.full(here.shape, -1, np.int64)
    shown[here] = item[(indptr[:-1, None] + np.arange(k))[here]]
    return shown


def hits_of(shown: np.ndarray, truth: sparse.csr_matrix) -> np.ndarray:
    """(b, k) bool: the place holds a relevant item.

    shown: (b, k) items as `places` gives them; a repeated item counts at its first place only. truth: (b, items),
    whose stored cells are the relevant pairs.
    """
    if shown.shape[0] != truth.shape[0]:
        raise DataError(f"expected a list an owner, got {shown.shape[0]} lists and a truth of {truth.shape[0]} owners")
    stride = truth.shape[1]
    owner = np.repeat(np.arange(truth.shape[0], dtype=np.int64), np.diff(truth.indptr))
    keys = np.sort(owner * stride + truth.indices)
    wanted = np.arange(shown.shape[0], dtype=np.int64)[:, None] * stride + shown
    return np.asarray((shown >= 0) & ~_repeated(shown) & _contains(keys, wanted))


def at_k(hits: np.ndarray, relevant: np.ndarray, k: int = K) -> dict[str, np.ndarray]:
    """Precision, recall, NDCG and average precision, each (b,) float64 in 0..1.

    hits: (b, k) bool in list order. relevant: (b,) how many items each owner has in the truth; 0 gives 0.
    """
    hits = np.asarray(hits[:, :k], dtype=float)
    relevant = np.maximum(np.asarray(relevant, dtype=float), 1)
    best = np.minimum(relevant, k).astype(int)
    discount = 1 / np.log2(np.arange(2, k + 2))[: hits.shape[1]]
    ideal = np.cumsum(1 / np.log2(np.arange(2, k + 2)))
    precision_here = np.cumsum(hits, 1) / np.arange(1, hits.shape[1] + 1)
    return {"precision": hits.sum(1) / k, "recall": hits.sum(1) / relevant,
            "ndcg": (hits * discount).sum(1) / ideal[best - 1], "map": (precision_here * hits).sum(1) / best}


def per_owner(shown: np.ndarray, truth: sparse.csr_matrix, rank: np.ndarray,
              category: np.ndarray, k: int = K) -> dict[str, np.ndarray]:
    """Every metric that has a value per owner: those of `at_k`, "popularity_rank" and "diversity" (NaN: undefined)."""
    return {**at_k(hits_of(shown, truth), np.diff(truth.indptr), k),
            "popularity_rank": mean_rank(shown, rank), "diversity": diversity(shown, category)}


def coverage(shown: np.ndarray, items: int) -> float:
    """Share of a catalogue of `items` that stands in any list."""
    return len(np.unique(shown[shown >= 0])) / max(items, 1)


def popularity_rank(popularity: np.ndarray) -> np.ndarray:
    """(items,) float64 in 0..100: 0 the most popular, 100 the least; equals share their mean rank."""
    _, inverse, count = np.unique(-np.asarray(popularity, float), return_inverse=True, return_counts=True)
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    mean = first + (count - 1) / 2
    return np.asarray(mean[inverse] / max(len(popularity) - 1, 1) * 100)


def mean_rank(shown: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """(b,) mean `popularity_rank` of what each list shows: the higher, the more novel. NaN for an empty list."""
    there = shown >= 0
    total = np.where(there, rank[np.maximum(shown, 0)] if len(rank) else 0.0, 0.0).sum(1)
    return _ratio(total, there.sum(1))


def diversity(shown: np.ndarray, category: np.ndarray) -> np.ndarray:
    """(b,) intra-list diversity: 1 - share of a list's pairs that have the same category (C58).

    category: (items,) codes, -1 blank; blank items are left out. NaN where fewer than two remain.
    """
    if not len(category):
        return np.full(len(shown), np.nan)
    code = np.where(shown >= 0, category[np.maximum(shown, 0)], -1)
    same, pairs = np.zeros(len(code)), np.zeros(len(code))
    for place in range(1, code.shape[1]):
        both = (code[:, :place] >= 0) & (code[:, place] >= 0)[:, None]
        pairs += both.sum(1)
        same += (both & (code[:, :place] == code[:, place][:, None])).sum(1)
    return 1 - _ratio(same, pairs)


def gini(exposure: np.ndarray) -> float:
    """Inequality of how often each item is shown: 0 all alike, near 1 one item takes everything. NaN if none is shown.

    exposure: (items,) counts over the whole catalogue, zeros included.
    """
    x = np.sort(np.asarray(exposure, float))
    if not x.sum():
        return float("nan")
    n = len(x)
    return float((2 * np.arange(1, n + 1) - n - 1) @ x / (n * x.sum()))


def exposure(shown: np.ndarray, items: int) -> np.ndarray:
    """(items,) int64: in how many places each item stands."""
    return np.bincount(shown[shown >= 0].ravel(), minlength=items)


def bootstrap(values: np.ndarray, times: int = 1000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """95% interval of the mean over owners, by resampling owners: (low, high), each (columns,).

    values: (owners,) or (owners, columns). All columns see the same resamples, so columns of one call are paired.
    NaN where there are fewer than two owners.
    """
    table = np.asarray(values, float).reshape(len(values), -1)
    n = len(table)
    if n < 2:
        return np.full(table.shape[1], np.nan), np.full(table.shape[1], np.nan)
    rng = np.random.default_rng(seed)
    block = max(1, _DRAWS // n)
    means = [_resampled(table, rng.integers(0, n, (min(block, times - at), n))) for at in range(0, times, block)]
    low, high = np.quantile(np.concatenate(means), (0.025, 0.975), axis=0)
    return low, high


def paired_difference(values: np.ndarray, other: np.ndarray, times: int = 1000, seed: int = 0) -> dict[str, float]:
    """Mean of values - other over the same owners, with its 95% interval: {"mean", "low", "high"}."""
    difference = np.asarray(values, float) - np.asarray(other, float)
    low, high = bootstrap(difference, times, seed)
    mean = float(difference.mean()) if len(difference) else float("nan")
    return {"mean": mean, "low": float(low[0]), "high": float(high[0])}


def summary(metrics: Mapping[str, np.ndarray], times: int = 1000, seed: int = 0) -> dict[str, dict[str, float]]:
    """By metric: {"mean", "low", "high"} over the owners where it is defined (NaN is left out)."""
    full = [name for name, column in metrics.items() if not np.isnan(column).any()]
    intervals = {}
    if full:
        low, high = bootstrap(np.column_stack([metrics[name] for name in full]), times, seed)
        intervals = {name: (low[i], high[i]) for i, name in enumerate(full)}
    return {name: _entry(column, intervals.get(name), times, seed) for name, column in metrics.items()}


def _entry(column: np.ndarray, interval: tuple[float, float] | None, times: int, seed: int) -> dict[str, float]:
    defined = column[~np.isnan(column)]
    if interval is None:
        low, high = bootstrap(defined, times, seed)
        interval = (low[0], high[0])
    mean = float(defined.mean()) if len(defined) else float("nan")
    return {"mean": mean, "low": float(interval[0]), "high": float(interval[1])}


def _resampled(table: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """(rows of draws, columns) means of the drawn owners: how often each was drawn, times the values."""
    rows, n = draws.shape
    flat = np.bincount((draws + np.arange(rows)[:, None] * n).ravel(), minlength=rows * n)
    return np.asarray(flat.reshape(rows, n) @ table / n)


def _repeated(shown: np.ndarray) -> np.ndarray:
    """(b, k) bool: the item already stood at an earlier place of its list."""
    again = np.zeros(shown.shape, bool)
    for place in range(1, shown.shape[1]):
        again[:, place] = (shown[:, :place] == shown[:, place][:, None]).any(1)
    return again


def _contains(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Which of `wanted` stand in the ascending `keys`."""
    if not len(keys):
        return np.zeros(wanted.shape, bool)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.asarray(keys[place] == wanted)


def _ratio(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """total / count, NaN where count is 0."""
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
