"""Proposed items of a whole batch of owners, with one column of scores per source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.errors import DataError
from models.nouns.vocabulary import Source


@dataclass(frozen=True, eq=False)
class Proposal:
    """What one source proposes for a batch of b owners: ragged, no padding, nothing barred.

    indptr: (b + 1,) int64. item: (nnz,) int32 catalogue positions, best first within an owner, ties by position.
    score: (nnz,) float32, finite. An owner the source does not know has an empty row: the source abstains.
    """

    indptr: np.ndarray
    item: np.ndarray
    score: np.ndarray

    def __post_init__(self) -> None:
        if self.indptr[-1] != len(self.item) or len(self.item) != len(self.score):
            raise DataError(
                f"a proposal of {self.indptr[-1]} places has {len(self.item)} items, {len(self.score)} scores"
            )

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def owner(self) -> np.ndarray:
        """(nnz,) int32 owner of each place."""
        return np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.indptr))

    @classmethod
    def empty(cls, owners: int) -> Proposal:
        """Abstain for everyone."""
        return cls(np.zeros(owners + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))


@dataclass(frozen=True, eq=False)
class Candidates:
    """The union of what all sources propose, items ascending within an owner.

    indptr: (b + 1,) int64; item: (nnz,) int32 catalogue positions; owner: (nnz,) int32.
    proposed: (nnz,) uint8, the bits of the sources that proposed the item (`Source.bit`).
    scores: by source (nnz,) float32; NaN where the source cannot score the pair. A source scores the whole union,
    not only what it proposed itself (R06).
    """

    indptr: np.ndarray
    owner: np.ndarray
    item: np.ndarray
    proposed: np.ndarray
    scores: Mapping[Source, np.ndarray]

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @classmethod
    def union(cls, owners: int, proposals: Mapping[Source, Proposal]) -> Candidates:
        """Merge proposals over the same batch; `scores` is still empty."""
        stride = 1 + max((int(p.item.max()) for p in proposals.values() if len(p.item)), default=0)
        keys = [p.owner.astype(np.int64) * stride + p.item for p in proposals.values()]
        bits = [np.full(len(p.item), s.bit, np.uint8) for s, p in proposals.items()]
        key, proposed = _merge(
            np.concatenate(keys or [np.zeros(0, np.int64)]), np.concatenate(bits or [np.zeros(0, np.uint8)])
        )
        owner = (key // stride).astype(np.int32)
        indptr = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=owners))]).astype(np.int64)
        return cls(indptr, owner, (key % stride).astype(np.int32), proposed, {})

    def scored(self, scores: Mapping[Source, np.ndarray]) -> Candidates:
        """The same candidates with these score columns."""
        return Candidates(self.indptr, self.owner, self.item, self.proposed, scores)


def _merge(key: np.ndarray, bits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorted unique keys, and the bits of equal keys or-ed together."""
    order = np.argsort(key, kind="stable")
    key, bits = key[order], bits[order]
    first = np.flatnonzero(np.append(True, key[1:] != key[:-1])) if len(key) else np.zeros(0, np.int64)
    return key[first], np.bitwise_or.reduceat(bits, first) if len(first) else bits


def indptr_of(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    """(n + 1,) int64 row pointer of ragged rows of these lengths."""
    return np.concatenate([[0], np.cumsum(np.asarray(lengths, np.int64))]).astype(np.int64)
