"""### Make a stored release live, or roll back

Trigger this DAG to undo a bad release, or to serve the lists of a backfilled day. Readers follow within 5 seconds
without a restart, and so do the models for live lists.

| parameter | meaning |
|---|---|
| `release` | `previous` (roll back): the last live build that is older than the live one; or a stored release |
| `back_to` | with `previous`: the release to which it must lead, else nothing changes; empty: any |
| `dry_run` | open the release, check that Redis has room, say what would happen; change nothing |
| `force` | publish even if the live release has a newer cutoff. `previous` needs no force |

The release is loaded into Redis under its own keys, read back and compared with its checksum, then made live
atomically. If anything is missing, the live release stays. A release that is already loaded is only compared.

`python -m pipelines releases` lists the stored releases and marks the live one.
**If the task is skipped**, it was a dry run, or a newer cutoff is live and `force` was off, or `back_to` is live
already: its log says which.
**The next scheduled build goes live again**, because its cutoff is newer. Pause `build_recommendations` while you
investigate.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, task
from matchbook_tasks.rules import LIVE, PUBLISH, Ref, decided_by, emit, matchbook_dag, skip, task_settings

PARAMS = {
    "release": Param(
        "previous",
        type="string",
        minLength=1,
        title="Release",
        description="'previous' to roll back, or the name of a stored release.",
    ),
    "back_to": Param(
        None,
        type=["null", "string"],
        title="Back to",
        description="The release to which 'previous' must lead; empty: any.",
    ),
    "dry_run": Param(False, type="boolean", title="Dry run", description="Say what would happen; change nothing."),
    "force": Param(
        False, type="boolean", title="Force", description="Publish even if a newer cutoff is live. The log records it."
    ),
}


@task(multiple_outputs=False, pool=PUBLISH, outlets=[LIVE], execution_timeout=timedelta(minutes=30))
def promote(**context: Any) -> Ref:
    """Load the release unless it is loaded, compare its checksum, publish it atomically."""
    from pipelines.publish.history import promote, rollback

    params, settings, run = context["params"], task_settings(), context["dag_run"]
    by = decided_by(run.triggering_user_name, run.conf)  # a task cannot read the note
    if params["release"] == "previous":
        done = rollback(settings, params["dry_run"], by, params["back_to"] or "")
    else:
        done = promote(settings, params["release"], params["force"], params["dry_run"], by)
    if not done.published:
        skip(done.reason, done.as_json(), context)
    return emit(LIVE, context, done.as_json())


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
