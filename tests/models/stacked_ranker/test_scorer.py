"""The stacked ranker, by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from models import stacked_ranker
from models.data.bundle import Bundle
from models.data.columns import Features
from models.learned_ranker.scorer import EVENTS, LEARNED, LearnedRanker
from models.schema import Surface
from models.stacked_ranker.fit import prior_of
from models.stacked_ranker.scorer import KNOWN, STACKED, TERMS, UNSEEN, StackedRanker, cells_of, columns_of
from tests.marketplace.bundles import learned_bundles, mean_bundles
from tests.models.model_contract import RankerContract

SURFACE = Surface.STARTUPS_FOR_DEVELOPER


def bundle() -> Bundle:
    """Return the prior of every surface."""
    arrays = {f"{s.folder}-{part}": prior_of(part) for s in Surface for part in (KNOWN, UNSEEN)}
    surfaces = {s.value: {"terms": list(TERMS), "serves": True} for s in Surface}
    return Bundle(STACKED, {"surfaces": surfaces}, arrays)


class TestStacked(RankerContract):
    spec = stacked_ranker.SPEC

    @pytest.fixture
    def bundles(self) -> Mapping[str, Bundle]:
        return {**learned_bundles(), STACKED: bundle()}

    @pytest.fixture
    def features(self) -> np.ndarray:
        return np.random.default_rng(0).random((50, len(columns_of(tuple(TERMS)))), np.float32)


def table(**columns: list[float]) -> Features:
    cells = np.array(list(columns.values()), np.float32).T
    return Features.dense(tuple(columns), cells)


def test_terms_by_hand() -> None:
    """ln(0.01 + score / largest), and (score - least) / (largest - least), for each owner."""
    found = table(score_content_based=[4, 2, 0, 8, 8])
    log, scaled, absent = cells_of(("content", "content_scaled", "als"), found, np.array([0, 3, 3, 5]))

    assert log == pytest.approx(np.log([1.01, 0.51, 0.01, 1.01, 1.01]))
    assert scaled.tolist() == [1, 0.5, 0, 0, 0]
    assert not absent.any()


def test_a_score_of_zero_and_of_below_zero_is_least() -> None:
    found = table(score_content_based=[-1, 0, 0.5], demand=[0, 0, 0])
    content, demand = cells_of(("content", "demand"), found, np.array([0, 3]))
    assert content[0] == content[1] == np.log(0.01) and len(set(demand.tolist())) == 1


def test_unseen_owners_have_weights_of_their_own() -> None:
    weights = {KNOWN: np.array([1.0, 0.0]), UNSEEN: np.array([0.0, 1.0])}
    terms = ("content_scaled", "two_tower")
    ranker = StackedRanker(columns_of(terms), {}, terms=terms, weights=weights)
    features = table(score_content_based=[1, 0, 1, 0], score_two_tower=[0, 1, 0, 1], **{EVENTS: [2.0, 2.0, 0.0, 0.0]})

    score = ranker.score_lists(features, np.array([0, 2, 4]))

    assert score[0] > score[1] and score[2] < score[3]
    assert len(ranker.score_lists(table(**{name: [] for name in ranker.names}), np.array([0]))) == 0


def test_the_mean_by_hand() -> None:
    """Ranks 1, 2, 3 of the weighted sum, and 3, 1, 2 of the learned ranker: (1 / (5 + r) + 1 / (5 + s)) * 6 / 2."""
    learned = learned_bundles()[LEARNED]
    other = LearnedRanker.from_bundle(learned, SURFACE)
    alone = StackedRanker.of_surface(bundle(), SURFACE)
    both = StackedRanker.of_surface(bundle(), SURFACE, learned=other)
    assert both.names[: len(other.names)] == other.names and set(both.names) == {*other.names, *alone.names}
    assert (both.mean_of, alone.mean_of, other.mean_of) == (("stacked", "learned"), (), ())
    cells = np.random.default_rng(1).random((60, len(both.names)), np.float32)
    features, indptr = Features.dense(both.names, cells), np.array([0, 40, 40, 60])

    score = both.score_lists(features, indptr)

    halves = [
        ranker.score_lists(Features({n: features.columns[n] for n in ranker.names}, 60), indptr)
        for ranker in (other, alone)
    ]
    for start, stop in ((0, 40), (40, 60)):
        rank = [1 + np.argsort(np.argsort(-half[start:stop], kind="stable"), kind="stable") for half in halves]
        assert score[start:stop] == pytest.approx(sum(1 / (5 + r) for r in rank) * 6 / 2, abs=1e-6)
    assert score.min() > 0 and score.max() <= 1


def test_a_mean_without_its_learned_half_is_the_weighted_sum() -> None:
    from models.ranker import RankerConfig
    from models.scoring.scorer import RankerAsked
    from models.stacked_ranker.scorer import open_ranker

    bundles = mean_bundles()

    def opened(bundles: Mapping[str, Bundle], *silent: str) -> StackedRanker:
        asked = RankerAsked(SURFACE, bundles[STACKED], bundles, False, True, frozenset(silent))
        found = open_ranker(asked, RankerConfig())
        assert found is not None
        return found

    assert opened(bundles).learned is not None
    assert opened({n: b for n, b in bundles.items() if n != LEARNED}).learned is None
    assert opened(bundles, "two_tower").learned is None  # its columns need the scores of a silent source


def test_a_list_scores_alone_as_among_others() -> None:
    ranker = StackedRanker.of_surface(bundle(), SURFACE)
    rng = np.random.default_rng(3)
    cells = rng.random((60, len(ranker.names)), np.float32)
    cells[:, -1] = np.repeat([0, 1, 2], 20)
    together = ranker.score_lists(Features.dense(ranker.names, cells), np.array([0, 20, 40, 60]))
    alone = [ranker.score(cells[start : start + 20]) for start in (0, 20, 40)]
    assert np.array_equal(together, np.concatenate(alone))


def test_a_missing_source_leaves_its_terms_out() -> None:
    found = StackedRanker.of_surface(bundle(), SURFACE, {"als", "content_based"})
    assert not {"als", "content", "content_scaled"} & set(found.terms) and "two_tower" in found.terms
    assert all(len(weight) == len(found.terms) for weight in found.weights.values())
    assert "score_content_based" not in found.names and found.names[-1] == EVENTS


def test_a_refused_surface_serves_only_by_name() -> None:
    from models.ranker import RankerConfig
    from models.scoring.scorer import RankerAsked
    from models.stacked_ranker.scorer import open_ranker

    config = {"surfaces": {SURFACE.value: {"terms": list(TERMS), "serves": False}}}
    asked = RankerAsked(SURFACE, replace(bundle(), config=config), learned_bundles(), False, True, frozenset())
    assert open_ranker(asked, RankerConfig()) is None
    assert open_ranker(replace(asked, by_name=True), RankerConfig()) is not None
    assert open_ranker(replace(asked, by_name=True, union=False), RankerConfig()) is None
