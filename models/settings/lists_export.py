"""The table [lists_export] of matchbook.toml, and the formats of lists as files."""

from __future__ import annotations

from dataclasses import dataclass

from models.setting import Phase, setting

#: Formats of lists as files, see pipelines/list_files.py.
LIST_FORMATS = ("parquet", "csv", "jsonl")


@dataclass(frozen=True)
class ListsExport:
    """Lists as files for warehouses and campaigns, written by the DAG export_lists."""

    target: str = setting(
        "",
        "folder, or fsspec URL such as s3://bucket/lists, that gets the live lists as files; empty: none",
        phase=Phase.DEPLOY,
    )
    format: str = setting("parquet", "format of the files", choices=LIST_FORMATS, phase=Phase.DEPLOY)
    depth: int = setting(
        0, "places of a list in the files; 0: all that are stored", unit="places", low=0, phase=Phase.DEPLOY
    )
