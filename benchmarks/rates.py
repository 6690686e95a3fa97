"""Owners a second: implicit's recommend, our top k on the same factors, and the plain chain to Redis.

The plain chain: ALS and two-tower candidates and scores, the weighted blend, the rule-based ranker with diversity,
reasons, encoding, and the write to Redis. Every repeat times all ways in turn; medians are reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from benchmarks.ways import BASE, differing, owners_for, timed
from models.als import ALS
from models.data.batch import Owners, Proposal
from models.data.bundle import Bundle
from models.data.interactions import Interactions
from models.ensemble import EnsembleConfig
from models.lists.redis_format import Keys, encode_lists
from models.recommender.surface import SurfaceRecommender, open_bundles, open_recommender
from models.schema import Surface
from models.scoring.top_k import Float32Product, on_grid, top_k
from models.two_tower import TWO_TOWER
from pipelines.export.snapshot import Snapshot
from pipelines.redis_client import connect
from pipelines.run.run import Run
from pipelines.score.fast_product import BFloat16Product, with_fastest_product
from pipelines.score.shards import score_owners

PLACES = 100
CHAIN = "plain chain to Redis"
#: Maximum number of timed owners, enough for several seconds.
MOST = 16384
_BATCH = 500
_SOURCES = (ALS, TWO_TOWER)


def compare(run: Run, snapshot: str, versions: Mapping[str, str], repeats: int = 5) -> dict[str, Any]:
    """Return owners a second by way, owners whose items differ from implicit's, and the configuration."""
    als = open_bundles(run.settings.artifacts, {"als_v1": versions["als_v1"]}, run.settings)["als_v1"]
    interactions = Snapshot.open(run.settings.artifacts / "snapshots" / snapshot).interactions()
    rows, seen = _seen(als, interactions)
    left, right = on_grid(als.arrays["user_factors"][rows]), on_grid(als.arrays["item_factors"])
    ways: dict[str, Callable[[], Any]] = {BASE: _implicit(left, right, seen)}
    owners = {BASE: len(rows)}
    for make in (Float32Product, BFloat16Product):
        n, product = owners_for(make, len(rows)), make(right)
        kind = make.__name__.removesuffix("Product").lower()
        some = "" if n == len(rows) else f", only {n} owners"
        for threads in (1, 2):
            name = f"top k, {kind}, {threads} thread{'s' * (threads > 1)}{some}"
            ways[name], owners[name] = _candidates(left[:n], product, seen[:n], threads), n
    ways[CHAIN], owners[CHAIN], what = _plain_chain(run, versions, interactions)
    rates, results = timed(ways, owners, repeats)
    lists = {n: p for n, p in results.items() if isinstance(p, Proposal)}
    return {
        "rates": {name: asdict(rate) for name, rate in rates.items()},
        "differing": {n: differing(p, results[BASE], left, right) for n, p in lists.items()},
        "items": len(right),
        "factors": right.shape[1],
        "owners": len(rows),
        **what,
    }


def _seen(als: Bundle, interactions: Interactions) -> tuple[np.ndarray, sparse.csr_matrix]:
    """Return evenly spaced rows of the timed users, and (users, items) float32 of their earlier interactions."""
    known = len(als.maps["user"])
    rows = np.unique(np.linspace(0, known - 1, min(known, MOST)).astype(np.int64))
    users = interactions.owners.find(als.maps["user"].packed()[rows])
    items = interactions.items.find(als.maps["item"].packed())
    return rows, interactions.pairs().astype(np.float32)[users][:, items].tocsr()


def _implicit(left: np.ndarray, right: np.ndarray, seen: sparse.csr_matrix) -> Callable[[], np.ndarray]:
    from implicit.cpu.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(factors=right.shape[1])
    model.user_factors, model.item_factors = left, right
    everybody, places = np.arange(len(left)), min(PLACES, len(right) - int(np.diff(seen.indptr).max()))

    def recommend() -> np.ndarray:
        with threadpool_limits(1, "blas"):
            return np.asarray(model.recommend(everybody, seen, N=places, filter_already_liked_items=True)[0])

    return recommend


def _candidates(left: np.ndarray, product: Any, seen: sparse.csr_matrix, threads: int) -> Callable[[], Proposal]:
    places = min(PLACES, len(product.vectors) - int(np.diff(seen.indptr).max()))
    return lambda: top_k(left, product, seen, places, threads)


def _plain_chain(
    run: Run, versions: Mapping[str, str], interactions: Interactions
) -> tuple[Callable[[], None], int, dict[str, Any]]:
    """Return the chain for users that two sources know, their number, and the configuration."""
    settings = run.settings.layered(
        {"ranker": "rules", "blend": "weighted", "cold_start_threshold": 0, "warm_user_threshold": 0}, "given"
    )
    wanted = ("catalogue_v1", "popularity_v1", "als_v1", "two_tower_v1")
    bundles = open_bundles(settings.artifacts, {n: versions[n] for n in wanted}, settings)
    recipe = open_recommender(Surface.STARTUPS_FOR_DEVELOPER, bundles, settings)
    rows = recipe.owners.owners_of(recipe.surface)
    rows = rows[recipe.owners.count[rows] > 0][:MOST]
    owners = recipe.batch(rows, interactions)
    fast = with_fastest_product(recipe, len(rows))
    client: Any = connect(settings)
    key = Keys("benchmark").lists("chain", recipe.surface)
    what = {
        "sources": [s.name for s in recipe.scorers],
        "ranker": "rules",
        "blend": settings.of(EnsembleConfig).blend,
        "depth": settings.lists.depth,
        "candidates": int(np.ceil(settings.lists.depth * settings.lists.candidate_multiplier)),
        "product": type(getattr(fast.scorers[ALS], "_product", None)).__name__,
    }
    assert tuple(recipe.scorers) == _SOURCES
    return lambda: _chain(fast, owners, rows, client, key), len(rows), what


def _chain(recipe: SurfaceRecommender, owners: Owners, rows: np.ndarray, client: Any, key: str) -> None:
    values = encode_lists(score_owners(recipe, owners))
    fields = [row.tobytes() for row in recipe.owners.ids.packed()[rows]]
    pipe = client.pipeline(transaction=False)
    for start in range(0, len(fields), _BATCH):
        pairs = zip(fields[start : start + _BATCH], values[start : start + _BATCH], strict=True)
        pipe.hset(key, items=[x for pair in pairs for x in pair])
    pipe.execute()
    client.unlink(key)
