"""Content as a source of candidates, also by the profile text of unseen owners (A01)."""

from __future__ import annotations

from models.data.bundle import Bundle
from models.scoring.factors import TextFactorScorer
from models.scoring.scorer import Sides
from models.spec import Source


def open_scorer(bundle: Bundle, sides: Sides, source: Source) -> TextFactorScorer:
    """Open the bundle content_v1."""
    order = sides.owners.entity.value, sides.items.entity.value
    vectors = sides.vectors(bundle, order, "vectors")
    return TextFactorScorer(source, *vectors, bundle.arrays["tokens"], bundle.arrays["token_vectors"], sides.product)
