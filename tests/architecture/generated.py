"""Make the tables of documents from declarations. `python -m tests.architecture.generated` writes them again."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from models import registry, schema
from serving.http.codes import CODES
from serving.http.requests import EXCLUDE_MOST, LIMIT_DEFAULT, LIMIT_MOST
from tests.architecture import requirements
from tests.paths import ROOT

RECORDS = "docs/decisions"
HEAD = re.compile(
    r"# (?P<number>\d{4})\. (?P<title>[^\n]+)\n\nDate: (?P<date>\d{4}-\d\d-\d\d)\. "
    r"Status: (?P<status>(?:accepted|superseded by \[)[^\n]*)\.\n\n"
    r"\*\*Context\.\*\* .+^\*\*Decision\.\*\* .+^\*\*Consequences\.\*\* ",
    re.DOTALL | re.MULTILINE,
)
OWNERS = {frozenset({"user"}): "people", frozenset({"startup"}): "startups", frozenset({"user", "startup"}): "both"}


def bundles() -> str:
    """List the contents of bundles, one line per model."""
    lines = [f"| `{s.bundle}` | {s.arrays} | {s.rows} |" for s in registry.MODELS if s.bundle]
    return "\n".join(["| name | arrays (maps) | what a row is |", "|---|---|---|", *lines])


def sources() -> str:
    """List the sources of candidates, one line per model."""
    lines = [
        f"| `{s.name}` | `{s.source}` | {s.source.code} | {OWNERS[frozenset(map(str, s.owners))]} | {s.title} |"
        for s in registry.MODELS
        if s.source
    ]
    return "\n".join(["| model | source | code | proposes for | |", "|---|---|---|---|---|", *lines])


def fields(table: schema.Table) -> str:
    """List the columns of contract views, one line each."""
    lines = [f"| `{f.name}` | {f.type.sql} | {f.doc} |" for f in table.fields]
    return "\n".join(["| column | type | meaning |", "|---|---|---|", *lines])


def parameters() -> str:
    """List the query parameters of a list."""
    names = ", ".join(f"`{name}`" for name in schema.FILTERS)
    return "\n".join([
        "| parameter | meaning |",
        "|---|---|",
        f"| `limit` | number of ranks, 1 to {LIMIT_MOST}, default {LIMIT_DEFAULT} |",
        "| `offset` | ranks to skip; pages together give the whole list |",
        f"| {names} | only items with this value. Case, width and spaces do not matter. Repeated values "
        "(`?stage=seed&stage=series-a`) mean any of them |",
        f"| `exclude` | up to {EXCLUDE_MOST} ids to leave out, separated by commas |",
    ])  # fmt: skip


def errors() -> str:
    """List the error codes of the API, one line for codes with the same meaning."""
    lines, alike = ["| status | `code` | meaning |", "|---|---|---|"], []
    for status, codes in CODES.items():
        for code, about in codes.items():
            alike.append(f"`{code}`")
            if about:
                lines.append(f"| {status} | {', '.join(alike)} | {about} |")
                alike = []
    return "\n".join(lines)


@dataclass(frozen=True)
class Decision:
    """The head of a decision record. status: "accepted" or "superseded by …", with its links."""

    file: str
    number: int
    title: str
    date: str
    status: str


def decisions() -> list[Decision]:
    """Read every decision record, in the order of file names. Raises ValueError for a malformed head."""
    found = []
    for path in sorted((ROOT / RECORDS).glob("[0-9]*.md")):
        head = HEAD.match(path.read_text())
        if head is None:
            raise ValueError(
                f"{path.name}: expected '# NNNN. Title', an empty line, 'Date: YYYY-MM-DD. Status: accepted.' or "
                "'superseded by [NNNN](file).', and the paragraphs **Context.**, **Decision.** and **Consequences.**"
            )
        found.append(Decision(path.name, int(head["number"]), head["title"], head["date"], head["status"]))
    return found


def decision_table() -> str:
    """List the decision records, one line each, with the status of those that others changed."""
    told = {d.file: "" if d.status == "accepted" else f": {d.status}" for d in decisions()}
    return "\n".join(f"- [{d.number:04d}. {d.title}]({d.file}){told[d.file]}" for d in decisions())


#: By name of a table: its document and its function. It is between `<!-- table NAME -->` and `<!-- end NAME -->`.
TABLES: dict[str, tuple[str, Callable[[], str]]] = {
    "bundles": ("docs/reference/architecture.md", bundles),
    "sources": ("docs/reference/architecture.md", sources),
    "users": ("docs/guides/your-data.md", partial(fields, schema.USERS)),
    "startups": ("docs/guides/your-data.md", partial(fields, schema.STARTUPS)),
    "interactions": ("docs/guides/your-data.md", partial(fields, schema.INTERACTIONS)),
    "parameters": ("docs/reference/api.md", parameters),
    "errors": ("docs/reference/api.md", errors),
    "decisions": (f"{RECORDS}/README.md", decision_table),
    "requirements": ("docs/requirements.md", requirements.page),
}


def filled(name: str, text: str) -> str:
    """Return a document with one table written again. Raises ValueError if its marks are missing."""
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
