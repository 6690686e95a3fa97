"""Define absent, zero and negative cells, and set the orientation in one place."""

from __future__ import annotations

import uuid

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data.entities import IdMap
from models.data.interactions import DAY_US, Interactions
from models.errors import DataError
from models.schema import EventType

K = {k.value: k.code for k in EventType}


def ids(n: int, salt: str) -> IdMap:
    return IdMap.from_ids(str(uuid.uuid5(uuid.NAMESPACE_OID, f"{salt}{i}")) for i in range(n))


def events(*rows: tuple[int, int, str, int]) -> Interactions:
    owner, item, kind, day = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Interactions(
        ids(3, "u"),
        ids(4, "s"),
        np.array(owner, np.int32),
        np.array(item, np.int32),
        np.array([K[k] for k in kind], np.int8),
        np.array(day, np.int64) * DAY_US,
    )


def test_weights_add_up() -> None:
    m = events(
        (0, 1, "view", 1), (0, 1, "click", 2), (0, 1, "interest", 3), (0, 2, "apply", 1), (1, 0, "favorite", 1)
    ).csr()

    assert m[0, 1] == 5.0 and m[0, 2] == 3.0 and m[1, 0] == 2.5 and m.nnz == 3


def test_the_last_explicit_opinion_decides_the_sign() -> None:
    """A like after a dislike is interest; a dislike after a like is only a dislike (R07)."""
    m = events(
        (0, 0, "like", 1),
        (0, 0, "dislike", 2),
        (1, 0, "dislike", 1),
        (1, 0, "like", 2),
        (2, 0, "dislike", 1),
        (2, 0, "view", 5),
    ).csr()

    assert m[0, 0] == -1.0 and m[1, 0] == 2.0 and m[2, 0] == -1.0


def test_no_cell_is_ever_zero() -> None:
    """R07: two views and a dislike would add to a stored 0, which the solver reads as "no opinion"."""
    m = events((0, 0, "view", 1), (0, 0, "view", 2), (0, 0, "dislike", 1)).csr()

    assert m.nnz == 1 and m[0, 0] == -1.0


def test_decay_and_damping() -> None:
    e = events((0, 0, "like", 0), (0, 0, "like", 10))

    assert e.csr(half_life_days=10)[0, 0] == pytest.approx(3.0)
    assert e.csr(half_life_days=10, now_us=20 * DAY_US)[0, 0] == pytest.approx(1.5)
    assert e.csr(damping="log")[0, 0] == pytest.approx(np.log(5))
    assert e.csr(damping="binary")[0, 0] == 1.0


def test_counts_are_rows_for_users_and_different_people_for_startups() -> None:
    e = events((0, 1, "view", 1), (0, 1, "click", 2), (1, 1, "view", 1), (1, 3, "view", 1))

    assert e.counts().tolist() == [2, 2, 0]
    assert e.transposed().distinct_counts().tolist() == [0, 2, 0, 1]


def test_before_is_strict() -> None:
    e = events((0, 0, "view", 1), (0, 1, "view", 2))

    assert e.before(2 * DAY_US).item.tolist() == [0]


ROWS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 3), st.sampled_from(list(K)), st.integers(0, 9)), max_size=20
)


@given(ROWS)
def test_transposing_twice_is_nothing_and_once_is_the_transpose(rows: list[tuple[int, int, str, int]]) -> None:
    e = events(*rows)

    assert (e.csr() != e.transposed().csr().T).nnz == 0
    assert (e.disliked() != e.transposed().disliked().T).nnz == 0
    assert np.array_equal(e.transposed().transposed().owner, e.owner)


@given(ROWS)
def test_a_disliked_pair_is_negative_and_no_other(rows: list[tuple[int, int, str, int]]) -> None:
    e = events(*rows)
    m = e.csr()

    assert ((m < 0) != e.disliked()).nnz == 0
    assert (m.data != 0).all()


def test_rows_outside_the_ids_are_refused() -> None:
    with pytest.raises(DataError, match=r"0\.\.2"):
        Interactions(ids(3, "u"), ids(4, "s"), np.array([3]), np.array([0]), np.array([0]), np.array([0]))


def test_ids_are_found_and_packed() -> None:
    some = ids(5, "x")

    assert some.rows_of([some.ids[3], "nobody", some.ids[0]]).tolist() == [3, -1, 0]
    assert IdMap.from_packed(some.packed()).ids.tolist() == some.ids.tolist()
    assert bytes(some.packed()[2]) == uuid.UUID(str(some.ids[2])).bytes


def test_unsorted_ids_are_refused() -> None:
    with pytest.raises(DataError, match="sorted"):
        IdMap(ids(3, "u").ids[::-1])
