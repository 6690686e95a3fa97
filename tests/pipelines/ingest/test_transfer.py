"""Read data folders with any separator, encoding, line end, quoting and blank line: same rows."""

from __future__ import annotations

import csv
import gzip
import io
import random
from itertools import product
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from models.errors import DataError
from models.schema import STARTUPS, TABLES, USERS
from models.settings.settings import Settings
from pipelines.ingest.ingest import import_folder
from pipelines.ingest.rows import SEPARATORS, filled_rows, header_of, opened, plain, table_of
from pipelines.postgres import engine, transaction
from tests.marketplace.tiny import write_tiny_marketplace

#: Python's name of an encoding, and its byte order mark.
ENCODINGS = {
    "utf-8": b"",
    "utf-8-sig": b"",
    "utf-16-le": b"\xff\xfe",
    "utf-16-be": b"\xfe\xff",
    "utf-16-le without a mark": b"",
    "utf-16-be without a mark": b"",
    "utf-32": b"",
}
ENDS = ("\n", "\r\n", "\r")
QUOTES: tuple[Literal[0, 1], ...] = (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
ROWS = [
    ["00000000-0000-4000-8000-00000000000a", 'Zoë, née "Z"', "ai; go | rust\tc++", "two\nlines", "金融 हिन्दी"],
    ["00000000-0000-4000-8000-00000000000b", "", "", "", "x" * 200_000],
]
NAMES = ["user_id", "name", "skills", "headline", "interests"]


def written(rows: list[list[str]], separator: str, end: str, quoting: Literal[0, 1]) -> str:
    sink = io.StringIO()
    csv.writer(sink, delimiter=separator, lineterminator="\n", quoting=quoting).writerows(rows)
    return sink.getvalue().replace("\n", end)


def read(content: bytes, path: Path) -> list[list[str]]:
    path.write_bytes(content)
    table = table_of(path, USERS.names)
    assert table.column_names[: len(NAMES)] == NAMES
    return [list(row) for row in zip(*(table[name].to_pylist() for name in NAMES), strict=True)]


@pytest.mark.parametrize(
    ("separator", "encoding", "end", "quoting", "blank"),
    list(product(SEPARATORS, ENCODINGS, ENDS, QUOTES, (False, True))),
)
def test_every_combination_gives_the_same_rows(
    separator: str, encoding: str, end: str, quoting: Literal[0, 1], blank: bool, tmp_path: Path
) -> None:
    lines = [NAMES, *ROWS]
    body = written(lines[:1], separator, end, quoting) + end * 2 * blank + written(lines[1:], separator, end, quoting)
    body += (end + separator * (len(NAMES) - 1) + end) * blank  # Excel ends a sheet with rows of empty cells
    content = ENCODINGS[encoding] + body.encode(encoding.split()[0])
    assert read(content, tmp_path / "users.csv") == ROWS


@pytest.mark.parametrize(
    "header",
    [
        "User_ID;Name;SKILLS;Headline;interests",
        "\ufeffuser id;name;skills;headline;interests",
        "sep=;\nuser_id;name;skills;headline;interests",
        "\n\nuser_id;name;skills;headline;interests",
        '"user_id";"name";"skills";"headline";"interests"',
        "user_id;name;skills;headline;interests;;",
    ],
)
def test_a_header_counts_however_it_is_written(header: str, tmp_path: Path) -> None:
    assert read(f"{header}\na;b;c;d;e\n".encode(), tmp_path / "users.csv") == [["a", "b", "c", "d", "e"]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(b"user_id,role\n", mtime=0), "gz"),
        (b"PK\x03\x04" + b"\0" * 40, "Excel"),
        (b"PAR1" + b"\0" * 9, "Parquet"),
        (b"", "empty"),
        (b"\n \n\n", "empty"),
        (b"\xff\xfe", "empty"),
        (b"x" * 2_000_000, "names of its columns"),
    ],
)
def test_a_file_without_a_table_is_refused_in_one_sentence(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_bytes(content)
    with pytest.raises(DataError, match=said):
        table_of(tmp_path / "users.csv", USERS.names)


@pytest.mark.parametrize(
    ("separator", "encoding", "end"),
    [(",", "utf-8", "\r"), (";", "utf-16", "\r\n"), ("\t", "utf-8-sig", "\r\n"), ("|", "utf-16-be", "\n")],
)
def test_a_whole_folder_is_imported_as_if_it_were_plain(
    separator: str, encoding: str, end: str, settings: Settings, tmp_path: Path
) -> None:
    folder = write_tiny_marketplace(tmp_path / "data")
    for layout in TABLES:
        rows = list(csv.reader((folder / layout.file).read_text().splitlines()))
        (folder / layout.file).write_bytes(written(rows, separator, end, csv.QUOTE_MINIMAL).encode(encoding))
    loaded = import_folder(settings, folder)
    assert loaded.rejected == {} and loaded.counts["users"] == 36 and loaded.counts["startups"] == 15


def test_events_of_one_day_are_several_and_of_one_instant_one(settings: Settings, tmp_path: Path) -> None:
    """Equal lines with only a date are separate events. Equal lines with a time are one event."""
    u, s = ("00000000-0000-4000-8000-00000000000a", "a0000000-0000-4000-8000-00000000000a")
    days = ["2024-05-01", "2024-05-01", "20240501", "2024-05-02", "2024-05-01T10:00:00Z", "2024-05-01 10:00"]
    (tmp_path / "users.csv").write_text(f"user_id,role\n{u},developer\n")
    (tmp_path / "startups.csv").write_text(f"startup_id,name\n{s},Acme\n")
    (tmp_path / "interactions.csv").write_text(
        "user_id,startup_id,interaction_type,occurred_at\n" + "".join(f"{u},{s},view,{day}\n" for day in days)
    )
    loaded = import_folder(settings.layered({"rejected_share": 1.0}, "given"), tmp_path)
    assert loaded.counts["interactions"] == 5 and loaded.rejected == {"interactions.csv: duplicate event": 1}
    with transaction(engine(settings)) as connection:
        at = connection.scalars(text("SELECT created_at::text FROM user_interactions ORDER BY created_at")).all()
    assert at == [
        "2024-05-01 00:00:00+00",
        "2024-05-01 00:00:00.000001+00",
        "2024-05-01 00:00:00.000002+00",
        "2024-05-01 10:00:00+00",
        "2024-05-02 00:00:00+00",
    ]


def test_of_a_gigantic_rejected_row_the_beginning_is_kept(settings: Settings, tmp_path: Path) -> None:
    folder = write_tiny_marketplace(tmp_path / "data")
    with (folder / "users.csv").open("a") as users:
        users.write("x" * 300_000 + ",developer\n")
    report = Path(import_folder(settings, folder).report).read_text()
    assert 100_000 < len(report) < 110_000 and len(list(csv.reader(io.StringIO(report)))) == 2


def look(content: bytes) -> int:
    """Read bytes as startups.csv and count the lines. Only a DataError may end it."""
    stream = io.BytesIO(content)
    try:
        body = plain(stream, Path("startups.csv"))
        header = header_of(body, Path("startups.csv"), STARTUPS.names)
        return sum(len(chunk.lines) + len(chunk.rejects) for chunk in filled_rows(body, header))
    except DataError as error:
        assert str(error)
        return 0


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=200)
    | st.lists(
        st.sampled_from(
            [
                b'"',
                b",",
                b";",
                b"\t",
                b"\r",
                b"\n",
                b"\0",
                b"\xff",
                b"\xfe",
                b"\xef\xbb\xbf",
                b"a",
                b"startup_id",
                b"name",
                b"sep=",
                "é".encode(),
                "म".encode("utf-16"),
            ]
        ),
        max_size=60,
    ).map(b"".join)
)
@example(b",\n\n")
@example(b";;\na;b\n")
def test_no_bytes_are_a_traceback(content: bytes) -> None:
    look(content)


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 12))
def test_a_damaged_file_is_no_traceback(chance: random.Random, hits: int) -> None:
    body = bytearray(
        written(
            [["startup_id", "name"], *([f"id {n}", f'a "{n}", b'] for n in range(20))], ",", "\r\n", csv.QUOTE_MINIMAL
        ).encode(chance.choice(["utf-8", "utf-16", "utf-8-sig"]))
    )
    for _ in range(hits):
        place = chance.randrange(len(body))
        body[place : place + chance.randrange(3)] = bytes(chance.choices(range(256), k=chance.randrange(3)))
    look(bytes(body))


def test_a_gzip_file_reads_the_same(tmp_path: Path) -> None:
    (tmp_path / "users.csv.gz").write_bytes(gzip.compress(written([NAMES, *ROWS], ";", "\r", 0).encode("utf-16")))
    with opened(tmp_path / "users.csv.gz") as (stream, _):
        body = plain(stream, tmp_path)
        assert sum(len(c.lines) for c in filled_rows(body, header_of(body, tmp_path, USERS.names))) == 2
