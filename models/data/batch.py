"""Candidate items of a batch of owners, with one column of scores per source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.errors import DataError
from models.spec import Source


@dataclass(frozen=True, eq=False)
class Proposal:
    """One source's candidates for a batch of b owners, as ragged rows without barred items.

    indptr: (b + 1,) int64. item: (nnz,) int32 catalogue rows, best first within an owner, ties by row.
    score: (nnz,) float32, finite. The row of an unknown owner is empty.
    """

    indptr: NDArray[np.int64]
    item: NDArray[np.int32]
    score: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.indptr[-1] != len(self.item) or len(self.item) != len(self.score):
            raise DataError(
                f"expected as many items and scores as places, got {self.indptr[-1]} places, "
                f"{len(self.item)} items and {len(self.score)} scores"
            )

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def owner(self) -> NDArray[np.int32]:
        return np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.indptr))

    @classmethod
    def empty(cls, owners: int) -> Proposal:
        return cls(np.zeros(owners + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))


#: Type of the bit masks of sources and reasons.
MASK = np.uint16


@dataclass(frozen=True, eq=False)
class Candidates:
    """The union of all sources' proposals, items ascending within an owner.

    indptr: (b + 1,). item: (nnz,) catalogue rows. owner: (nnz,). proposed: (nnz,) bits of the proposing sources.
    scores: (nnz,) by source, NaN without a score. A source scores the whole union (R06).
    """

    indptr: NDArray[np.int64]
    owner: NDArray[np.int32]
    item: NDArray[np.int32]
    proposed: NDArray[np.integer[Any]]
    scores: Mapping[Source, NDArray[np.float32]]

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @classmethod
    def union(
        cls, owners: int, proposals: Mapping[Source, Proposal], more: Sequence[tuple[Source, Proposal]] = ()
    ) -> Candidates:
        """Merge proposals for the same batch. Pairs that a source did not propose get NaN in its column.

        more: further proposals of a source, without scores.
        """
        every = [*proposals.values(), *(p for _, p in more)]
        bits = max((int(p.item.max()) for p in every if len(p.item)), default=0).bit_length()
        keys = [(p.owner.astype(np.int64) << bits) | p.item for p in every]
        key, place = _merge(np.concatenate(keys or [np.zeros(0, np.int64)]))
        proposed, scores, start = np.zeros(len(key), MASK), {}, 0
        for source, proposal in proposals.items():
            mine = place[start : start + len(proposal.item)]
            proposed[mine] |= source.bit
            scores[source] = np.full(len(key), np.nan, np.float32)
            scores[source][mine] = proposal.score
            start += len(proposal.item)
        for source, proposal in more:
            proposed[place[start : start + len(proposal.item)]] |= source.bit
            start += len(proposal.item)
        owner = (key >> bits).astype(np.int32)
        item = (key & ((1 << bits) - 1)).astype(np.int32)
        return cls(indptr_of(np.bincount(owner, minlength=owners)), owner, item, proposed, scores)

    def scored(self, scores: Mapping[Source, NDArray[np.float32]]) -> Candidates:
        return Candidates(self.indptr, self.owner, self.item, self.proposed, scores)

    def take(self, places: NDArray[np.int64]) -> Candidates:
        """Return some candidates. places: ascending."""
        owner, scores = self.owner.take(places), {source: column.take(places) for source, column in self.scores.items()}
        length = np.bincount(owner, minlength=len(self))
        return Candidates(indptr_of(length), owner, self.item.take(places), self.proposed.take(places), scores)


def _merge(key: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return sorted unique keys, and the position of each element of `key` among them.

    Free low bits carry the position: then a plain, fast integer sort is enough.
    """
    bits = len(key).bit_length()
    if int(key.max(initial=0)) >> (63 - bits):
        unique, place = np.unique(key, return_inverse=True)
        return unique, place.ravel()
    ordered = (key << bits) | np.arange(len(key))
    ordered.sort()
    position, ordered = ordered & ((1 << bits) - 1), ordered >> bits
    first = np.ones(len(key), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    place = np.empty(len(key), np.int64)
    place[position] = np.cumsum(first) - 1
    return ordered[first], place


def indptr_of(lengths: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the (n + 1,) row pointer for ragged rows of these lengths."""
    return np.concatenate([[0], np.cumsum(np.asarray(lengths, np.int64))]).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Owners:
    """A batch of b owners of one surface.

    row: (b,) int32 row in the release's entities, -1 for an unseen owner. count: (b,) int32 interaction count.
    opted_out: (b,) bool. history: (b, items) float32 csr over the surface's catalogue (see `Interactions.csr`).
    barred: (b, items) bool csr: items never to show (seen, disliked, dismissed, own).
    text: b profile texts of unseen owners, or None.
    age: (b, items) float32 csr: age of the last positive event by `EventTime`; None: unknown.
    kinds: (b, items) uint16 csr of the positive pairs, see `Interactions.kinds`; None: unknown.
    """

    row: NDArray[np.int32]
    count: NDArray[np.int32]
    opted_out: NDArray[np.bool_]
    history: sparse.csr_matrix
    barred: sparse.csr_matrix
    text: tuple[str, ...] | None = None
    age: sparse.csr_matrix | None = None
    kinds: sparse.csr_matrix | None = None

    def __post_init__(self) -> None:
        sizes = {len(self.row), len(self.count), len(self.opted_out), self.history.shape[0], self.barred.shape[0]}
        if self.text is not None:
            sizes.add(len(self.text))
        sizes |= {matrix.shape[0] for matrix in (self.age, self.kinds) if matrix is not None}
        if len(sizes) != 1:
            raise DataError(f"expected columns of one length in a batch of owners, got lengths {sorted(sizes)}")

    def __len__(self) -> int:
        return len(self.row)

    def part(self, start: int, stop: int) -> Owners:
        text = None if self.text is None else self.text[start:stop]
        return Owners(
            self.row[start:stop],
            self.count[start:stop],
            self.opted_out[start:stop],
            self.history[start:stop],
            self.barred[start:stop],
            text,
            None if self.age is None else self.age[start:stop],
            None if self.kinds is None else self.kinds[start:stop],
        )

    def impersonal(self) -> Owners:
        """Remove history and text of opted-out owners (R23, L07).

        Barred items and the interaction count stay, because they do not personalise the order.
        """
        if not self.opted_out.any():
            return self
        told = ~self.opted_out
        text = None if self.text is None else tuple(t if tell else "" for t, tell in zip(self.text, told, strict=True))
        age, kinds = (None if matrix is None else _of_rows(matrix, told) for matrix in (self.age, self.kinds))
        return replace(self, history=_of_rows(self.history, told), text=text, age=age, kinds=kinds)

    def take(self, which: NDArray[np.int64]) -> Owners:
        text = None if self.text is None else tuple(self.text[i] for i in which.tolist())
        return Owners(
            self.row[which],
            self.count[which],
            self.opted_out[which],
            self.history[which],
            self.barred[which],
            text,
            None if self.age is None else self.age[which],
            None if self.kinds is None else self.kinds[which],
        )


def _of_rows(matrix: sparse.csr_matrix, kept: NDArray[np.bool_]) -> sparse.csr_matrix:
    """Empty every row of the csr matrix where `kept`, (b,) bool, is false."""
    length = np.diff(matrix.indptr)
    stored = np.repeat(kept, length)
    return sparse.csr_matrix(
        (matrix.data[stored], matrix.indices[stored], indptr_of(np.where(kept, length, 0))), shape=matrix.shape
    )
