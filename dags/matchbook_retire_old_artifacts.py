"""### Keep the newest, delete the rest, once a day

Every build leaves a snapshot, bundles, a release and its staging on disk. This DAG deletes what is old: releases beyond
`[releases] keep_on_disk`, then the snapshots and bundles that no kept release names, and the staging of old runs.
What is live, and what was live before it and can still be rolled back to, is never deleted.

So is what was posted to the reader long ago and serves nobody any more: events of people or startups that the platform
does not know (after `[events] strangers_days`), impressions that no figure looks back to, entries that were set aside.
What bars two from each other's lists is never deleted by age.

The return value of `retire` names everything that was deleted.

`clean_airflow` does the same for Airflow's own rows and task logs, by `airflow db clean`: older than
`[airflow] keep_days` they go, the runs of `drain_events`, one a minute, after two days. The newest scheduled
run of each DAG stays. It needs `MATCHBOOK_AIRFLOW_DATABASE_URL`, which `make up` and docker-compose.yml set.
"""

from __future__ import annotations

from airflow.sdk import task
from matchbook_tasks.rules import PUBLISH, Ref, matchbook_dag, task_settings


@task(multiple_outputs=False, pool=PUBLISH)
def retire() -> Ref:
    """Delete what no kept release needs; returns the names of what went."""
    from pipelines.retire import prune_posted, retire

    return {**retire(task_settings()), **prune_posted(task_settings())}


@task(multiple_outputs=False)
def clean_airflow() -> Ref:
    """Delete Airflow's old rows and logs; returns how many logs went, and whether rows could be cleaned."""
    from pipelines.airflow_records import clean_airflow

    return clean_airflow(task_settings())


@matchbook_dag(
    "retire_old_artifacts",
    __doc__,
    "Delete old releases, snapshots, bundles, staging, posted events, and what Airflow keeps of old runs",
    "daily",
    hours=2,
    cron="0 5 * * *",
)
def retire_old_artifacts() -> None:
    retire()
    clean_airflow()


retire_old_artifacts()
