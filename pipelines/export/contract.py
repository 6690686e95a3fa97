"""What the three contract views promise, and a readable complaint about every promise that is broken."""

from __future__ import annotations

from sqlalchemy import Engine, text

from models.errors import ContractError
from pipelines.postgres import transaction

_TEXT = ("text", "character varying", "character")
_INSTANT = ("timestamp with time zone",)
_ID = ("uuid",)
_COUNT = ("bigint", "integer", "smallint")

#: view -> column -> the types it may have; the first one is the one to name.
CONTRACT: dict[str, dict[str, tuple[str, ...]]] = {
    "matchbook_users": {
        "user_id": _ID,
        "role": _TEXT,
        "created_at": _INSTANT,
        "updated_at": _INSTANT,
        "name": _TEXT,
        "headline": _TEXT,
        "skills": _TEXT,
        "interests": _TEXT,
        "location": _TEXT,
        "opted_out_at": _INSTANT,
    },
    "matchbook_startups": {
        "startup_id": _ID,
        "name": _TEXT,
        "description": _TEXT,
        "category": _TEXT,
        "field": _TEXT,
        "type": _TEXT,
        "tags": _TEXT,
        "stage": _TEXT,
        "location": _TEXT,
        "founder_id": _ID,
        "created_at": _INSTANT,
        "updated_at": _INSTANT,
        "withdrawn_at": _INSTANT,
        "views": _COUNT,
    },
    "matchbook_interactions": {"user_id": _ID, "startup_id": _ID, "interaction_type": _TEXT, "occurred_at": _INSTANT},
}

_COLUMNS_OF_VIEWS = """
SELECT v.name AS view, a.attname AS column, format_type(a.atttypid, NULL) AS type
FROM unnest(CAST(:views AS text[])) AS v(name)
JOIN pg_attribute a ON a.attrelid = to_regclass(v.name) AND a.attnum > 0 AND NOT a.attisdropped
"""


def check_contract(engine: Engine) -> None:
    """Raises ContractError that lists every missing view, missing column and wrong type at once."""
    with transaction(engine) as connection:
        found: dict[str, dict[str, str]] = {}
        for row in connection.execute(text(_COLUMNS_OF_VIEWS), {"views": list(CONTRACT)}):
            found.setdefault(row.view, {})[row.column] = row.type
    broken = [said for view, columns in CONTRACT.items() for said in _complaints(view, columns, found.get(view))]
    if broken:
        raise ContractError(
            "the platform's views break their contract:\n  "
            + "\n  ".join(broken)
            + "\nWrite them over your own tables as docs/platform-data.md shows, then try again"
        )


def _complaints(view: str, columns: dict[str, tuple[str, ...]], found: dict[str, str] | None) -> list[str]:
    if found is None:
        return [f"{view}: expected a view with {', '.join(columns)}; there is no such view (is it in the search_path?)"]
    return [
        f"{view}.{name}: expected {types[0]}, found {found.get(name, 'no such column')}"
        for name, types in columns.items()
        if found.get(name) not in types
    ]
