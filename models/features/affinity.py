"""How well a startup's facet values match a user's history, whichever of the two owns the list.

Lift of a facet value = ln(FLOOR + (interactions with this value + PRIOR x share) / (all interactions + PRIOR) / (share
+ DUST)), where `share` is the value's share of all pairs. It is additive smoothing with the marketplace's shares as
prior (Chen and Goodman 1999). Without history, or for a blank value, lift is 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.data.batch import Owners
from models.data.bundle import Bundle
from models.data.entities import Entities
from models.features.location import AFFINITIES, codes_in
from models.schema import Entity

PRIOR, DUST, FLOOR = 5.0, 1e-3, 0.05


@dataclass(frozen=True, eq=False)
class FacetAffinity:
    """One facet on one surface.

    code: int32 facet values of the startups, the last one blank: (m,) if startups are the items, else (owners,).
    values: number of values, blank included. share: (values,). met: (values, m) csr, if users are the items: how many
    startups of each value each interacted with; None if users own the lists (see `Owners.history`). met_all: (m,) its
    sums.
    """

    name: str
    code: NDArray[np.int32]
    values: int
    share: NDArray[np.float32]
    met: sparse.csr_matrix | None
    met_all: NDArray[Any] | None

    @cached_property
    def _one_hot(self) -> sparse.csr_matrix:
        """(m, values): 1 at each item's value."""
        n = len(self.code)
        return sparse.csr_matrix((np.ones(n, np.float32), self.code, np.arange(n + 1)), shape=(n, self.values))

    def columns(
        self, owners: Owners, owner: NDArray[np.integer[Any]], item: NDArray[np.integer[Any]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(n,) lift and ln(1 + interactions with this value) of pairs (owner of the batch, catalogue row)."""
        if self.met is None or self.met_all is None:
            liked = owners.history > 0
            met = np.asarray((liked.astype(np.float32) @ self._one_hot).todense())
            value = self.code[item]
            count, total = met[owner, value], np.diff(liked.indptr).astype(np.float32)[owner]
        else:
            code = np.where(owners.row >= 0, self.code[np.maximum(owners.row, 0)], self.values - 1)
            value = code[owner]
            count, total = self.met[code].toarray()[owner, item], self.met_all[item]
        share = self.share[value]
        lift = np.log(FLOOR + (count + PRIOR * share) / (total + PRIOR) / (share + DUST))
        known = (value < self.values - 1) & (total > 0)
        return np.where(known, lift, 0).astype(np.float32), np.log1p(np.where(known, count, 0)).astype(np.float32)


def affinities(
    activity: Bundle, owners: Entities, items: Entities, catalogue: NDArray[np.integer[Any]]
) -> Iterator[FacetAffinity]:
    """For every facet with a value. activity: "activity_v1", with the ids of the entities."""
    startups = items if items.entity is Entity.STARTUP else owners
    for name in AFFINITIES:
        values_of = activity.arrays.get(f"{name}_values")
        if values_of is None or not len(values_of):  # a facet added after the bundle was made, or without values
            continue
        stated = values_of.tolist()
        codes, values = codes_in(stated, startups, name), len(stated) + 1
        code = np.where(codes < 0, values - 1, codes)
        share = activity.arrays[f"{name}_share"]
        if items is startups:
            yield FacetAffinity(name, code[catalogue], values, share, None, None)
        else:
            met = _csr(activity.arrays, name, len(items), values)[catalogue]
            yield FacetAffinity(name, code, values, share, met.T.tocsr(), np.asarray(met.sum(axis=1)).ravel())


def _csr(arrays: Mapping[str, NDArray[Any]], name: str, rows: int, values: int) -> sparse.csr_matrix:
    parts = (arrays[f"{name}_data"], arrays[f"{name}_indices"], arrays[f"{name}_indptr"])
    return sparse.csr_matrix(parts, shape=(rows, values))
