"""Candidates of one factor model: Matchbook's top k beside `implicit`'s own `recommend`, on the same factors.

    python -m benchmarks.top_k [--owners 16384] [--items 20000] [--factors 128] [--places 100] [--repeats 5]

The factors are fitted by implicit on generated events with a long tail; both leave out what an owner has already met.
Every repeat times all ways in turn, so that a busy machine slows all of them; the table shows medians. It also says in
how many owners the items differ (equal scores in another order apart).
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is imported

import numpy as np
from scipy import sparse

from models.nouns.candidates import Proposal
from models.scorers.top_k import Float32Product, top_k
from pipelines.scoring.accelerate import BFloat16Product


def events(owners: int, items: int, each: int, seed: int) -> sparse.csr_matrix:
    """(owners, items) float32: `each` events an owner, half of them in the owner's own corner of the catalogue."""
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
    """Owner and item factors, and implicit's recommend as a function of the number of places."""
    from implicit.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(factors=factors, iterations=3, alpha=40.0, random_state=42)
    model.fit(matrix, show_progress=False)
    everybody = np.arange(matrix.shape[0])

    def recommend(places: int) -> np.ndarray:
        return np.asarray(model.recommend(everybody, matrix, N=places, filter_already_liked_items=True)[0])

    return np.asarray(model.user_factors), np.asarray(model.item_factors), recommend


def differing(proposal: Proposal, items: np.ndarray) -> int:
    """Owners whose set of items is another than implicit's."""
    ours = proposal.item.reshape(len(proposal), -1)
    return int((np.sort(ours, axis=1) != np.sort(items, axis=1)).any(axis=1).sum())


def measure(owners: int, items: int, factors: int, places: int, repeats: int) -> list[tuple[str, float, float, str]]:
    """Rows of the table: way, owners a second, times implicit, owners whose items differ."""
    matrix = events(owners, items, 30, 0)
    left, right, recommend = fitted(matrix, factors)
    single, half = Float32Product(right), BFloat16Product(right)
    ways: dict[str, Callable[[], object]] = {
        "implicit.recommend": lambda: recommend(places),
        "float32, 1 thread": lambda: top_k(left, single, matrix, places),
        "float32, 2 threads": lambda: top_k(left, single, matrix, places, threads=2),
        "bfloat16, 1 thread": lambda: top_k(left, half, matrix, places),
        "bfloat16, 2 threads": lambda: top_k(left, half, matrix, places, threads=2),
    }
    took: dict[str, list[float]] = {name: [] for name in ways}
    result: dict[str, object] = {}
    for _ in range(repeats):
        for name, way in ways.items():
            start = time.perf_counter()
            result[name] = way()
            took[name].append(time.perf_counter() - start)
    theirs = result["implicit.recommend"]
    assert isinstance(theirs, np.ndarray)
    seconds = {name: statistics.median(t) for name, t in took.items()}
    return [
        (
            name,
            owners / seconds[name],
            seconds["implicit.recommend"] / seconds[name],
            str(differing(p, theirs)) if isinstance(p := result[name], Proposal) else "-",
        )
        for name in ways
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("owners", 16384), ("items", 20000), ("factors", 128), ("places", 100), ("repeats", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    rows = measure(args.owners, args.items, args.factors, args.places, args.repeats)
    sys.stdout.write(
        f"{args.owners} owners, {args.items} items, {args.factors} factors, N = {args.places}\n\n"
        "| way | owners/s | x implicit | owners whose items differ |\n|---|---|---|---|\n"
    )
    sys.stdout.writelines(f"| {name} | {rate:,.0f} | {ratio:.2f} | {other} |\n" for name, rate, ratio, other in rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
