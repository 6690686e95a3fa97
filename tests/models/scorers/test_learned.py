"""The average of learners, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.errors import BundleCorrupt
from models.nouns.bundle import Bundle
from models.nouns.vocabulary import Surface
from models.scorers.learned import LEARNED, LearnedRanker

#: 2 x the first column; and a tree: -1 up to 0.5 in the second column, 3 beyond.
ARRAYS = {
    "logistic_weight": np.array([2.0, 0.0]), "centre": np.array([1.0, 0.0]), "spread": np.array([2.0, 4.0]),
    "trees_leaves": np.array([2], np.int16), "trees_feature": np.array([1], np.int16),
    "trees_threshold": np.array([0.5], np.float32), "trees_first": np.array([0], np.uint8),
    "trees_last": np.array([1], np.uint8), "trees_value": np.array([-1.0, 3.0])}
SURFACE = Surface.STARTUPS_FOR_DEVELOPER


def ranker() -> LearnedRanker:
    return LearnedRanker.assembled(["one", "two"], ["logistic", "trees"], ARRAYS)


def squeezed(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


def test_the_mean_of_standardised_scores_by_hand() -> None:
    """(2 x 3 - 1) / 2 = 2.5 and 3 / 4: their mean is 1.625. Then (0 - 1) / 2 and -1 / 4: -0.375."""
    found = ranker().score(np.array([[3, 0.6], [0, 0.5]], np.float32))

    assert found.dtype == np.float32
    assert found == pytest.approx([squeezed(1.625), squeezed(-0.375)], rel=1e-6)


def test_one_row_scores_as_it_does_among_others() -> None:
    features = np.random.default_rng(0).normal(0, 2, (3000, 2)).astype(np.float32)
    together = ranker().score(features)

    assert all(ranker().score(features[i:i + 1])[0] == together[i] for i in range(0, 3000, 37))
    assert np.array_equal(ranker().score(np.asfortranarray(features)), together)
    assert len(ranker().score(features[:0])) == 0


def test_a_bundle_holds_one_ranker_a_surface() -> None:
    about = {"features": ["one", "two"], "learners": ["logistic", "trees"]}
    bundle = Bundle(LEARNED, {"surfaces": {SURFACE.value: about}},
                    {f"{SURFACE.folder}-{name}": array for name, array in ARRAYS.items()})
    row = np.array([[3, 0.6]], np.float32)

    opened = LearnedRanker.of(bundle, SURFACE)

    assert opened.names == ("one", "two") and opened.name == "learned"
    assert opened.score(row) == ranker().score(row)
    with pytest.raises(BundleCorrupt, match="was not taught investors/for-startup; train it again"):
        LearnedRanker.of(replace(bundle, version="v"), Surface.INVESTORS_FOR_STARTUP)
