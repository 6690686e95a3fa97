"""### Keep the newest, delete the rest, once a day

Every build leaves a snapshot, bundles, a release and its staging on disk. This DAG deletes old ones: releases beyond
`[releases] keep_on_disk`, snapshots and bundles that no kept release names, and staging of old runs. It never deletes
the live release, or the previous one that a rollback needs.

It also deletes posted events without further use: events of users or startups that the platform does not know (after
`[events] strangers_days`), impressions older than every figure's window, and rejected entries. It never deletes
dismissals by age: they keep two owners out of each other's lists.

The return value of `retire` names everything that was deleted.

`clean_airflow` deletes Airflow's own rows and task logs older than `[airflow] keep_days` with `airflow db clean`.
The newest scheduled run of each DAG stays. It needs `MATCHBOOK_AIRFLOW_DATABASE_URL`, which `make up` and
docker-compose.yml set.
"""

from __future__ import annotations

from airflow.sdk import task
from matchbook_tasks.rules import PUBLISH, Ref, matchbook_dag, task_settings


@task(multiple_outputs=False, pool=PUBLISH)
def retire() -> Ref:
    """Delete what no kept release needs; return the deleted names."""
    from pipelines.retire import prune_posted, retire

    return {**retire(task_settings()), **prune_posted(task_settings())}


@task(multiple_outputs=False)
def clean_airflow() -> Ref:
    """Delete Airflow's old rows and logs; return the number of logs, and whether rows could be cleaned."""
    from pipelines.airflow_records import clean_airflow

    return clean_airflow(task_settings())


@matchbook_dag(
    "retire_old_artifacts",
    __doc__,
    "Delete old releases, snapshots, bundles, staging, posted events and Airflow records",
    "daily",
    hours=2,
    cron="0 5 * * *",
)
def retire_old_artifacts() -> None:
    retire()
    clean_airflow()


retire_old_artifacts()
