"""Features stored by their inputs equal the features of each candidate."""

from __future__ import annotations

import numpy as np
import pytest

from models.data.columns import Column, Features, weighted_sum

ITEM, OWNER = np.array([0, 1, 0, 2, 1]), np.array([0, 0, 1, 1, 1])
NAMES = ("pair", "fact", "events", "other fact")


def features() -> Features:
    fact, other = np.array([0.1, 0.2, 0.3, 9, 9, 9], np.float32), np.arange(6, dtype=np.float32)
    return Features(
        {
            "pair": Column(np.arange(5, dtype=np.float32)),
            "fact": Column(fact, ITEM, "item"),
            "events": Column(np.array([7, 8], np.float32), OWNER, "owner"),
            "other fact": Column(other, ITEM, "item"),
        },
        5,
    )


def test_cells_by_hand() -> None:
    whole = features().cells()

    expected = [[0, 1, 2, 3, 4], [0.1, 0.2, 0.1, 0.3, 0.2], [7, 7, 8, 8, 8], [0, 1, 0, 2, 1]]
    assert pytest.approx(np.array(expected)) == whole.T
    assert whole.dtype == np.float32 and whole.T[0].flags.c_contiguous
    assert np.array_equal(features().cells(np.array([3, 1])), whole[[3, 1]])
    assert np.array_equal(features().columns["fact"].of(np.array([4])), whole[4:, 1])
    assert np.array_equal(Features.dense(NAMES, whole).cells(), whole)


def test_a_weighted_sum_by_hand() -> None:
    weight = np.array([2.0, 0.0, -1.0, 0.5])
    expected = [-7.0, -4.5, -4.0, -1.0, 0.5]

    assert features().weighted(weight).tolist() == expected
    assert weighted_sum(list(zip(weight, features().cells().T, strict=True))).tolist() == expected


def test_a_weighted_sum_has_the_same_bits_for_some_rows_and_for_few_or_many_items() -> None:
    """A group with fewer values than candidates is summed by value, a larger group by candidate."""
    rng = np.random.default_rng(0)
    facts, weight = rng.normal(size=(6, 50)).astype(np.float32), rng.normal(size=8)
    for n in (20, 20_000):
        item = rng.integers(0, 50, n)
        columns = {f"fact {i}": Column(fact, item, "item") for i, fact in enumerate(facts)}
        columns |= {f"pair {i}": Column(rng.normal(size=n).astype(np.float32)) for i in range(2)}
        whole = Features(columns, n).weighted(weight)
        rows = rng.permutation(n)[: n // 2]

        assert np.array_equal(Features(columns, n).weighted(weight, rows), whole[rows])
        for row in rows[:5]:
            assert Features(columns, n).weighted(weight, rows[rows == row]) == whole[row]
            one = {name: Column(column.of(np.array([row]))) for name, column in columns.items()}
            assert Features(one, 1).cells().tolist() == Features(columns, n).cells(np.array([row])).tolist()


def test_a_large_group_that_few_values_serve_is_a_part() -> None:
    """12 candidates use 3 of 40 items. A small group, and one with a value per candidate, stay whole."""
    rng = np.random.default_rng(1)
    item, owner, each = np.repeat([4, 9, 30], 20), np.repeat([0, 1], 30), np.arange(60)
    facts = rng.normal(size=(8, 40)).astype(np.float32)
    columns = {f"fact {i}": Column(fact, item, "item") for i, fact in enumerate(facts)}
    columns |= {"events": Column(np.array([7, 8], np.float32), owner, "owner")}
    columns |= {f"own {i}": Column(rng.normal(size=60).astype(np.float32), each, "own") for i in range(8)}
    rows = np.arange(0, 60, 5)

    whole, shared = Features(columns, 60).parts(rows)

    assert whole.columns == tuple(range(8, 17)) and whole.place is None
    assert shared.columns == tuple(range(8)) and shared.cells.shape == (3, 17)
    assert shared.place is not None and shared.place.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    expected = Features(columns, 60).cells(rows)
    assert np.array_equal(whole.cells[:, 8:], expected[:, 8:])
    assert np.array_equal(shared.cells[shared.place][:, :8], expected[:, :8])
    assert [part.columns for part in Features(columns, 60).parts(rows[3:5])] == [tuple(range(17))]


def test_a_group_of_many_batches_is_its_own_part_with_all_values() -> None:
    """Each batch gets the same part with its own places. A group without columns has no part."""
    plain = features()
    shared = Features(plain.columns, 5, plain.whole_parts("item", "nothing"))
    rows = np.array([3, 1])

    rest, part = shared.parts(rows)

    assert set(shared.whole) == {"item"} and part.kept is shared.whole["item"].kept == {}
    assert part.columns == (1, 3) and part.cells.shape == (6, 4) and rest.columns == (0, 2)
    assert part.place is not None and part.place.tolist() == [2, 1]
    expected = plain.cells(rows)
    assert np.array_equal(part.cells[part.place][:, [1, 3]], expected[:, [1, 3]])
    assert np.array_equal(rest.cells[:, [0, 2]], expected[:, [0, 2]])
