"""Whether a higher score is more often right: bins of a reliability diagram (Niculescu-Mizil and Caruana 2005)."""

from __future__ import annotations

import numpy as np

from models.errors import DataError


def reliability(score: np.ndarray, hit: np.ndarray, bins: int = 10) -> list[dict[str, float | int]]:
    """Up to `bins` bins of about equally many pairs, lowest scores first: {"score": mean, "rate": observed, "count"}.

    score: (n,) finite. hit: (n,) bool, the shown pair came true. Equal scores share a bin. Raises DataError where the
    two differ in length.
    """
    if len(score) != len(hit):
        raise DataError(f"expected a hit a score, got {len(score)} scores and {len(hit)} hits")
    values, place, count = np.unique(np.asarray(score, float), return_inverse=True, return_counts=True)
    if not len(values):
        return []
    middle = np.cumsum(count) - count / 2
    group = np.minimum((middle * bins / len(score)).astype(int), bins - 1)[place]
    found = []
    for i in np.unique(group).tolist():
        mine = group == i
        found.append(
            {
                "score": round(float(np.mean(score[mine])), 6),
                "rate": round(float(np.mean(hit[mine])), 6),
                "count": int(mine.sum()),
            }
        )
    return found
