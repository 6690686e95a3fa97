"""Read rows of a CSV file in chunks, with line numbers. Reject an unreadable row and continue.

Two parsers give the same rows. Until the first quote, Arrow parses whole blocks, one row a line. After it, or in a
block that Arrow refuses, Python's csv reads line by line. A row with an open quote or a wrong number of cells loses
only its first line.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import re
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from models.errors import DataError, regular
from models.schema import TABLES, Table
from models.words import folded

_PIECE = 1 << 20
_MARKS = (
    ("utf-32-le", codecs.BOM_UTF32_LE),
    ("utf-32-be", codecs.BOM_UTF32_BE),
    ("utf-8", codecs.BOM_UTF8),
    ("utf-16-le", codecs.BOM_UTF16_LE),
    ("utf-16-be", codecs.BOM_UTF16_BE),
)
#: First bytes of files that are not text, and what to do with them.
_OTHERS = (
    (b"PK\x03\x04", "an Excel workbook or another archive: save the sheet as CSV UTF-8"),
    (b"\x1f\x8b", "packed by gzip: name it .csv.gz"),
    (b"PAR1", "a Parquet file: write it as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook: save the sheet as CSV UTF-8"),
)


def plain(stream: IO[bytes], path: Path) -> IO[bytes]:
    """Return the text as UTF-8 without a byte order mark. Raises DataError if it is no text.

    Line feeds, carriage returns, or both together end a line, also inside quotes.
    """
    head = stream.read(4096)
    for begins, what in _OTHERS:
        if head.startswith(begins):
            raise DataError(f"expected {path} to be a CSV file, it is {what}")
    encoding, mark = next(((name, mark) for name, mark in _MARKS if head.startswith(mark)), (_unmarked(head), b""))
    return io.BufferedReader(_Plain(stream, head[len(mark) :], encoding), _PIECE)


def _unmarked(head: bytes) -> str:
    """Guess the encoding without a mark. In UTF-16 every other byte of ASCII column names is 0."""
    begin = head[:40]
    if len(begin) >= 4 and not any(begin[1::2]) and all(begin[0::2]):
        return "utf-16-le"
    return "utf-16-be" if len(begin) >= 4 and not any(begin[0::2]) and all(begin[1::2]) else "utf-8"


class _Plain(io.RawIOBase):
    """UTF-8 bytes with line feeds: first `head`, then the rest of the stream."""

    def __init__(self, stream: IO[bytes], head: bytes, encoding: str) -> None:
        self._stream, self._head, self._rest = stream, head, b""
        self._decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)("replace")
        self._waiting, self._over = b"", False

    def readable(self) -> bool:
        return True

    def readinto(self, target: memoryview) -> int:  # type: ignore[override]
        while not self._rest and not self._over:
            self._rest = self._next()
        given = self._rest[: len(target)]
        target[: len(given)] = given
        self._rest = self._rest[len(given) :]
        return len(given)

    def _next(self) -> bytes:
        piece, self._head = self._head or self._stream.read(_PIECE), b""
        self._over = not piece
        text = self._waiting + self._decoded(piece)
        self._waiting = b""
        if b"\r" not in text:
            return text
        if text.endswith(b"\r") and not self._over:  # a line feed may follow
            text, self._waiting = text[:-1], b"\r"
        return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _decoded(self, piece: bytes) -> bytes:
        return piece if self._decoder is None else self._decoder.decode(piece, not piece).encode()


BLOCK_BYTES = 1 << 24
#: Maximum characters of a cell, maximum bytes of a header.
CELL_MOST, HEADER_MOST = 1 << 24, 1 << 20
csv.field_size_limit(CELL_MOST)
SEPARATORS = ",;\t|"
#: Excel may name the separator in a line above the header.
_EXCEL = re.compile(r'"?sep=.?"?\s*$', re.IGNORECASE)
CHUNK_ROWS = 1 << 15
UTF8 = "not UTF-8"
NUL = "a NUL character"
OPEN_QUOTE = "a quote is left open or misplaced"
TOO_LONG = f"a quote is left open, or a cell has more than {CELL_MOST} characters"


@dataclass(frozen=True)
class Reject:
    line: int
    reason: str
    content: str


@dataclass(frozen=True, eq=False)
class Chunk:
    """Rows of text cells by the header's names. lines: (n,) int64, first line of each row in the file."""

    lines: NDArray[np.int64]
    cells: pa.Table
    rejects: list[Reject] = field(default_factory=list)


@contextmanager
def opened(path: Path) -> Iterator[tuple[IO[bytes], Callable[[], int]]]:
    """Open a plain or gzip file as bytes, with a function that returns the bytes read from disk. Raises DataError."""
    try:
        with regular(path).open("rb") as raw:
            stream = io.BufferedReader(gzip.GzipFile(fileobj=raw)) if path.suffix == ".gz" else raw
            yield stream, raw.tell
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}); write it again, as UTF-8 CSV, plain or gzip") from error


class Header(NamedTuple):
    """names: of the columns, in order. separator: between cells. below: number of the next line, from 1."""

    names: list[str]
    separator: str
    below: int


def header_of(stream: IO[bytes], path: Path, known: Collection[str]) -> Header:
    """Split the header at the separator that gives the most known columns.

    The header is the first line that is not blank. Known names may differ in case and accents. A column without a name
    gets one. Raises DataError for an empty file, a header that is too long, or a repeated name.
    """
    line, number = "", 0
    while not line.strip() or _EXCEL.match(line):
        number += 1
        read = stream.readline(HEADER_MOST)
        if not read:
            raise DataError(f"{path} is empty; expected a header line and rows below it")
        if len(read) == HEADER_MOST and not read.endswith(b"\n"):
            raise DataError(
                f"expected {path} to begin with the names of its columns, got a line of {HEADER_MOST} bytes"
                " or more; write it again as UTF-8 CSV"
            )
        line = read.decode("utf-8", "replace").rstrip("\n")
    found = {separator: _names(line, separator, known) for separator in SEPARATORS}
    separator = max(SEPARATORS, key=lambda s: len(set(found[s]) & set(known)))
    names = found[separator]
    if not names:
        raise DataError(
            f"expected {path} to begin with the names of its columns, got {line.strip()!r}; "
            "write them into the first line"
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path} names a column twice: {', '.join(twice)}")
    return Header(names, separator, number + 1)


def _names(line: str, separator: str, known: Collection[str]) -> list[str]:
    written = [name.strip() for name in next(csv.reader([line.rstrip(separator + " ")], delimiter=separator))]
    meant = [folded(name).replace(" ", "_") for name in written]
    return [
        m if m in known else name or f"column {i}" for i, (name, m) in enumerate(zip(written, meant, strict=True), 1)
    ]


def filled_rows(stream: IO[bytes], header: Header) -> Iterator[Chunk]:
    """Yield every row that is not blank."""
    for chunk in chunks(stream, header.names, header.separator, header.below):
        blank = np.ones(len(chunk.lines), bool)
        for column in chunk.cells.columns:
            blank &= pc.equal(pc.utf8_trim_whitespace(column), "").to_numpy()
            if not blank.any():
                break
        yield (
            replace(chunk, lines=chunk.lines[~blank], cells=chunk.cells.filter(pa.array(~blank)))
            if blank.any()
            else chunk
        )


def table_of(path: Path, known: Collection[str]) -> pa.Table:
    """Read a whole file of moderate size as text columns, without unreadable rows. Raises DataError."""
    with opened(path) as (stream, _):
        text = plain(stream, path)
        header = header_of(text, path, known)
        empty = pa.table({name: pa.array([], pa.string()) for name in header.names})
        return pa.concat_tables([empty, *(chunk.cells for chunk in filled_rows(text, header))])


def chunks(stream: IO[bytes], names: Sequence[str], separator: str = ",", line: int = 2) -> Iterator[Chunk]:
    """Yield every row in order. line: number of the first."""
    while block := stream.read(BLOCK_BYTES):
        block += stream.readline()
        if b'"' in block:
            yield from _by_line(chain(io.BytesIO(block), stream), names, line, separator)
            return
        whole = _by_block(block, names, line, separator)
        yield from [whole] if whole is not None else _by_line(iter(io.BytesIO(block)), names, line, separator)
        line += _lines_of(block)


def _by_block(block: bytes, names: Sequence[str], first: int, separator: str) -> Chunk | None:
    """Return the block's rows, one per line, or None unless all are plain."""
    if b"\0" in block or block.count(b"\r") != block.count(b"\r\n"):
        return None
    text = {name: pa.string() for name in names}
    try:
        cells = pa.csv.read_csv(
            pa.BufferReader(block),
            pa.csv.ReadOptions(column_names=list(names), use_threads=False, block_size=len(block) + 1),
            pa.csv.ParseOptions(delimiter=separator, quote_char=False, ignore_empty_lines=False),
            pa.csv.ConvertOptions(column_types=text, strings_can_be_null=False),
        )
    except pa.ArrowInvalid:
        return None
    if cells.num_rows != _lines_of(block):
        return None
    return Chunk(np.arange(first, first + cells.num_rows, dtype=np.int64), cells)


def _lines_of(block: bytes) -> int:
    return block.count(b"\n") + (not block.endswith(b"\n"))


class _Lines:
    """Decoded lines for csv.reader. They can return the lines of the current row."""

    def __init__(self, raw: Iterator[bytes], first: int) -> None:
        self._raw, self._again, self._taken, self.line = raw, [], [], first  # type: ignore[var-annotated]

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        text: str = self._again.pop() if self._again else next(self._raw).decode("utf-8", "surrogateescape")
        self._taken.append(text)
        return text

    def commit(self) -> int:
        """Accept the row and return its first line number."""
        began, self.line = self.line, self.line + len(self._taken)
        self._taken.clear()
        return began

    def give_up(self, reason: str) -> Reject:
        """Reject the row's first line and read its other lines again."""
        self._again.extend(reversed(self._taken[1:]))
        reject = Reject(self.line, reason, _printable(self._taken[0].rstrip("\r\n")))
        self._taken.clear()
        self.line += 1
        return reject


def _by_line(raw: Iterator[bytes], names: Sequence[str], first: int, separator: str) -> Iterator[Chunk]:
    lines = _Lines(_split(raw), first)
    while taken := list(islice(_records(lines, len(names), separator), CHUNK_ROWS)):
        rows = [(line, row) for line, row, _ in taken if row is not None]
        rejects = [reject for _, _, reject in taken if reject is not None]
        yield _encoded(rows, names, rejects)


def _split(raw: Iterator[bytes]) -> Iterator[bytes]:
    """Split lines also at a lone carriage return, as the csv module does."""
    for line in raw:
        yield from line.splitlines(keepends=True) if b"\r" in line else (line,)


def _records(lines: _Lines, width: int, separator: str) -> Iterator[tuple[int, list[str] | None, Reject | None]]:
    reader = csv.reader(lines, strict=True, delimiter=separator)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield 0, None, lines.give_up(TOO_LONG if "field limit" in str(error) else OPEN_QUOTE)
            continue
        if len(row) == width or (len(row) > width and any(row[:width]) and not any(row[width:])):
            yield lines.commit(), row[:width], None
        elif not any(cell.strip() for cell in row):
            lines.commit()
        else:
            yield 0, None, lines.give_up(f"{len(row)} cells where the header has {width}")


def _encoded(rows: list[tuple[int, list[str]]], names: Sequence[str], rejects: list[Reject]) -> Chunk:
    """Convert rows to Arrow columns. Reject rows that PostgreSQL cannot store as text."""
    whole = [(line, row, _unstorable(row)) for line, row in rows]
    rejects += [Reject(line, reason, _printable(written(row))) for line, row, reason in whole if reason]
    kept = [(line, row) for line, row, reason in whole if not reason]
    columns = zip(*(row for _, row in kept), strict=True) if kept else ((),) * len(names)
    cells = pa.table({name: pa.array(column, pa.string()) for name, column in zip(names, columns, strict=True)})
    return Chunk(np.array([line for line, _ in kept], np.int64), cells, rejects)


def _unstorable(row: list[str]) -> str:
    text = "".join(row)
    if "\0" in text:
        return NUL
    return "" if text.isascii() or text.isprintable() or _encodes(text) else UTF8


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def written(row: Sequence[str]) -> str:
    """Return a row as one CSV line, without its line end."""
    sink = io.StringIO()
    csv.writer(sink, lineterminator="").writerow(row)
    return sink.getvalue()


def texts(cells: pa.Table, mask: NDArray[np.bool_]) -> list[str]:
    picked = cells.filter(pa.array(mask))
    return [written(row) for row in zip(*(pc.fill_null(c, "").to_pylist() for c in picked.columns), strict=True)]


def file_of(folder: Path, table: Table) -> Path:
    """Return `<name>.csv` or `<name>.csv.gz`. Raises DataError if neither or both exist."""
    found = [p for p in (folder / table.file, folder / f"{table.file}.gz") if p.is_file()]
    if not found:
        raise DataError(
            f"expected {table.file} or {table.file}.gz in {folder}, found neither; "
            "docs/guides/your-data.md describes a data folder"
        )
    if len(found) == 2:
        raise DataError(f"{folder} holds both {table.file} and {table.file}.gz; delete one of them")
    return found[0]


def folder_digest(folder: Path) -> str:
    """Return 16 hex digits of the three files' uncompressed content. Raises DataError for a missing one."""
    whole = hashlib.sha256()
    for table in TABLES:
        with opened(file_of(folder, table)) as (stream, _):
            one = hashlib.sha256()
            while piece := stream.read(1 << 20):
                one.update(piece)
            whole.update(one.digest())
    return whole.hexdigest()[:16]
