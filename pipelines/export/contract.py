"""Whether the three contract views keep what `models/schema.py` declares, and a complaint about every break of it."""

from __future__ import annotations

from sqlalchemy import Engine, text

from models.errors import ContractError
from models.schema import TABLES, Table
from pipelines.postgres import transaction

_COLUMNS_OF_VIEWS = """
SELECT v.name AS view, a.attname AS column, format_type(a.atttypid, NULL) AS type
FROM unnest(CAST(:views AS text[])) AS v(name)
JOIN pg_attribute a ON a.attrelid = to_regclass(v.name) AND a.attnum > 0 AND NOT a.attisdropped
"""


def check_contract(engine: Engine) -> None:
    """Raises ContractError that lists every missing view, missing column and wrong type at once."""
    with transaction(engine) as connection:
        found: dict[str, dict[str, str]] = {}
        for row in connection.execute(text(_COLUMNS_OF_VIEWS), {"views": [t.view for t in TABLES]}):
            found.setdefault(row.view, {})[row.column] = row.type
    broken = [said for table in TABLES for said in _complaints(table, found.get(table.view))]
    if broken:
        raise ContractError(
            "the platform's views break their contract:\n  "
            + "\n  ".join(broken)
            + "\nWrite them over your own tables as docs/guides/your-data.md shows, then try again"
        )


def _complaints(table: Table, found: dict[str, str] | None) -> list[str]:
    if found is None:
        wanted = ", ".join(table.names)
        return [f"{table.view}: expected a view with {wanted}; there is no such view (is it in the search_path?)"]
    return [
        f"{table.view}.{f.name}: expected {f.type.accepted[0]}, found {found.get(f.name, 'no such column')}"
        for f in table.fields
        if found.get(f.name) not in f.type.accepted
    ]
