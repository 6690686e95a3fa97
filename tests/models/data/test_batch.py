"""Merge the candidates of several sources."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.als import ALS
from models.content import CONTENT_BASED
from models.data.batch import Candidates, Proposal, indptr_of
from models.two_tower import TWO_TOWER

Lists = list[dict[int, float]]


def proposal(lists: Lists) -> Proposal:
    flat = [pair for row in lists for pair in sorted(row.items(), key=lambda p: -p[1])]
    item, score = (np.array([p[i] for p in flat]) for i in (0, 1))
    return Proposal(indptr_of([len(row) for row in lists]), item.astype(np.int32), score.astype(np.float32))


def rows_of(items: int) -> st.SearchStrategy[Lists]:
    row = st.dictionaries(st.integers(0, items), st.integers(-9, 9).map(float), max_size=6)
    return st.lists(row, min_size=3, max_size=3)


@settings(deadline=None, max_examples=60)
@given(als=rows_of(9), content=rows_of(2**31 - 1))
def test_union_by_the_obvious_loop(als: Lists, content: Lists) -> None:
    """The largest item numbers leave no room for positions in the sort key, so they use the other code path."""
    sources = {ALS: als, CONTENT_BASED: content}
    union = Candidates.union(3, {s: proposal(lists) for s, lists in sources.items()})
    for i in range(3):
        places = slice(union.indptr[i], union.indptr[i + 1])
        assert union.item[places].tolist() == sorted(set(als[i]) | set(content[i]))
        assert (union.owner[places] == i).all()
        for source, lists in sources.items():
            got = dict(zip(union.item[places].tolist(), union.scores[source][places].tolist(), strict=True))
            assert {j: s for j, s in got.items() if not np.isnan(s)} == lists[i]
            by_bit = (union.proposed[places] & source.bit) > 0
            assert set(union.item[places][by_bit].tolist()) == set(lists[i])


def test_many_owners_with_huge_items() -> None:
    """Owner, item and position together exceed 64 bits."""
    n = 40_000
    item = np.full(n, 2**31 - 1, np.int32)
    same = Proposal(indptr_of(np.ones(n, np.int64)), item, np.ones(n, np.float32))
    union = Candidates.union(n, {ALS: same, TWO_TOWER: same})
    assert len(union.item) == n and (union.proposed == ALS.bit | TWO_TOWER.bit).all()
    assert np.array_equal(union.owner, np.arange(n))


def test_where_keeps_rows_apart() -> None:
    union = Candidates.union(3, {ALS: proposal([{1: 0.5, 4: 0.25}, {}, {1: 1.0}])})
    kept = union.take(np.flatnonzero(union.item == 1))
    assert kept.indptr.tolist() == [0, 1, 1, 2] and kept.owner.tolist() == [0, 2]
    assert kept.scores[ALS].tolist() == [0.5, 1.0]


def test_nobody_proposes() -> None:
    assert len(Candidates.union(2, {ALS: Proposal.empty(2)}).item) == 0
    assert len(Candidates.union(0, {})) == 0
