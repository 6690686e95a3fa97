"""Fit the stacked ranker: the prior without data, the data with many."""

from __future__ import annotations

import numpy as np
import pytest

from models.stacked_ranker.fit import StackedRows, fit_weights, prior_of
from models.stacked_ranker.scorer import KNOWN, TERMS, UNSEEN

PRIOR = np.array([1.0, 0.5, 0.0])


def rows(lists: int, seed: int = 0, of: int = 1) -> StackedRows:
    """Return lists of 20 candidates. The relevant one has the largest value of term `of`."""
    rng = np.random.default_rng(seed)
    cells = rng.random((lists, 20, len(PRIOR)))
    label = np.zeros((lists, 20))
    label[np.arange(lists), cells[:, :, of].argmax(axis=1)] = 1
    return StackedRows(cells.reshape(-1, len(PRIOR)), np.repeat(np.arange(lists), 20), label.ravel())


def test_without_lists_the_prior_stays() -> None:
    nothing = StackedRows(np.zeros((40, 3)), np.repeat([0, 1], 20), np.zeros(40))
    assert fit_weights([], PRIOR).tolist() == fit_weights([nothing], PRIOR).tolist() == PRIOR.tolist()


def test_more_lists_move_the_weights_further_from_the_prior() -> None:
    few, many = (fit_weights([rows(n)], PRIOR) for n in (3, 3000))
    assert PRIOR[1] < few[1] < many[1] and many[1] > 10 * PRIOR[1]


@pytest.mark.parametrize("of", range(3))
def test_the_telling_term_gets_the_largest_weight_and_none_is_negative(of: int) -> None:
    found = fit_weights([rows(500, of=of)], PRIOR)
    assert found.argmax() == of and (found >= 0).all()


def test_parts_in_any_order_give_the_same_weights() -> None:
    one, two = rows(50, 1), rows(50, 2)
    assert fit_weights([one, two], PRIOR) == pytest.approx(fit_weights([two, one], PRIOR), abs=2e-3)
    assert fit_weights([one, two], PRIOR).tobytes() == fit_weights([one, two], PRIOR).tobytes()


def test_several_relevant_candidates_share_a_list() -> None:
    """A list with two relevant candidates counts once."""
    told = rows(100)
    twice = StackedRows(told.cells, told.group, told.label * 2)
    assert fit_weights([told], PRIOR) == pytest.approx(fit_weights([twice], PRIOR))


@pytest.mark.parametrize("part", [KNOWN, UNSEEN])
def test_the_prior_names_terms_and_has_no_negative_weight(part: str) -> None:
    prior = prior_of(part)
    assert prior.shape == (len(TERMS),) and (prior >= 0).all() and prior.sum() > 0


def test_unseen_owners_get_popular_items_and_no_collaborative_term() -> None:
    prior = dict(zip(TERMS, prior_of(UNSEEN), strict=True))
    assert prior["popular"] > 0 and prior["recent"] > 0
    assert not any(prior[term] for term in ("als", "als_reverse", "neighbours"))
