"""A batch of owners, as the recipe sees them: one owner is a batch of one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from models.errors import DataError
from models.nouns.candidates import indptr_of


@dataclass(frozen=True, eq=False)
class Owners:
    """b owners of one surface.

    row: (b,) int32 row in the release's entities, -1 for a stranger (arrived since, or served from a profile).
    count: (b,) int32 interaction count. opted_out: (b,) bool.
    history: (b, items) float32 csr over the surface's catalogue: what each owner did (see Interactions.csr).
    barred: (b, items) bool csr over the catalogue: never to be shown (seen, disliked, dismissed, own).
    text: b profile texts, for strangers only (content-based), or None.
    age: (b, items) float32 csr, by the release's EventClock: how long ago each was last met by interest; None: unknown.
    """

    row: np.ndarray
    count: np.ndarray
    opted_out: np.ndarray
    history: sparse.csr_matrix
    barred: sparse.csr_matrix
    text: tuple[str, ...] | None = None
    age: sparse.csr_matrix | None = None

    def __post_init__(self) -> None:
        sizes = {len(self.row), len(self.count), len(self.opted_out), self.history.shape[0], self.barred.shape[0]}
        if self.text is not None:
            sizes.add(len(self.text))
        if self.age is not None:
            sizes.add(self.age.shape[0])
        if len(sizes) != 1:
            raise DataError(f"all columns of a batch of owners must be equally long, got {sorted(sizes)}")

    def __len__(self) -> int:
        return len(self.row)

    def part(self, start: int, stop: int) -> Owners:
        """The owners start..stop-1."""
        text = None if self.text is None else self.text[start:stop]
        return Owners(
            self.row[start:stop],
            self.count[start:stop],
            self.opted_out[start:stop],
            self.history[start:stop],
            self.barred[start:stop],
            text,
            None if self.age is None else self.age[start:stop],
        )

    def impersonal(self) -> Owners:
        """The batch in which whoever opted out is a stranger without a profile: no history, no words (R23, L07).

        What is barred stays: it only keeps items away. So does the count, which the route follows."""
        if not self.opted_out.any():
            return self
        told = ~self.opted_out
        text = None if self.text is None else tuple(t if tell else "" for t, tell in zip(self.text, told, strict=True))
        age = None if self.age is None else _of_rows(self.age, told)
        return replace(self, history=_of_rows(self.history, told), text=text, age=age)

    def take(self, which: np.ndarray) -> Owners:
        """The owners of these places, in this order."""
        text = None if self.text is None else tuple(self.text[i] for i in which.tolist())
        return Owners(
            self.row[which],
            self.count[which],
            self.opted_out[which],
            self.history[which],
            self.barred[which],
            text,
            None if self.age is None else self.age[which],
        )


def _of_rows(matrix: sparse.csr_matrix, kept: np.ndarray) -> sparse.csr_matrix:
    """The csr matrix with every row empty that is not kept, (b,) bool."""
    length = np.diff(matrix.indptr)
    stored = np.repeat(kept, length)
    return sparse.csr_matrix(
        (matrix.data[stored], matrix.indices[stored], indptr_of(np.where(kept, length, 0))), shape=matrix.shape
    )
