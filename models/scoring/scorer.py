"""Protocols of sources, rankers and fold-in models; alignment of bundles; scaling of scores."""

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
    """A source of candidates on one surface. Items are rows of the surface's catalogue.

    For an unknown owner, `propose` returns an empty row and `score` NaN. A scorer never pads and never proposes barred
    items. An owner gets the same result alone as in a batch.
    """

    source: Source

    def propose(self, owners: Owners, k: int) -> Proposal:
        """Return up to k best items per owner, best first, ties by row."""
        ...

    def score(self, owners: Owners, candidates: Candidates) -> NDArray[Any]:
        """Return (nnz,) raw score of every candidate, NaN where the source has none (R06)."""
        ...


class WeightedScorer(Scorer, Protocol):
    """A source that also proposes by score times item weight."""

    def weighted(self, weight: NDArray[Any]) -> Scorer: ...


class CountingScorer(Scorer, Protocol):
    """A source that counts the people that support its scores (`Source.counted`)."""

    def counted(
        self, owners: Owners, at: NDArray[np.int64], item: NDArray[np.int32]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return (n,) event type codes and (n,) numbers of people, 0 for none.

        at: (n,) owners. item: (n,) items.
        """
        ...


class FoldIn(Protocol):
    """Folds events since the training into a model."""

    def vector(self, owners: Owners, events: Interactions, as_of_us: int) -> NDArray[Any] | None:
        """Return the owner's vector (d,) for a batch of one, None if the model learns nothing from the events.

        events: all events of the owner, with entity rows of items. The model was trained on those before as_of_us.
        """
        ...


class Ranker(Protocol):
    """Maps features to a score in 0..1; higher is better."""

    @property
    def name(self) -> str: ...

    def score(self, features: NDArray[Any]) -> NDArray[Any]:
        """Score (…, len(FEATURES)) float32 as (…) float32."""
        ...


@dataclass(frozen=True, eq=False)
class Sides:
    """Entities that a bundle is aligned with.

    owners, items: all of a kind. rows: (m,) item rows of the catalogue.
    """

    surface: Surface
    owners: Entities
    items: Entities
    rows: NDArray[np.int32]

    @property
    def forward(self) -> bool:
        return self.surface.owner is Entity.USER

    def vectors(
        self, bundle: Bundle, order: tuple[str, str], kind: str
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32], NDArray[np.bool_]]:
        """Return owner vectors (n, d), known owners (n,), item vectors (m, d), known items (m,).

        order: the bundle's names of owners and items. A row of zeros is unknown.
        """
        mine, known = aligned(bundle, f"{order[0]}_{kind}", order[0], self.owners.ids)
        theirs, shown = aligned(bundle, f"{order[1]}_{kind}", order[1], self.items.ids)
        return mine, known & mine.any(axis=1), theirs[self.rows], (shown & theirs.any(axis=1))[self.rows]


@dataclass(frozen=True, eq=False)
class RankerAsked:
    """What a ranker should serve.

    bundle: its own, if the release has one. bundles: all of the release. by_name: the settings request this ranker.
    union: it may use every source. silent: names of unavailable sources.
    """

    surface: Surface
    bundle: Bundle | None
    bundles: Mapping[str, Bundle]
    by_name: bool
    union: bool
    silent: frozenset[str]


def aligned(bundle: Bundle, array: str, ids: str, wanted: IdMap) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return an array's rows in the order of `wanted`, and (n,) whether the bundle has each id.

    Missing rows are zero. Equal id maps return the array itself, not a copy per surface.
    """
    if np.array_equal(bundle.maps[ids].ids, wanted.ids):
        return np.asarray(bundle.arrays[array], np.float32), np.ones(len(wanted), bool)
    place = bundle.maps[ids].rows_of(wanted.ids)
    known = place >= 0
    values = np.asarray(bundle.arrays[array], np.float32)
    return np.where(known.reshape(-1, *[1] * (values.ndim - 1)), values[place], np.float32(0)) if len(
        values
    ) else np.zeros((len(wanted), *values.shape[1:]), np.float32), known


def min_max(
    score: NDArray[np.float32], indptr: NDArray[np.int64], places: NDArray[np.int64] | None = None
) -> NDArray[np.float32]:
    """Return (nnz,) each owner's scores scaled to 0..1 (A23, C09), or only those of some places.

    score: (nnz,) raw; NaN (no score) stays NaN. Equal scores, or a single one, become 0.5 (R06). indptr: (b + 1,).
    """
    length = np.diff(indptr)
    full = np.flatnonzero(length)
    low, high = np.full(len(length), np.inf, np.float32), np.full(len(length), -np.inf, np.float32)
    if len(full):
        low[full] = np.fmin.reduceat(score, indptr[full])
        high[full] = np.fmax.reduceat(score, indptr[full])
    owner = np.repeat(np.arange(len(length)), length)
    if places is not None:
        owner, score = owner.take(places), score.take(places)
    with np.errstate(invalid="ignore"):
        span = (high - low).astype(np.float32)
        low, span = low.take(owner), span.take(owner)
        flat = span <= 0
        scaled = (score - low) / np.where(flat, 1, span)
    return np.where(flat & ~np.isnan(score), np.float32(0.5), scaled).astype(np.float32)


class Ranks:
    """Ranks of several scores over the same ragged rows. indptr: (b + 1,)."""

    def __init__(self, indptr: NDArray[np.int64]) -> None:
        length = np.diff(indptr)
        self._shape = len(length), int(length.max(initial=0))
        self._number = np.arange(indptr[-1])
        place = self._number - np.repeat(indptr[:-1], length)
        self._cell = np.repeat(np.arange(len(length)) * self._shape[1], length) + place  # in rows of equal length
        self._rank = place + 1
        self._log = np.log(np.arange(1, self._shape[1] + 1, dtype=np.float32)).take(place)

    def of(self, score: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return (nnz,) rank from 1 within each row, best first, ties by position; NaN ranks last."""
        return self._placed(score, self._rank)

    def log(self, score: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (nnz,) ln of the ranks."""
        return self._placed(score, self._log)

    def _placed(self, score: NDArray[np.float32], number: NDArray[Any]) -> NDArray[Any]:
        key = np.full(self._shape, np.iinfo(np.int64).max)
        key.reshape(-1)[self._cell] = _falling(np.fmax(score, np.float32(-3e38))) | self._number
        key.sort(axis=1)
        found = np.empty(len(score), number.dtype)
        found[key.reshape(-1).take(self._cell) & 0xFFFFFFFF] = number
        return found


def order_by_score(score: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return (b, w) columns in order of their scores, best first, ties by column.

    Score and column are packed into one integer: a plain sort is several times faster than a stable argsort.
    """
    key = _falling(score) | np.arange(score.shape[1])
    key.sort(axis=1)
    return key & 0xFFFFFFFF


def _falling(score: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return integers in the falling order of the scores, with 32 free low bits."""
    bits = (score + np.float32(0)).view(np.int32)  # -0.0 becomes 0.0
    return (~(bits ^ ((bits >> 31) & 0x7FFFFFFF))).astype(np.int64) << 32  # signed
