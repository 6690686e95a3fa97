"""Tables of the documents made from declarations; `python -m tests.architecture.generated` writes them anew."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from models import registry, schema
from serving.http.requests import EXCLUDE_MOST, LIMIT_DEFAULT, LIMIT_MOST
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


def fields(table: schema.Table) -> str:
    """What a contract view must give, a line a column."""
    lines = [f"| `{f.name}` | {f.type.sql} | {f.doc} |" for f in table.fields]
    return "\n".join(["| column | type | meaning |", "|---|---|---|", *lines])


def files() -> str:
    """The columns of the files of a data folder."""
    lines = []
    for table in schema.TABLES:
        may = [name for name in table.names if name not in table.required]
        lines.append(f"| `{table.file}` | {', '.join(table.required)} | {', '.join(may)} |".replace("|  |", "| |"))
    return "\n".join(["| file | must have | may have |", "|---|---|---|", *lines])


def parameters() -> str:
    """The query parameters of a list."""
    names = ", ".join(f"`{name}`" for name in schema.FILTERS)
    return "\n".join([
        "| parameter | meaning |",
        "|---|---|",
        f"| `limit` | places wanted, 1 to {LIMIT_MOST}, default {LIMIT_DEFAULT} |",
        "| `offset` | places to skip, for paging: pages put together are the list |",
        f"| {names} | only such items, however they are written (case, width, spaces); repeated "
        "(`?stage=seed&stage=series-a`): any of them |",
        f"| `exclude` | ids to leave out, with commas between, up to {EXCLUDE_MOST} |",
    ])  # fmt: skip


#: By name of a table its document and what makes it. It stands between `<!-- table NAME -->` and `<!-- end NAME -->`.
TABLES: dict[str, tuple[str, Callable[[], str]]] = {
    "bundles": ("docs/architecture.md", bundles),
    "sources": ("docs/architecture.md", sources),
    "users": ("docs/guides/your-data.md", partial(fields, schema.USERS)),
    "startups": ("docs/guides/your-data.md", partial(fields, schema.STARTUPS)),
    "interactions": ("docs/guides/your-data.md", partial(fields, schema.INTERACTIONS)),
    "files": ("docs/guides/your-data.md", files),
    "parameters": ("docs/api.md", parameters),
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
