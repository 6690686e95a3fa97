"""A faster matrix product for batches: bfloat16 through torch, if the processor supports it.

bfloat16 only preselects within an error bound below the k-th best score. Exact float32 scores decide. Owners without a
usable bound are computed in float32. The lists equal those of float32.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.recommender.surface import SurfaceRecommender
from models.scoring.factors import FactorScorer
from models.scoring.scorer import Scorer
from models.scoring.top_k import Float32Product, Product, Scratch, exact, lengths, longest, padded, without

#: Minimum owner x item pairs that justify the import of torch (over a second).
WORTH_IMPORTING = 250_000_000
#: Half the relative distance of neighbouring bfloat16 numbers: 8 bits of significand, rounded to nearest.
_ROUNDOFF = np.float32(2.0**-8)
_BUFFER = 64_000_000


class BFloat16Product:
    """The product in bfloat16, read as int16. Positive numbers sort like their bits, negative ones below them.

    Owners whose k-th best score is not clearly above zero use float32.
    """

    lowest = np.iinfo(np.int16).min

    def __init__(self, vectors: NDArray[np.float32], weight: NDArray[np.float32] | None = None) -> None:
        import torch

        self._torch = torch
        self.vectors, self.weight = np.ascontiguousarray(vectors, np.float32), weight
        whole = self.vectors if weight is None else self.vectors * weight[:, None]
        halves = torch.from_numpy(padded(whole)).to(torch.bfloat16)
        self._columns = halves.T.contiguous()
        self._norm = longest(whole)
        self._lost = longest(halves[: len(vectors)].float().numpy() - whole)
        self._scratch = Scratch()
        self.chunk = max(16, min(256, _BUFFER // max(1, self._columns.shape[1])))

    def weighted(self, weight: NDArray[np.float32]) -> BFloat16Product:
        """See `Product.weighted`."""
        return BFloat16Product(self.vectors, weight if self.weight is None else self.weight * weight)

    def product(self, owners: NDArray[np.float32], barred: sparse.csr_matrix) -> NDArray[np.int16]:
        """See `Product.product`. Uses one torch thread, because the recipe runs one chunk per thread."""
        torch = self._torch
        if torch.get_num_threads() != 1:
            torch.set_num_threads(1)
        out = self._scratch.array("product", (len(owners), self._columns.shape[1]), np.int16)
        torch.mm(
            torch.from_numpy(owners).to(torch.bfloat16), self._columns, out=torch.from_numpy(out).view(torch.bfloat16)
        )
        return without(out, len(self.vectors), barred, self.lowest)

    def _error(self, owners: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (c,) bound of the difference from the exact score, before rounding to bfloat16.

        For the rounded vectors u', v': |u.v - u'.v'| <= |u - u'||v| + |u'||v - v'|. Sums of d terms in float32 may be
        off by gamma_d |u||v| (Higham, 3.1).
        """
        kept = self._torch.from_numpy(owners).to(self._torch.bfloat16).float().numpy()
        own = lengths(kept - owners) * self._norm + lengths(kept) * self._lost
        return np.asarray(own + np.float32(1.1 * 2 * owners.shape[1] * 2.0**-24) * lengths(owners) * self._norm)

    def floor(self, owners: NDArray[np.float32], kth: NDArray[np.int16]) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
        """See `Product.floor`."""
        value = (kth.astype(np.int32) << 16).view(np.float32)
        least = value * (1 - _ROUNDOFF) - np.float32(2.001) * self._error(owners)
        sure = (kth > 0) & (least > np.finfo(np.float32).tiny)
        bits = np.where(sure, least, np.float32(1)).astype(np.float32).view(np.int32) >> 16
        return bits.astype(np.int16), sure

    def score(
        self, owners: NDArray[np.float32], owner: NDArray[np.integer[Any]], item: NDArray[np.integer[Any]]
    ) -> NDArray[np.float32]:
        """See `Product.score`."""
        return exact(self, owners, owner, item)


@cache
def fastest() -> Callable[[NDArray[Any]], Product]:
    """Return the faster product on this processor, measured once on about 30 milliseconds of work."""
    rng = np.random.default_rng(0)
    items, owners = (rng.standard_normal((n, 64)).astype(np.float32) for n in (8192, 256))
    ways: tuple[Callable[[NDArray[Any]], Product], ...] = (Float32Product, BFloat16Product)
    return min(ways, key=lambda make: _seconds(make(items), owners))


def with_fastest_product(recipe: SurfaceRecommender, owners: int) -> SurfaceRecommender:
    """Return the recipe with the faster product for this number of owners."""
    pairs = owners * len(recipe.catalogue)
    if pairs < WORTH_IMPORTING and not (pairs and "torch" in sys.modules):
        return recipe
    make = fastest()
    if make is Float32Product:
        return recipe
    return replace(
        recipe,
        scorers={s: _using(scorer, make) for s, scorer in recipe.scorers.items()},
        wanted=tuple((s, _using(scorer, make)) for s, scorer in recipe.wanted),
    )


def _using(scorer: Scorer, make: Callable[[NDArray[Any]], Product]) -> Scorer:
    return scorer.with_backend(make) if isinstance(scorer, FactorScorer) else scorer


def _seconds(product: Any, owners: NDArray[np.float32]) -> float:
    took, nothing = [], sparse.csr_matrix((len(owners), len(product.vectors)), dtype=bool)
    for _ in range(4):
        start = time.perf_counter()
        product.product(owners.copy(), nothing)
        took.append(time.perf_counter() - start)
    return min(took[1:])
