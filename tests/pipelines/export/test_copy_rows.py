"""Read pieces in another thread, and find the rows of ids."""

from __future__ import annotations

import uuid

import numpy as np
import pyarrow as pa
import pytest

from models.data.entities import NIL, pack_ids
from models.errors import DataError
from pipelines.export.copy_rows import WAITING, IdRows, Pieces, as_bytes, packed_ids


def texts(n: int) -> list[str]:
    draw = np.random.default_rng(n)
    return sorted(str(uuid.UUID(bytes=draw.bytes(16))) for _ in range(n))


def test_packed_ids_are_those_of_the_id_map_whatever_the_chunks() -> None:
    ids = [*texts(40), "", NIL]
    column = pa.chunked_array([pa.array(["x", *ids[:7]])[1:], pa.array(ids[7:9]), pa.array(ids[9:])])
    assert np.array_equal(as_bytes(packed_ids(column)), pack_ids(np.array(ids, "<U36")))
    assert len(packed_ids(pa.chunked_array([], pa.string()))) == 0


def test_every_id_has_its_row_and_an_unknown_one_has_none() -> None:
    ids = texts(500)
    # Halves that differ in one bit each: a hash that adds the halves would confuse them.
    ids += [str(uuid.UUID(int=(a << 64) + b)) for a in (1, 1 << 63) for b in (1, 1 << 63)]
    known = IdRows(packed_ids(pa.chunked_array([ids[::2]])))
    rows = known.of_text(pa.chunked_array([ids]))
    assert rows[::2].tolist() == list(range(len(known))) and (rows[1::2] == -1).all()
    assert (
        IdRows(packed_ids(pa.chunked_array([[]], pa.string()))).of_text(pa.chunked_array([ids[:3]])).tolist()
        == [-1] * 3
    )


def test_pieces_are_handled_in_order_and_an_error_reaches_the_reader() -> None:
    found: list[int] = []
    with Pieces() as aside:
        for i in range(5 * WAITING):
            aside(found.append, i)
    assert found == list(range(5 * WAITING))

    def refuse() -> None:
        raise DataError("a broken piece")

    with pytest.raises(DataError, match="a broken piece"), Pieces() as aside:
        aside(refuse)
    with pytest.raises(DataError, match="a broken piece"), Pieces() as aside:
        for _ in range(3 * WAITING):  # before the end of a long table
            aside(refuse)
        raise AssertionError("the reader went on")
