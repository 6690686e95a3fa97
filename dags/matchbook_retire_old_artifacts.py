"""### Keep the newest, delete the rest, once a day

Every build leaves a snapshot, bundles, a release and its staging on disk. This DAG deletes what is old: releases beyond
`MATCHBOOK_KEEP_ARTIFACTS`, then the snapshots and bundles that no kept release names, and the staging of old runs.
What is live, and what was live before it and can still be rolled back to, is never deleted.

So is what was posted to the reader long ago and serves nobody any more: events of people or startups that the platform
does not know (after `MATCHBOOK_STRANGERS_DAYS`), impressions that no figure looks back to, entries that were set aside.
What bars two from each other's lists is never deleted by age.

The return value of the task names everything that was deleted.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import CronDataIntervalTimetable, dag, task
from matchbook_tasks.notify import run_failed
from matchbook_tasks.rules import DEFAULTS, PUBLISH, Ref, settings_here


@task(multiple_outputs=False, pool=PUBLISH)
def retire() -> Ref:
    """Delete what no kept release needs; returns the names of what went."""
    from pipelines.release.history import retire
    from pipelines.release.since.retention import prune_posted

    return {**retire(settings_here()), **prune_posted(settings_here())}


@dag(dag_id="retire_old_artifacts", schedule=CronDataIntervalTimetable("0 5 * * *", timezone="UTC"), catchup=False,
     start_date=datetime(2010, 1, 1, tzinfo=UTC), max_active_runs=1, dagrun_timeout=timedelta(hours=2),
     default_args=DEFAULTS, on_failure_callback=run_failed, tags=["matchbook", "daily"], doc_md=__doc__,
     description="Delete old snapshots, bundles, releases, staging and posted events")
def retire_old_artifacts() -> None:
    retire()


retire_old_artifacts()
