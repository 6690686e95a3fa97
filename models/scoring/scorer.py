"""The protocols of a source, a ranker and a model that folds in new events; how scores come to one scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.data.batch import Candidates, Owners, Proposal
from models.data.bundle import Bundle
from models.data.entities import Entities, IdMap
from models.data.interactions import Interactions
from models.schema import Entity, Surface
from models.spec import Source


class Scorer(Protocol):
    """One source of candidates on one surface. Items are positions in the surface's catalogue.

    A scorer abstains for an owner it does not know: an empty row from `propose`, NaN from `score`. It never pads,
    never proposes what is barred, and gives one owner alone what it gives the owner within a batch.
    """

    source: Source

    def propose(self, owners: Owners, k: int) -> Proposal:
        """Up to k best items an owner, best first, ties by position."""
        ...

    def score(self, owners: Owners, candidates: Candidates) -> NDArray[Any]:
        """(nnz,) float32 raw score of every pair of `candidates`, NaN where the source abstains (R06)."""
        ...


class WeightedScorer(Scorer, Protocol):
    """A source that also proposes by score times the weight of an item."""

    def weighted(self, weight: NDArray[Any]) -> Scorer:
        """The same source, its scores times the item's weight: (m,) float32 over the catalogue."""
        ...


class FoldIn(Protocol):
    """One model's way to take in what came since."""

    def vector(self, owners: Owners, events: Interactions, as_of_us: int) -> NDArray[Any] | None:
        """(d,) float32 of a batch of one, None where the events tell this model nothing.

        events: all there are of the owner, by entity row of the item; the model was taught those before as_of_us.
        """
        ...


class Ranker(Protocol):
    """Features to a score in 0..1; higher is better."""

    @property
    def name(self) -> str: ...

    def score(self, features: NDArray[Any]) -> NDArray[Any]:
        """(…, len(FEATURES)) float32 to (…) float32."""
        ...


@dataclass(frozen=True, eq=False)
class Sides:
    """Whom a bundle is aligned with. owners, items: everybody on either side. rows: (m,) item rows of the catalogue."""

    surface: Surface
    owners: Entities
    items: Entities
    rows: NDArray[np.int32]

    @property
    def forward(self) -> bool:
        """Whether the owners are people."""
        return self.surface.owner is Entity.USER

    def vectors(
        self, bundle: Bundle, order: tuple[str, str], kind: str
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32], NDArray[np.bool_]]:
        """Owner vectors (n, d) and who is known (n,), item vectors (m, d) and which are known (m,), as a FactorScorer
        takes them. order: the bundle's names of owners and items. A row of zeros is somebody of whom nothing was
        learned: the model abstains for them."""
        mine, known = aligned(bundle, f"{order[0]}_{kind}", order[0], self.owners.ids)
        theirs, shown = aligned(bundle, f"{order[1]}_{kind}", order[1], self.items.ids)
        return mine, known & mine.any(axis=1), theirs[self.rows], (shown & theirs.any(axis=1))[self.rows]


@dataclass(frozen=True, eq=False)
class RankerAsked:
    """What a ranker is asked to serve. bundle: its own, where the release has it; bundles: all of the release.

    by_name: whether the settings ask for just this one. union: whether it may draw on every source. silent: names of
    the sources that do not speak."""

    surface: Surface
    bundle: Bundle | None
    bundles: Mapping[str, Bundle]
    by_name: bool
    union: bool
    silent: frozenset[str]


def aligned(bundle: Bundle, array: str, ids: str, wanted: IdMap) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The rows of an array in the order of `wanted`, zero where the bundle does not know the id; and which it knows.

    A bundle that knows just these ids gives its own array, not a copy for every surface."""
    if np.array_equal(bundle.maps[ids].ids, wanted.ids):
        return np.asarray(bundle.arrays[array], np.float32), np.ones(len(wanted), bool)
    place = bundle.maps[ids].rows_of(wanted.ids)
    known = place >= 0
    values = np.asarray(bundle.arrays[array], np.float32)
    return np.where(known.reshape(-1, *[1] * (values.ndim - 1)), values[place], np.float32(0)) if len(
        values
    ) else np.zeros((len(wanted), *values.shape[1:]), np.float32), known


def min_max(score: NDArray[np.float32], indptr: NDArray[np.int64]) -> NDArray[np.float32]:
    """(nnz,) float32: each owner's scores stretched over 0..1 (A23, C09).

    score: (nnz,) raw, NaN where the source abstains, which stays NaN. Equal scores, a single one included, become
    0.5 (R06). indptr: (b + 1,).
    """
    length = np.diff(indptr)
    full = np.flatnonzero(length)
    low, high = np.full(len(length), np.inf, np.float32), np.full(len(length), -np.inf, np.float32)
    if len(full):
        low[full] = np.fmin.reduceat(score, indptr[full])
        high[full] = np.fmax.reduceat(score, indptr[full])
    with np.errstate(invalid="ignore"):
        span = (high - low).astype(np.float32)
        low, span = np.repeat(low, length), np.repeat(span, length)
        flat = span <= 0
        scaled = (score - low) / np.where(flat, 1, span)
    return np.where(flat & ~np.isnan(score), np.float32(0.5), scaled).astype(np.float32)


def ranks(score: NDArray[np.float32], owner: NDArray[np.int32], indptr: NDArray[np.int64]) -> NDArray[np.int64]:
    """(nnz,) int64 rank from 1 within each owner, best score first, ties by place; NaN ranks last."""
    order = np.lexsort((-np.nan_to_num(score, nan=-np.inf), owner))
    rank = np.empty(len(score), np.int64)
    rank[order] = np.arange(len(score)) - indptr[owner] + 1
    return rank


def log_rank(score: NDArray[np.float32], indptr: NDArray[np.int64]) -> NDArray[np.float32]:
    """(nnz,) float32 ln of the rank from 1 within an owner's candidates, best first, ties by place, NaN last."""
    length = np.diff(indptr)
    width = int(length.max(initial=0))
    present = np.arange(width) < length[:, None]
    cells = np.full(present.shape, -np.inf, np.float32)
    cells[present] = np.nan_to_num(score, nan=-3e38)
    rank = np.empty(present.shape, np.float32)
    np.put_along_axis(rank, order_by_score(cells), np.log(np.arange(1, width + 1, dtype=np.float32))[None, :], 1)
    return rank[present]


def order_by_score(score: NDArray[np.float32]) -> NDArray[np.int64]:
    """(b, w) int64 columns of (b, w) float32 scores, best first, ties by column.

    Score and column become one integer, so that a plain sort does what a stable argsort would, several times faster.
    """
    bits = (score + np.float32(0)).view(np.int32)  # -0.0 becomes 0.0
    falling = ~(bits ^ ((bits >> 31) & 0x7FFFFFFF))  # signed, ascending where scores descend
    key = (falling.astype(np.int64) << 32) | np.arange(score.shape[1])
    key.sort(axis=1)
    return key & 0xFFFFFFFF
