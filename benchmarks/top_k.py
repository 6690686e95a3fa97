"""Candidates of one factor model: Matchbook's top k and `implicit`'s `recommend` on the same factors.

python -m benchmarks.top_k [--owners 16384] [--items 20000] [--factors 128] [--places 100] [--repeats 5]

implicit fits the factors on generated long-tail events. Both exclude items that an owner already met. Every repeat
times all ways in turn. The table shows medians, and the number of owners whose items differ.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse

from benchmarks.ways import BASE, Rate, differing, owners_for, rows, timed
from models.data.batch import Proposal
from models.scoring.top_k import Float32Product, on_grid, top_k
from pipelines.score.fast_product import BFloat16Product

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is imported


def events(owners: int, items: int, each: int, seed: int) -> sparse.csr_matrix:
    """Return (owners, items) float32: `each` events an owner, half of them in the owner's part of the catalogue."""
    rng = np.random.default_rng(seed)
    n = owners * each
    owner = np.repeat(np.arange(owners), each)
    corner = (owner % 50 * items // 50 + (rng.random(n) ** 2 * items / 50).astype(np.int64)) % items
    anywhere = rng.permutation(items)[(rng.random(n) ** 3 * items).astype(np.int64)]
    item = np.where(rng.random(n) < 0.5, corner, anywhere)
    matrix = sparse.coo_matrix((np.ones(n, np.float32), (owner, item)), shape=(owners, items)).tocsr()
    matrix.sort_indices()
    return matrix


def fitted(matrix: sparse.csr_matrix, factors: int) -> tuple[np.ndarray, np.ndarray, Callable[[int], np.ndarray]]:
    """Return owner and item factors (`on_grid`), and implicit's recommend as a function of the number of places."""
    from implicit.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(factors=factors, iterations=3, alpha=40.0, random_state=42)
    model.fit(matrix, show_progress=False)
    model.user_factors, model.item_factors = on_grid(model.user_factors), on_grid(model.item_factors)
    everybody = np.arange(matrix.shape[0])

    def recommend(places: int) -> np.ndarray:
        return np.asarray(model.recommend(everybody, matrix, N=places, filter_already_liked_items=True)[0])

    return np.asarray(model.user_factors), np.asarray(model.item_factors), recommend


def measure(owners: int, items: int, factors: int, places: int, repeats: int) -> tuple[dict[str, Rate], dict[str, int]]:
    """Return the rate of each way, and the number of owners whose items differ from implicit's."""
    matrix = events(owners, items, 30, 0)
    left, right, recommend = fitted(matrix, factors)
    single, half, part = Float32Product(right), BFloat16Product(right), owners_for(BFloat16Product, owners)
    some, theirs = left[:part], matrix[:part]
    ways: dict[str, Callable[[], Any]] = {
        BASE: lambda: recommend(places),
        "float32, 1 thread": lambda: top_k(left, single, matrix, places),
        "float32, 2 threads": lambda: top_k(left, single, matrix, places, threads=2),
        "bfloat16, 1 thread": lambda: top_k(some, half, theirs, places),
        "bfloat16, 2 threads": lambda: top_k(some, half, theirs, places, threads=2),
    }
    counted = {name: part if name.startswith("bfloat16") else owners for name in ways}
    rates, results = timed(ways, counted, repeats)
    other = {n: differing(p, results[BASE], left, right) for n, p in results.items() if isinstance(p, Proposal)}
    return rates, other


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("owners", 16384), ("items", 20000), ("factors", 128), ("places", 100), ("repeats", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    rates, other = measure(args.owners, args.items, args.factors, args.places, args.repeats)
    head = f"{args.owners} owners, {args.items} items, {args.factors} factors, N = {args.places}"
    sys.stdout.write("\n".join([head, "", *rows(rates, other), ""]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
