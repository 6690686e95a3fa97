"""Average learners, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.data.bundle import Bundle
from models.errors import BundleCorrupt
from models.learned_ranker.scorer import EVENTS, EVERYBODY, KNOWN, LEARNED, STRANGERS, LearnedRanker
from models.schema import Surface

#: 2 x the first column; and a tree: -1 up to 0.5 in the second column, 3 above.
AVERAGE = {
    "logistic_weight": np.array([2.0, 0.0]),
    "centre": np.array([1.0, 0.0]),
    "spread": np.array([2.0, 4.0]),
    "trees_leaves": np.array([2], np.int16),
    "trees_feature": np.array([1], np.int16),
    "trees_threshold": np.array([0.5], np.float32),
    "trees_first": np.array([0], np.uint8),
    "trees_last": np.array([1], np.uint8),
    "trees_value": np.array([-1.0, 3.0]),
}
SURFACE = Surface.STARTUPS_FOR_DEVELOPER
ABOUT = {"features": ["one", "two"], "learners": ["logistic", "trees"], "parts": {EVERYBODY: {}}}


def arrays(*parts: str, prefix: str = "") -> dict[str, np.ndarray]:
    """Return the same average for each part. The regression for unseen owners has the opposite sign."""
    found = {f"{prefix}{part}-{name}": array for part in parts for name, array in AVERAGE.items()}
    return {name: -array if name == f"{prefix}{STRANGERS}-logistic_weight" else array for name, array in found.items()}


def ranker() -> LearnedRanker:
    return LearnedRanker.assembled(ABOUT, arrays(EVERYBODY))


def by_part() -> LearnedRanker:
    about = {"features": ["one", "two", EVENTS], "learners": ["logistic", "trees"], "parts": {KNOWN: {}, STRANGERS: {}}}
    told = arrays(KNOWN, STRANGERS)
    wider = {n: np.append(a, 0.0) if n.endswith("logistic_weight") else a for n, a in told.items()}
    return LearnedRanker.assembled(about, wider)


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

    assert all(ranker().score(features[i : i + 1])[0] == together[i] for i in range(0, 3000, 37))
    assert np.array_equal(ranker().score(np.asfortranarray(features)), together)
    assert len(ranker().score(features[:0])) == 0


def test_unseen_owners_have_a_part_of_their_own() -> None:
    """Without events (-2 x 3 - 1) / 2 = -3.5 instead of 2.5; with 3 / 4 that is -1.375 instead of 1.625."""
    row = np.array([[3, 0.6, 0], [3, 0.6, 1.1], [3, 0.6, 0]], np.float32)

    found = by_part().score(row)

    assert found == pytest.approx([squeezed(-1.375), squeezed(1.625), squeezed(-1.375)], rel=1e-6)
    assert by_part().score(row[:1])[0] == found[0] and by_part().score(row[1:2])[0] == found[1]
    assert len(by_part().score(row[:0])) == 0


def test_a_bundle_holds_one_ranker_a_surface() -> None:
    bundle = Bundle(LEARNED, {"surfaces": {SURFACE.value: ABOUT}}, arrays(EVERYBODY, prefix=f"{SURFACE.folder}-"))
    row = np.array([[3, 0.6]], np.float32)

    opened = LearnedRanker.from_bundle(bundle, SURFACE)

    assert opened.names == ("one", "two") and opened.name == "learned"
    assert opened.score(row) == ranker().score(row)
    with pytest.raises(BundleCorrupt, match=r"has no ranker of investors/for-startup; train it again"):
        LearnedRanker.from_bundle(replace(bundle, version="v"), Surface.INVESTORS_FOR_STARTUP)
