"""Tables of the documents made from declarations; `python -m tests.architecture.generated` writes them anew."""

from __future__ import annotations

import re
from collections.abc import Callable

from models import registry
from tests.paths import ROOT

OWNERS = {frozenset({"user"}): "people", frozenset({"startup"}): "startups", frozenset({"user", "startup"}): "both"}


def bundles() -> str:
    """What a bundle holds, a line a model."""
    lines = [f"| `{s.bundle}` | {s.arrays} | {s.rows} |" for s in registry.MODELS if s.bundle]
    return "\n".join(["| name | arrays (maps) | what a row is |", "|---|---|---|", *lines])


def sources() -> str:
    """What proposes candidates, a line a model."""
    lines = [
        f"| `{s.name}` | `{s.source}` | {s.source.code} | {OWNERS[frozenset(map(str, s.owners))]} | {s.title} |"
        for s in registry.MODELS
        if s.source
    ]
    return "\n".join(["| model | source | code | proposes for | |", "|---|---|---|---|---|", *lines])


#: By name of a table its document and what makes it. It stands between `<!-- table NAME -->` and `<!-- end NAME -->`.
TABLES: dict[str, tuple[str, Callable[[], str]]] = {
    "bundles": ("docs/architecture.md", bundles),
    "sources": ("docs/architecture.md", sources),
}


def filled(name: str, text: str) -> str:
    """A document with one of its tables as it is declared. Raises ValueError where its marks are missing."""
    begin, end = f"<!-- table {name} -->\n", f"\n<!-- end {name} -->"
    found, times = re.subn(
        f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: begin + TABLES[name][1]() + end, text, flags=re.DOTALL
    )
    if times != 1:
        raise ValueError(f"expected one table {name} between {begin.strip()} and {end.strip()}, found {times}")
    return found


if __name__ == "__main__":
    for table, (document, _) in TABLES.items():
        path = ROOT / document
        path.write_text(filled(table, path.read_text()))
