"""Implicit alternating least squares (Hu, Koren, Volinsky 2008), forward and reverse: one trainer, two orientations.

The solver reads a cell as a confidence: positive = interest, negative = a confident dislike, absent = weakly
disliked, and it multiplies every cell by alpha. A confidence below 1 would count *less* than never having met,
so weights are lifted to at least 1 / alpha.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import sparse

from models.als.scorer import lifted
from models.data.pair_age import faded, half_life_days
from models.errors import TooSparse, TrainingError
from models.nouns.bundle import Bundle
from models.nouns.id_map import IdMap
from models.nouns.interactions import Interactions
from models.nouns.span import Span
from models.settings import Settings

#: Fewer events than this are too little for good factors (C59): trained all the same, with a note in the config.
ENOUGH = 1000
#: What reverse ALS may have of its own.
REVERSE = ("factors", "regularization", "iterations", "alpha", "damping", "half_life_share")


def fit_als(name: str, interactions: Interactions, settings: Settings) -> Bundle:
    """Factors of every owner and item that somebody was interested in (C21-C24, C31; A02, A04).

    `als_reverse_v1` is this function over `interactions.transposed()`. The bundle's arrays are user_factors
    (owners, factors) and item_factors (items, factors), float32; its maps hold only those whom the model knows, that
    is who has a pair of interest: the solver would give all others zeros, and dislikes alone tell no taste.
    Bit-identical for one seed, whatever the number of threads. Raises TooSparse (P01, P02) and TrainingError (NaN).
    """
    settings = own_settings(name, settings)
    confidences = _confidences(interactions, settings)
    user_factors, item_factors = _solve(confidences, settings)
    _check_finite(user_factors, item_factors, settings)
    liked = confidences > 0
    owners, items = liked.getnnz(axis=1) > 0, liked.getnnz(axis=0) > 0
    return Bundle(
        name,
        _config(confidences, interactions, settings),
        {"user_factors": user_factors[owners], "item_factors": item_factors[items]},
        {"user": IdMap(interactions.owners.ids[owners]), "item": IdMap(interactions.items.ids[items])},
    )


def own_settings(name: str, settings: Settings) -> Settings:
    """The settings this direction is fitted with: what is set for reverse ALS replaces what is set for ALS."""
    if name != "als_reverse_v1":
        return settings
    own = {f"als_{word}": getattr(settings, f"als_reverse_{word}") for word in REVERSE}
    return replace(settings, **{k: v for k, v in own.items() if v not in ("", -1)})


def _confidences(interactions: Interactions, settings: Settings) -> sparse.csr_matrix:
    """(owners, items) signed weights whose product with alpha is at least 1 everywhere. Raises TooSparse."""
    if not len(interactions):
        raise TooSparse(
            "expected interactions to learn from, got none before the cutoff: load events "
            "(`python -m pipelines import FOLDER`) or choose a later cutoff (P01)"
        )
    if not settings.als_alpha > 0:
        raise TrainingError(
            "alpha must be above 0 to tell interest from absence, "
            f"got {settings.als_alpha}; set MATCHBOOK_ALS_ALPHA (C24)"
        )
    enough = interactions.counts() >= settings.als_min_interactions
    kept = interactions.where(enough[interactions.owner])
    matrix = faded(kept, settings.als_half_life_share, settings.als_damping)
    matrix = lifted(matrix, settings.als_alpha)
    _check_dense_enough(matrix, settings)
    return matrix


def _check_dense_enough(matrix: sparse.csr_matrix, settings: Settings) -> None:
    """Two owners must share an item somewhere: else there is nothing collaborative to learn (P02)."""
    liked = matrix > 0
    owners, items = int((liked.getnnz(axis=1) > 0).sum()), int((liked.getnnz(axis=0) > 0).sum())
    if owners < 2 or items < 2 or int(liked.getnnz(axis=0).max()) < 2:
        raise TooSparse(
            f"matrix too sparse: expected two owners who share an item, got {matrix.nnz} pairs of "
            f"{owners} owners and {items} items; load more events or lower MATCHBOOK_ALS_MIN_INTERACTIONS "
            f"(--min-interactions), now {settings.als_min_interactions} (P02)"
        )


def _solve(confidences: sparse.csr_matrix, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """A fresh solver each time: fitting one twice would go on from its old factors."""
    from implicit.cpu.als import AlternatingLeastSquares
    from implicit.recommender_base import ModelFitError
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):  # the solver has threads of its own; BLAS threads would fight them
        solver = AlternatingLeastSquares(
            factors=settings.als_factors,
            regularization=settings.als_regularization,
            alpha=settings.als_alpha,
            iterations=settings.als_iterations,
            random_state=settings.seed,
            num_threads=settings.train_threads,
        )
        try:
            solver.fit(confidences, show_progress=False)
        except ModelFitError as error:
            raise _diverged(settings) from error
    return np.array(solver.user_factors, np.float32), np.array(solver.item_factors, np.float32)


def _check_finite(user_factors: np.ndarray, item_factors: np.ndarray, settings: Settings) -> None:
    if not (np.isfinite(user_factors).all() and np.isfinite(item_factors).all()):
        raise _diverged(settings)


def _diverged(settings: Settings) -> TrainingError:
    return TrainingError(
        f"expected finite factors, got NaN with alpha {settings.als_alpha}, regularization "
        f"{settings.als_regularization}, {settings.als_factors} factors; raise "
        "MATCHBOOK_ALS_REGULARIZATION or lower MATCHBOOK_ALS_ALPHA"
    )


def _config(confidences: sparse.csr_matrix, interactions: Interactions, settings: Settings) -> dict[str, object]:
    rows = len(interactions)
    config: dict[str, object] = {
        "factors": settings.als_factors,
        "regularization": settings.als_regularization,
        "iterations": settings.als_iterations,
        "alpha": settings.als_alpha,
        "seed": settings.seed,
        "min_interactions": settings.als_min_interactions,
        "damping": settings.als_damping,
        "half_life_share": settings.als_half_life_share,
        "half_life_days": half_life_days(interactions, settings.als_half_life_share),
        "faded_from_us": Span.of(interactions.at).newest_us,
        "rows": rows,
        "pairs": int(confidences.nnz),
        "density": round(confidences.nnz / max(confidences.shape[0] * confidences.shape[1], 1), 8),
    }
    if rows < ENOUGH:
        config["note"] = f"fitted on {rows} interactions; fewer than {ENOUGH} is too little for good factors (C59)"
    return config
