"""The three files of a data folder; their columns are the fields of `models/schema.py`."""

from __future__ import annotations

import hashlib
from pathlib import Path

from models.errors import DataError
from models.schema import TABLES, Table
from pipelines.ingest.rows import opened


def file_of(folder: Path, table: Table) -> Path:
    """`<name>.csv` or `<name>.csv.gz`. Raises DataError where there is none, or both."""
    found = [p for p in (folder / table.file, folder / f"{table.file}.gz") if p.is_file()]
    if not found:
        raise DataError(
            f"expected {table.file} or {table.file}.gz in {folder}, found neither; "
            "docs/guides/your-data.md describes a data folder"
        )
    if len(found) == 2:
        raise DataError(f"{folder} holds both {table.file} and {table.file}.gz; keep the one that is meant")
    return found[0]


def folder_digest(folder: Path) -> str:
    """Sixteen hex digits over what the three files say, compressed or not. Raises DataError for a missing one."""
    whole = hashlib.sha256()
    for table in TABLES:
        with opened(file_of(folder, table)) as (stream, _):
            one = hashlib.sha256()
            while piece := stream.read(1 << 20):
                one.update(piece)
            whole.update(one.digest())
    return whole.hexdigest()[:16]
