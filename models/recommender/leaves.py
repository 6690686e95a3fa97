"""Divides many vectors into leaves of close ones, so that comparing all pairs within leaves takes linear time.

A k-d tree (Bentley 1975): each node is halved at the median of the coordinate that varies most.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.scoring.scorer import Rows

#: Most rows of a leaf. With up to that many, all pairs are compared.
LEAF = 32_768
#: Rows that choose a node's coordinate, and rows whose coordinate is read at once.
_SAMPLE, _BLOCK = 8192, 8192


@dataclass(frozen=True, eq=False)
class Leaves:
    """The leaves of some rows.

    rows: of each leaf, ascending. number: (n,) leaf of every row of the array, -1 for rows in none.
    splits: (coordinate, median, left, right) of each inner node, the root first; a child below 0 is the leaf ~child.
    """

    rows: tuple[NDArray[np.int32], ...]
    number: NDArray[np.int32]
    splits: tuple[tuple[int, float, int, int], ...]

    @classmethod
    def of(cls, vectors: Rows, rows: NDArray[np.int32], most: int | None = None) -> Leaves:
        """Divide these rows of (n, d) vectors into leaves of at most `most`, by default LEAF."""
        most = most or LEAF
        leaves: list[NDArray[np.int32]] = []
        splits: list[tuple[int, float, int, int]] = []

        def divided(mine: NDArray[np.int32]) -> int:
            if len(mine) <= most:
                leaves.append(np.sort(mine))
                return ~(len(leaves) - 1)
            axis = int(vectors[mine[:: -(-len(mine) // _SAMPLE)]].var(axis=0).argmax())
            value = np.concatenate([vectors[mine[s : s + _BLOCK]][:, axis] for s in range(0, len(mine), _BLOCK)])
            order, half = np.argsort(value, kind="stable"), len(mine) // 2
            here = len(splits)
            splits.append((axis, float(value[order[half]]), 0, 0))
            left, right = divided(mine[order[:half]]), divided(mine[order[half:]])
            splits[here] = (*splits[here][:2], left, right)
            return here

        if len(rows):
            divided(rows)
        number = np.full(len(vectors), -1, np.int32)
        for i, leaf in enumerate(leaves):
            number[leaf] = i
        return cls(tuple(leaves), number, tuple(splits))

    def of_vector(self, vector: NDArray[np.float32]) -> int:
        """Return the leaf in which a vector (d,) would be."""
        node = 0 if self.splits else ~0
        while node >= 0:
            axis, median, left, right = self.splits[node]
            node = left if vector[axis] < median else right
        return ~node
