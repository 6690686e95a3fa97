"""What the platform promises about its rows, and what becomes of a row that breaks a promise (design: nothing is dropped in silence)."""

from __future__ import annotations

import numpy as np


def in_order(user: np.ndarray, startup: np.ndarray, at: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """(n,) the order of a snapshot: by user, startup, time, kind."""
    return np.lexsort((kind, at, (user.astype(np.int64) << 32) | startup))


def repeated(user: np.ndarray, startup: np.ndarray, at: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """(n,) bool of rows in order: the same user, startup, type and time as the row before it."""
    mask = np.zeros(len(user), bool)
    mask[1:] = (user[1:] == user[:-1]) & (startup[1:] == startup[:-1]) & (at[1:] == at[:-1]) & (kind[1:] == kind[:-1])
    return mask
