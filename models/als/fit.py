"""Implicit alternating least squares (Hu, Koren, Volinsky 2008), for both directions.

The solver reads alpha x cell as a confidence: positive = interest, negative = dislike, absent = weak dislike. A
confidence below 1 would count less than an absent cell, so weights are raised to at least 1 / alpha.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.als import REVERSE, SPEC, AlsConfig, AlsReverseConfig
from models.als.scorer import at_least_one
from models.data.bundle import Bundle
from models.data.interactions import Interactions, Span, faded_csr, half_life_days
from models.data.training_data import TrainingData
from models.errors import TooSparse, TrainingError

#: With fewer events the factors are poor (C59). The model is still trained; its config gets a note.
ENOUGH = 1000


def fit(data: TrainingData[AlsConfig]) -> Bundle:
    """Train the bundle als_v1: startups for users."""
    return fit_als(SPEC.bundle, data.interactions, data.config, data.seed, data.threads)


def fit_reverse(data: TrainingData[AlsReverseConfig]) -> Bundle:
    """Train the bundle als_reverse_v1: users for startups."""
    config = data.config.completed(data.table("als"))
    return fit_als(REVERSE.bundle, data.interactions.transposed(), config, data.seed, data.threads)


def fit_als(name: str, interactions: Interactions, config: AlsConfig, seed: int = 42, threads: int = 1) -> Bundle:
    """Compute factors of every owner and item with a positive pair (C21-C24, C31; A02, A04).

    `als_reverse_v1` is trained on `interactions.transposed()`. The seed fixes every bit, for any number of threads.
    Arrays: user_factors (owners, factors) and item_factors (items, factors), without ids that have no positive pair.
    Raises TooSparse (P01, P02), and TrainingError for NaN.
    """
    confidences = _confidences(interactions, config)
    user_factors, item_factors = _solve(confidences, config, seed, threads)
    _check_finite(user_factors, item_factors, config)
    liked = confidences > 0
    owners, items = liked.getnnz(axis=1) > 0, liked.getnnz(axis=0) > 0
    return Bundle(
        name,
        {**_config(confidences, interactions, config), "seed": seed},
        {"user_factors": user_factors[owners], "item_factors": item_factors[items]},
        {"user": interactions.owners.taken(owners), "item": interactions.items.taken(items)},
    )


def _confidences(interactions: Interactions, config: AlsConfig) -> sparse.csr_matrix:
    """Return (owners, items) signed weights whose product with alpha is at least 1.

    Raises TooSparse.
    """
    if not len(interactions):
        raise TooSparse(
            "expected interactions to learn from, got none before the cutoff: load events "
            "(`python -m pipelines import FOLDER`) or choose a later cutoff (P01)"
        )
    if not config.alpha > 0:
        raise TrainingError(
            f"alpha must be above 0 to separate interest from absence, got {config.alpha}; set [als] alpha (C24)"
        )
    enough = interactions.counts() >= config.min_interactions
    kept = interactions.where(enough[interactions.owner])
    matrix = faded_csr(kept, config.half_life_share, config.damping)
    matrix = at_least_one(matrix, config.alpha)
    _check_dense_enough(matrix, config)
    return matrix


def _check_dense_enough(matrix: sparse.csr_matrix, config: AlsConfig) -> None:
    """Raise TooSparse unless two owners share an item (P02). Without one there is no collaborative signal."""
    liked = matrix > 0
    owners, items = int((liked.getnnz(axis=1) > 0).sum()), int((liked.getnnz(axis=0) > 0).sum())
    if owners < 2 or items < 2 or int(liked.getnnz(axis=0).max()) < 2:
        raise TooSparse(
            f"matrix too sparse: expected two owners who share an item, got {matrix.nnz} pairs of "
            f"{owners} owners and {items} items; load more events or lower [als] min_interactions "
            f"(--min-interactions), now {config.min_interactions} (P02)"
        )


def _solve(
    confidences: sparse.csr_matrix, config: AlsConfig, seed: int, threads: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Compute owner and item factors with a new solver: a second fit would start from the old factors."""
    from implicit.cpu.als import AlternatingLeastSquares
    from implicit.recommender_base import ModelFitError
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):  # the solver's own threads would compete with BLAS threads
        solver = AlternatingLeastSquares(
            factors=config.factors,
            regularization=config.regularization,
            alpha=config.alpha,
            iterations=config.iterations,
            random_state=seed,
            num_threads=threads,
        )
        try:
            solver.fit(confidences, show_progress=False)
        except ModelFitError as error:
            raise _diverged(config) from error
    return np.array(solver.user_factors, np.float32), np.array(solver.item_factors, np.float32)


def _check_finite(user_factors: NDArray[np.float32], item_factors: NDArray[np.float32], config: AlsConfig) -> None:
    if not (np.isfinite(user_factors).all() and np.isfinite(item_factors).all()):
        raise _diverged(config)


def _diverged(config: AlsConfig) -> TrainingError:
    return TrainingError(
        f"expected finite factors, got NaN with alpha {config.alpha}, regularization "
        f"{config.regularization}, {config.factors} factors; raise "
        "[als] regularization or lower [als] alpha"
    )


def _config(confidences: sparse.csr_matrix, interactions: Interactions, config: AlsConfig) -> dict[str, object]:
    rows = len(interactions)
    found: dict[str, object] = {
        "factors": config.factors,
        "regularization": config.regularization,
        "iterations": config.iterations,
        "alpha": config.alpha,
        "min_interactions": config.min_interactions,
        "damping": config.damping,
        "half_life_share": config.half_life_share,
        "half_life_days": half_life_days(interactions, config.half_life_share),
        "faded_from_us": Span.from_times(interactions.at).newest_us,
        "rows": rows,
        "pairs": int(confidences.nnz),
        "density": round(confidences.nnz / max(confidences.shape[0] * confidences.shape[1], 1), 8),
    }
    if rows < ENOUGH:
        found["note"] = f"fitted on {rows} interactions; fewer than {ENOUGH} is too little for good factors (C59)"
    return found
