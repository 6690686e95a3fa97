"""Finished lists of a batch of owners, and their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from models.data.batch import MASK, indptr_of
from models.data.mapped import read_arrays
from models.errors import ReleaseIncomplete
from models.lists.reasons import REASON, from_bits
from models.schema import Method

#: Columns with one value per list position. Others have one per list.
PLACES = ("item", "score", "source", "reason")


@dataclass(frozen=True, eq=False)
class RankedLists:
    """A batch of b lists of one kind, best item first.

    owner: (b,) int32 entity row, -1 for an unseen owner. method, route: (b,) uint8 codes of `Method`.
    count: (b,) int32 interaction count. ranker: (b,) uint8 `ModelSpec.code`; 0: none, 1: an older version did not store
    it.
    indptr: (b + 1,) int64. item: (nnz,) int32 entity rows, unique within a list.
    score: (nnz,) float32 in 0..1, descending within a list. source: (nnz,) uint16 `Source` bits.
    reason: (nnz,) uint32, see models/lists/reasons.py. part: (b,) uint16 index into `Release.parts`, by default 0.
    """

    owner: NDArray[np.int32]
    method: NDArray[np.uint8]
    route: NDArray[np.uint8]
    count: NDArray[np.int32]
    ranker: NDArray[np.uint8]
    indptr: NDArray[np.int64]
    item: NDArray[np.int32]
    score: NDArray[np.float32]
    source: NDArray[np.integer[Any]]
    reason: NDArray[np.uint32]
    part: NDArray[np.uint16] = field(default_factory=lambda: np.zeros(0, np.uint16))

    def __post_init__(self) -> None:
        if not len(self.part):
            object.__setattr__(self, "part", np.zeros(len(self.owner), np.uint16))
        per_owner = {
            len(self.owner),
            len(self.method),
            len(self.route),
            len(self.count),
            len(self.ranker),
            len(self.part),
            len(self.indptr) - 1,
        }
        per_place = {int(self.indptr[-1]), len(self.item), len(self.score), len(self.source), len(self.reason)}
        if len(per_owner) != 1 or len(per_place) != 1:
            raise ReleaseIncomplete(f"columns of ranked lists differ in length: owners {per_owner}, places {per_place}")

    def __len__(self) -> int:
        return len(self.owner)

    @property
    def reranked(self) -> NDArray[np.bool_]:
        """Return (b,) bool: a ranker ordered the list."""
        return self.ranker > 0

    def row(self, i: int) -> slice:
        return slice(int(self.indptr[i]), int(self.indptr[i + 1]))

    def take(self, which: NDArray[np.int64]) -> RankedLists:
        length = np.diff(self.indptr)[which]
        indptr = indptr_of(length)
        places = np.arange(int(indptr[-1])) + np.repeat(self.indptr[which] - indptr[:-1], length)
        columns = {
            f.name: getattr(self, f.name)[places if f.name in PLACES else which]
            for f in fields(self)
            if f.name != "indptr"
        }
        return RankedLists(indptr=indptr, **columns)

    def without(self, owner: int, item: int) -> RankedLists:
        """Remove the list of this owner, and this item from every list. Other lists keep their bytes.

        owner, item: entity rows, -1 for none.
        """
        of_list = np.repeat(np.arange(len(self)), np.diff(self.indptr))
        kept = (self.owner != owner) | (self.owner < 0)
        places = kept[of_list] & ((self.item != item) | (item < 0))
        columns = {
            f.name: getattr(self, f.name)[places if f.name in PLACES else kept]
            for f in fields(self)
            if f.name != "indptr"
        }
        return RankedLists(indptr=indptr_of(np.bincount(of_list[places], minlength=len(self))[kept]), **columns)

    @classmethod
    def nothing(cls, owner: NDArray[np.int32], count: NDArray[np.int32] | int = 0) -> RankedLists:
        """Return empty similar lists of (b,) owners with these interaction counts."""
        n, code = len(owner), np.full(len(owner), Method.SIMILAR.code, np.uint8)
        return cls(
            owner=owner,
            method=code,
            route=code,
            count=np.broadcast_to(np.asarray(count, np.int32), n).copy(),
            ranker=np.zeros(n, np.uint8),
            indptr=np.zeros(n + 1, np.int64),
            item=np.zeros(0, np.int32),
            score=np.zeros(0, np.float32),
            source=np.zeros(0, MASK),
            reason=np.zeros(0, REASON),
        )

    @classmethod
    def concat(cls, parts: Sequence[RankedLists]) -> RankedLists:
        """Join lists in order. Without parts there are no lists, as on a surface without owners."""
        parts = parts or [cls.nothing(np.zeros(0, np.int32))]
        columns = {
            f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls) if f.name != "indptr"
        }
        return cls(indptr=indptr_of(np.concatenate([np.diff(p.indptr) for p in parts])), **columns)

    def save(self, path: Path) -> None:
        """Write all columns to one .npz file. Equal lists give equal bytes.

        Sources take one byte if possible.
        """
        columns = {c.name: getattr(self, c.name) for c in fields(self)}
        columns["source"] = narrow(columns["source"])
        if not self.part.any():
            del columns["part"]
        with path.open("wb") as f:
            np.savez(f, **columns)
        path.chmod(0o600)

    @classmethod
    def open(cls, path: Path) -> RankedLists:
        """Invert `save`. Also reads older files with `reranked` and reason bits. Raises ReleaseIncomplete."""
        try:
            with path.open("rb") as f:
                z = read_arrays(f)
            columns = {c.name: z[c.name] for c in fields(cls) if c.name in z}
            if "reranked" in z:
                columns["ranker"] = z["reranked"].astype(np.uint8)
            if columns["reason"].dtype != REASON:
                columns["reason"] = from_bits(columns["reason"])
            return cls(**columns | {"source": columns["source"].astype(MASK)})
        except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
            raise ReleaseIncomplete(f"{path} holds no ranked lists ({error}); score this shard again") from error


def narrow(mask: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.unsignedinteger[Any]]:
    """Return (n,) bit masks as uint8 if all fit, else as uint16."""
    return mask.astype(np.uint8 if int(mask.max(initial=0)) < 256 else MASK)
