"""A text file as people have it (UTF-8, UTF-16 or UTF-32, with a mark or without, lines ended as any system ends them)
as UTF-8 whose lines end in a line feed."""

from __future__ import annotations

import codecs
import io
from pathlib import Path
from typing import IO

from models.errors import DataError

_PIECE = 1 << 20
_MARKS = (
    ("utf-32-le", codecs.BOM_UTF32_LE),
    ("utf-32-be", codecs.BOM_UTF32_BE),
    ("utf-8", codecs.BOM_UTF8),
    ("utf-16-le", codecs.BOM_UTF16_LE),
    ("utf-16-be", codecs.BOM_UTF16_BE),
)
#: What is no text, by how it begins, and what to do with it.
_OTHERS = (
    (b"PK\x03\x04", "an Excel workbook or another archive: save the sheet as CSV UTF-8"),
    (b"\x1f\x8b", "packed by gzip: name it .csv.gz"),
    (b"PAR1", "a Parquet file: write it as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook: save the sheet as CSV UTF-8"),
)


def plain(stream: IO[bytes], path: Path) -> IO[bytes]:
    """The text from its first character on; a mark of the encoding is left out. Raises DataError where it is no text.

    A line feed, a carriage return, or both together end a line, inside quotes too."""
    head = stream.read(4096)
    for begins, what in _OTHERS:
        if head.startswith(begins):
            raise DataError(f"expected {path} to be a CSV file, it is {what}")
    encoding, mark = next(((name, mark) for name, mark in _MARKS if head.startswith(mark)), (_unmarked(head), b""))
    return io.BufferedReader(_Plain(stream, head[len(mark) :], encoding), _PIECE)


def _unmarked(head: bytes) -> str:
    """The encoding of a text without a mark: every other byte of UTF-16 is 0 where the header's names are ASCII."""
    begin = head[:40]
    if len(begin) >= 4 and not any(begin[1::2]) and all(begin[0::2]):
        return "utf-16-le"
    return "utf-16-be" if len(begin) >= 4 and not any(begin[0::2]) and all(begin[1::2]) else "utf-8"


class _Plain(io.RawIOBase):
    """UTF-8 bytes with line feeds, from `head` and what follows it in the stream."""

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
