"""### Make a stored release live, or go back to the one before

Trigger this DAG to undo a bad night, or to show the lists of a backfilled day. Readers follow within 5 seconds, without
a restart, the models of the live fallback with them.

| parameter | meaning |
|---|---|
| `release` | `previous`: the build that was live before this one (roll back); or the name of any stored release |
| `dry_run` | open the release, see whether Redis has room for it, say what would happen; change nothing |
| `force` | make it live even where the live release has a newer cutoff. Going back to `previous` needs no force |

The release is loaded into Redis under keys of its own, read back and compared with its checksum, then made live in one
atomic move; where anything is missing the live release stays. A release that is still loaded is only compared.

`python -m pipelines releases` lists what is stored, and which is live.
**When the task is pink**, it was a dry run, or a newer cutoff is live and `force` was off: its log says which.
**The next scheduled build goes live again**, as its cutoff is newer: pause `build_recommendations` while you look into
what went wrong.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, task
from matchbook_tasks.rules import LIVE, PUBLISH, Ref, matchbook_dag, skip, task_settings, told

PARAMS = {
    "release": Param(
        "previous",
        type="string",
        minLength=1,
        title="Release",
        description="'previous' to roll back, or the name of a stored release.",
    ),
    "dry_run": Param(False, type="boolean", title="Dry run", description="Only say what would happen."),
    "force": Param(
        False, type="boolean", title="Force", description="Also over a live release with a newer cutoff. It is logged."
    ),
}


@task(multiple_outputs=False, pool=PUBLISH, outlets=[LIVE], execution_timeout=timedelta(minutes=30))
def promote(**context: Any) -> Ref:
    """Load the release if it is not there, compare it with its checksum, switch the readers over in one move."""
    from pipelines.publish.history import promote, rollback

    params, settings = context["params"], task_settings()
    if params["release"] == "previous":
        done = rollback(settings, params["dry_run"])
    else:
        done = promote(settings, params["release"], params["force"], params["dry_run"])
    if not done.published:
        skip(done.reason, done.as_json(), context)
    return told(LIVE, context, done.as_json())


@matchbook_dag(
    "promote_release",
    __doc__,
    "Roll back, or make any stored release live",
    "by hand",
    hours=1,
    params=PARAMS,
)
def promote_release() -> None:
    promote()


promote_release()
