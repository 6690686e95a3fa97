"""Read back any output of a CSV writer, cell by cell, with the first line of each row."""

from __future__ import annotations

import csv
import io
from itertools import accumulate
from typing import Literal

import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from models.data.entities import NIL
from pipelines.ingest import rows as reader
from pipelines.ingest.cells import Ids, Verdict
from pipelines.ingest.rows import OPEN_QUOTE, TOO_LONG, Chunk, chunks

NAMES = ("a", "b", "c")
ODD_ENDS = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"  # line ends in Python, not in CSV
CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0" + ODD_ENDS), max_size=6)
PLAIN = st.text(st.sampled_from("abc ;.-0é"), min_size=1, max_size=6)


def read(data: bytes) -> tuple[list[tuple[str, ...]], list[int], list[tuple[int, str]]]:
    found = list(chunks(io.BytesIO(data), NAMES))
    cells = [row for c in found for row in zip(*(c.cells[n].to_pylist() for n in NAMES), strict=True)]
    return cells, [int(n) for c in found for n in c.lines], [(r.line, r.reason) for c in found for r in c.rejects]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(CELL, CELL, CELL) | st.tuples(PLAIN, PLAIN, PLAIN), max_size=12),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.integers(1, 60),
)
def test_what_is_written_is_read(rows: list[tuple[str, ...]], end: str, quoting: Literal[0, 1], block: int) -> None:
    # Python's writer does not quote a lone \r if lines end in \n, so such a file means something else
    assume(quoting == csv.QUOTE_ALL or not any("\r" in cell for row in rows for cell in row))
    texts = []
    for row in rows:
        sink = io.StringIO()
        csv.writer(sink, lineterminator=end, quoting=quoting).writerow(row)
        texts.append(sink.getvalue())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "BLOCK_BYTES", block)  # rows and quotes cross the ends of blocks
        cells, lines, rejected = read("".join(texts).encode())
    assert rejected == []
    assert cells == rows
    taken = [len(t.replace("\r\n", "\n").replace("\r", "\n").splitlines()) for t in texts]
    assert lines == [2 + n for n in accumulate([0, *taken])][:-1]


@pytest.mark.parametrize("broken", ['x,"y,z', '"x,y,z', 'x,"y"z,w'])
def test_an_open_quote_costs_one_line_not_the_rest_of_the_file(broken: str) -> None:
    after = [f"{i},b,c" for i in range(5)]
    cells, lines, rejected = read("\n".join(["a,b,c", broken, *after]).encode())
    assert rejected == [(3, OPEN_QUOTE)]
    assert cells == [("a", "b", "c"), *((str(i), "b", "c") for i in range(5))]
    assert lines == [2, *range(4, 9)]


def test_an_open_quote_that_a_later_one_closes_does_not_swallow_rows() -> None:
    cells, lines, _ = read(b'1,"b,c\n2,b,c\n3,b",c\n4,b,c\n')
    assert [c[0] for c in cells] == ["1", "4"] and lines == [2, 5]  # a cell may have lines: this one is valid
    cells, _, rejected = read(b'1,b,c,"d\n2,b,c\n3,b,c"\n4,b,c\n')
    assert [c[0] for c in cells] == ["2", "3", "4"] and rejected == [(2, "4 cells where the header has 3")]


def test_a_long_cell_is_read_and_one_beyond_the_limit_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b'1,"' + b"x" * 200_000 + b'",c\n2,b,c\n'
    cells, _, rejected = read(body)
    assert [c[0] for c in cells] == ["1", "2"] and rejected == []
    limit = csv.field_size_limit(100_000)
    cells, _, rejected = read(body)
    csv.field_size_limit(limit)
    assert [c[0] for c in cells] == ["2"] and rejected == [(2, TOO_LONG)]


def test_an_id_is_taken_once_across_chunks_and_a_bad_row_takes_none() -> None:
    known = Ids()

    def take(ids: list[str], bad: list[bool]) -> list[bool]:
        verdict = Verdict(Chunk(pa.array(range(len(ids))).to_numpy(), pa.table({"id": ids})))
        verdict.against(pa.array(bad), "bad")
        known.take(pa.array([NIL[:-1] + i for i in ids]), verdict)
        return verdict.good.tolist()

    assert take(["a", "b", "b", "c"], [False, False, False, True]) == [True, True, False, False]
    assert take(["c", "a", "d"], [False, False, False]) == [True, False, True]
    assert len(known) == 4
