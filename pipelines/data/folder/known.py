"""Which ids were seen: an id may be taken once, and an event must name two that were."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.data.folder.cells import Verdict


class Ids:
    """The ids of one file, in memory: 40 bytes each."""

    def __init__(self) -> None:
        self._known = pa.array([], pa.string())

    def __len__(self) -> int:
        return len(self._known)

    def take(self, ids: pa.Array, verdict: Verdict) -> None:
        """Remember the ids of good rows; an id that was taken before, here or in an earlier chunk, is a duplicate."""
        ids = pc.if_else(pa.array(verdict.good), ids, pa.scalar(None, pa.string()))
        verdict.against(pa.array(self._repeated(ids)), "duplicate id")
        self._known = pa.concat_arrays([self._known, ids.filter(pa.array(verdict.good))])

    def must_hold(self, ids: pa.Array, verdict: Verdict, what: str) -> None:
        """Hold a row that names an unknown id against it."""
        verdict.against(pc.and_(pc.invert(pc.is_in(ids, self._known)), pc.is_valid(ids)), f"unknown {what}")

    def _repeated(self, ids: pa.Array) -> np.ndarray:
        encoded = pc.dictionary_encode(ids)
        codes = np.asarray(pc.fill_null(encoded.indices, -1))
        again = np.ones(len(codes), bool)
        again[np.unique(codes, return_index=True)[1]] = False
        taken = np.asarray(pc.is_in(ids, self._known), dtype=object).astype(bool)
        repeated: np.ndarray = (again | taken) & (codes >= 0)
        return repeated
