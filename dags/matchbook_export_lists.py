"""### The live lists as files

Warehouses and e-mail campaigns read files, not the reader. When a release becomes live (the asset
`matchbook_live_lists`), this DAG writes its lists to `[lists_export] target`, a folder or object storage: each surface,
with names and reasons, as Parquet, CSV or JSON lines. Without a target the task is skipped.

| parameter | meaning |
|---|---|
| `release` | a stored release; empty: the live one |

A file appears when it is whole, and `_<format>.json` of a release when all its files are there. A release that is there
is not written again. Files of releases that Matchbook no longer stores are removed: those that were retired, and those
that an erasure has replaced. `docs/guides/lists-as-files.md` describes the folders and columns.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, task
from matchbook_tasks.rules import LIVE, Ref, matchbook_dag, skip, task_settings

PARAMS = {
    "release": Param(
        None, type=["null", "string"], title="Release", description="A stored release. Empty: the live one."
    ),
}


@task(multiple_outputs=False, execution_timeout=timedelta(hours=3))
def export(**context: Any) -> Ref:
    """Write the lists; return the release, the rows of each file and the removed exports."""
    from pipelines.list_files import export_live

    settings = task_settings()
    if not settings.lists_export.target:
        skip("no target: set [lists_export] target to a folder or URL", {"target": None}, context)
    return export_live(settings, context["params"]["release"])


@matchbook_dag(
    "export_lists",
    __doc__,
    "Write the live lists as files for warehouses and campaigns",
    "after each release",
    hours=4,
    after=LIVE,
    params=PARAMS,
)
def export_lists() -> None:
    export()


export_lists()
