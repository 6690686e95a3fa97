"""Check the contract of every scorer. A scorer's test class inherits ScorerContract."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

import models
from models.data.batch import Candidates, Owners, Proposal, indptr_of
from models.scoring.scorer import Scorer


def every_scorer() -> set[type]:
    """Return all scorer classes of models, and shared ones, that propose and score."""
    places = [m.name for m in pkgutil.walk_packages(models.__path__, "models.")]
    names = [name for name in places if name.endswith(".scorer") or name.startswith("models.scoring.")]
    found = {c for name in names for _, c in inspect.getmembers(importlib.import_module(name), inspect.isclass)}
    return {
        c
        for c in found
        if callable(getattr(c, "propose", None))
        and callable(getattr(c, "score", None))
        and not getattr(c, "_is_protocol", False)
    }


def all_pairs(owners: Owners) -> Candidates:
    items = owners.barred.shape[1]
    pairs = (
        np.repeat(np.arange(len(owners), dtype=np.int32), items),
        np.tile(np.arange(items, dtype=np.int32), len(owners)),
    )
    return Candidates(indptr_of(np.full(len(owners), items)), *pairs, np.zeros(len(pairs[0]), np.uint8), {})


def picked(owners: Owners, rows: np.ndarray) -> Owners:
    text = None if owners.text is None else tuple(owners.text[i] for i in rows)
    return Owners(
        owners.row[rows], owners.count[rows], owners.opted_out[rows], owners.history[rows], owners.barred[rows], text
    )


def lists_of(proposal: Proposal) -> list[list[tuple[int, float]]]:
    pairs = list(zip(proposal.item.tolist(), proposal.score.tolist(), strict=True))
    return [pairs[proposal.indptr[i] : proposal.indptr[i + 1]] for i in range(len(proposal))]


class ScorerContract:
    """Checks the contract of a source. Subclasses give the fixtures `scorer`, `owners` and `silent`.

    owners: a batch of at least 8, some with barred items. silent: places of owners that the source must not score.
    """

    K = 7

    @pytest.fixture
    def scorer(self) -> Scorer:
        raise NotImplementedError

    @pytest.fixture
    def owners(self) -> Owners:
        raise NotImplementedError

    @pytest.fixture
    def silent(self) -> list[int]:
        raise NotImplementedError

    def test_single_equals_batch(self, scorer: Scorer, owners: Owners) -> None:
        together = lists_of(scorer.propose(owners, self.K))
        assert [lists_of(scorer.propose(owners.part(i, i + 1), self.K))[0] for i in range(len(owners))] == together

    def test_order_of_owners_does_not_matter(self, scorer: Scorer, owners: Owners) -> None:
        order = np.random.default_rng(1).permutation(len(owners))
        mixed, together = (
            lists_of(scorer.propose(picked(owners, order), self.K)),
            lists_of(scorer.propose(owners, self.K)),
        )
        assert mixed == [together[i] for i in order]

    def test_best_of_all_pairs(self, scorer: Scorer, owners: Owners) -> None:
        """Each list starts with the best scored, unbarred items by (score, position): propose and score agree."""
        items, barred = owners.barred.shape[1], owners.barred.toarray()
        scores = scorer.score(owners, all_pairs(owners)).reshape(len(owners), items)
        for i, found in enumerate(lists_of(scorer.propose(owners, self.K))):
            free = [j for j in range(items) if not barred[i, j] and not np.isnan(scores[i, j])]
            best = sorted(free, key=lambda j: (-scores[i, j], j))[: self.K]
            assert [j for j, _ in found] == [j for j in best if (j in {j for j, _ in found})] == best[: len(found)]
            assert [s for _, s in found] == [float(scores[i, j]) for j in best[: len(found)]]
            assert len(found) == len(best) or self.may_stop_early(scores[i, best])

    def may_stop_early(self, scores: np.ndarray) -> bool:
        """Return whether a list may be shorter than the number of scored items, given the best scores."""
        return False

    def test_asked_for_more_than_exists(self, scorer: Scorer, owners: Owners) -> None:
        items = owners.barred.shape[1]
        found = scorer.propose(owners, items * 3)
        free = items - np.diff(owners.barred.indptr)
        assert (np.diff(found.indptr) <= free).all()
        assert all(len({j for j, _ in row}) == len(row) for row in lists_of(found))
        assert np.isfinite(found.score).all() and (found.item < items).all()

    def test_barred_is_never_proposed(self, scorer: Scorer, owners: Owners) -> None:
        found = scorer.propose(owners, owners.barred.shape[1])
        assert len(found.item) and not np.asarray(owners.barred[found.owner, found.item]).any()

    def test_everything_barred_is_an_empty_list(self, scorer: Scorer, owners: Owners) -> None:
        none = replace(owners, barred=sparse.csr_matrix(np.ones(owners.barred.shape, bool)))
        assert len(scorer.propose(none, self.K).item) == 0

    def test_abstains_for_unknown_owners(self, scorer: Scorer, owners: Owners, silent: list[int]) -> None:
        scores = scorer.score(owners, all_pairs(owners)).reshape(len(owners), -1)
        for i in range(len(owners)):
            known = len(lists_of(scorer.propose(owners, self.K))[i]) > 0
            assert known is (i not in silent)
            assert np.isnan(scores[i]).all() == (i in silent)

    def test_no_owners(self, scorer: Scorer, owners: Owners) -> None:
        nobody = owners.part(0, 0)
        assert len(scorer.propose(nobody, self.K)) == 0 and scorer.score(nobody, all_pairs(nobody)).shape == (0,)

    def test_types(self, scorer: Scorer, owners: Owners) -> None:
        found = scorer.propose(owners, self.K)
        assert [a.dtype.name for a in (found.indptr, found.item, found.score)] == ["int64", "int32", "float32"]
        assert len(found) == len(owners) and scorer.score(owners, all_pairs(owners)).dtype == np.float32
