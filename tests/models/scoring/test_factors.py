"""Sources by vectors use the last product of a batch again, and never that of other vectors."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from models.als import ALS
from models.data.batch import Owners, Proposal
from models.scoring.factors import FactorScorer

RNG = np.random.default_rng(0)
OWNERS, ITEMS = (RNG.standard_normal((n, 8)).astype(np.float32) for n in (6, 300))
WEIGHT = RNG.random(300).astype(np.float32)
#: Owner 2 and every fifth item are unknown.
KNOWN, SHOWN = np.arange(6) != 2, np.arange(300) % 5 > 0


def scorer() -> FactorScorer:
    return FactorScorer(ALS, OWNERS, KNOWN, ITEMS, SHOWN)


def batch(*rows: int) -> Owners:
    n = len(rows)
    barred = sparse.csr_matrix((np.arange(n * 300).reshape(n, 300) % 7) == 0)
    history = sparse.csr_matrix((n, 300), dtype=np.float32)
    return Owners(np.array(rows, np.int32), np.zeros(n, np.int32), np.zeros(n, bool), history, barred)


def lists(proposal: Proposal) -> list[list[object]]:
    return [proposal.indptr.tolist(), proposal.item.tolist(), proposal.score.tolist()]


def test_a_weighted_source_finds_the_same_after_the_plain_one() -> None:
    for rows in ((0, 1, 3), (0, 1, 2, 3, 4, 5), (2,), ()):
        plain, owners = scorer(), batch(*rows)
        weighted, alone = plain.weighted(WEIGHT), scorer().weighted(WEIGHT)

        assert lists(plain.propose(owners, 20)) == lists(scorer().propose(owners, 20))
        assert lists(weighted.propose(owners, 20)) == lists(alone.propose(owners, 20))
        assert lists(weighted.propose(owners, 300)) == lists(alone.propose(owners, 300))


def test_new_vectors_of_the_same_batch_replace_the_last_product() -> None:
    plain, owners = scorer(), batch(1)
    before = lists(plain.propose(owners, 20))

    for changed in (plain.with_vector(OWNERS[4]), plain.with_rows(np.array([1]), OWNERS[4:5])):
        fresh = FactorScorer(ALS, OWNERS[[0, 4, 2, 3, 4, 5]], KNOWN, ITEMS, SHOWN)
        assert lists(changed.propose(owners, 20)) == lists(fresh.propose(owners, 20)) != before
        assert lists(changed.weighted(WEIGHT).propose(owners, 20)) == lists(fresh.weighted(WEIGHT).propose(owners, 20))
        assert lists(plain.propose(owners, 20)) == before
