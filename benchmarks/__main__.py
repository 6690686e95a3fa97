"""`python -m benchmarks [2k|20k|100k|1m …] [--write]`: seconds and memory of every step on generated marketplaces."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.run import SIZES, StepFailed, measure, table

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "benchmarks.md"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("size", nargs="*", metavar="SIZE", help="2k, 20k, 100k or 1m; default: 2k 20k")
    parser.add_argument("--write", action="store_true", help="write the tables to docs/reference/benchmarks.md")
    parser.add_argument("--keep", type=Path, help="a home to use and keep (one size); finished steps are not repeated")
    parser.add_argument(
        "--without", action="append", default=[], choices=["datasets", "rankers"], help="parts to leave out"
    )
    args = parser.parse_args()
    sizes = args.size or ["2k", "20k"]
    if set(sizes) - set(SIZES) or (args.keep and len(sizes) > 1):
        parser.error(f"expected SIZE among {', '.join(SIZES)}, only one with --keep; got {' '.join(sizes)}")
    for size in sizes:
        sys.stderr.write(f"{size}\n")
        try:
            text = table(size, measure(size, args.keep and args.keep.absolute(), args.without))
        except StepFailed as error:
            sys.stderr.write(f"{error}\n")
            return 1
        sys.stdout.write(f"## {size}\n\n{text}\n\n")
        if args.write:
            write(size, text, args.without)
    return 0


def write(size: str, text: str, without: Sequence[str] = ()) -> None:
    """Replace the section of a size in the page."""
    options = "".join(f" --without {name}" for name in without)
    section = f"## {size}\n\n`python -m benchmarks {size}{options} --write`\n\n{text}\n"
    page = PAGE.read_text()
    found = re.compile(rf"^## {size}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    page = found.sub(lambda _: section + "\n", page) if found.search(page) else f"{page.rstrip()}\n\n{section}"
    PAGE.write_text(page.rstrip() + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
