"""`python -m benchmarks.faults.folders [--files N] [--seed S]`: import randomly broken data folders.

None may cause a traceback. Each file starts as a valid table in some separator, encoding and line end. Then bytes at
random places are dropped, doubled or replaced. Printed: files read whole, files with rejected rows, and refused files
by the first words of the reason. Anything else is a failure.
"""

from __future__ import annotations

import argparse
import csv
import io
import random
import sys
import traceback
from collections import Counter
from pathlib import Path

from models.errors import DataError
from models.schema import TABLES, Table
from pipelines.ingest.rows import SEPARATORS, filled_rows, header_of, plain

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "shift_jis")
AWKWARD = (
    b'"',
    b'""',
    b"\0",
    b"\r",
    b"\n",
    b"\r\n",
    b";",
    b",",
    b"\t",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xfe\xff",
    b"\x1a",
    b"\x85",
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"sep=",
    b"\xe2\x80\xa8",
    b"9" * 400,
    b'"' + b"x" * 200_000,
)
WORDS = ("", "fintech", "a;b", "Zoë", "x\ny", 'say "hi"', "2024-05-01", "1970-01-01T00:00:00Z", " ", "0")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults.folders", description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    found, broken = Counter[str](), 0
    for number in range(args.files):
        chance = random.Random(f"{args.seed} {number}")
        table = chance.choice(TABLES)
        try:
            found[_read(_bent(_written(chance, table), chance), table)] += 1
        except Exception:  # noqa: BLE001 - the fault that this benchmark looks for
            broken += 1
            sys.stderr.write(f"file {number} of seed {args.seed}:\n{traceback.format_exc()}\n")
    sys.stdout.write("| outcome | files |\n|---|---|\n")
    for said, count in found.most_common():
        sys.stdout.write(f"| {said} | {count:,} |\n")
    return int(broken > 0)


def _written(chance: random.Random, table: Table) -> bytes:
    rows = [table.names, *([chance.choice(WORDS) for _ in table.names] for _ in range(chance.randrange(40)))]
    sink = io.StringIO()
    csv.writer(
        sink,
        delimiter=chance.choice(SEPARATORS),
        quoting=chance.choice((csv.QUOTE_ALL, csv.QUOTE_MINIMAL)),
        lineterminator=chance.choice(("\n", "\r\n", "\r")),
    ).writerows(rows)
    return sink.getvalue().encode(chance.choice(ENCODINGS), "replace")


def _bent(content: bytes, chance: random.Random) -> bytes:
    body = bytearray(content)
    for _ in range(chance.randrange(6)):
        place = chance.randrange(len(body) + 1)
        body[place : place + chance.randrange(4)] = chance.choice((*AWKWARD, chance.randbytes(3), b""))
    return bytes(body)


def _read(content: bytes, table: Table) -> str:
    try:
        stream, path = io.BytesIO(content), Path(table.file)
        text = plain(stream, path)
        rejects = sum(len(chunk.rejects) for chunk in filled_rows(text, header_of(text, path, table.names)))
    except DataError as error:
        return f"refused: {' '.join(str(error).split()[:6])} …"
    return "read, with rejected rows" if rejects else "read whole"


if __name__ == "__main__":
    sys.exit(main())
