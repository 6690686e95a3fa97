"""### What answers earned, once an hour

Every answer of the reader has an id, and what comes back with it (impressions, clicks, applications, opinions) stands
in PostgreSQL. This DAG joins both for the last `[engagement] window_days` days and counts: click-through, conversion,
application, satisfaction, the age of what was shown, the share of each route, of each method, surface, release and arm
of an experiment, with intervals over owners; and whether the arms are as large as they were drawn.

The figures go into `earnings.json` in the artefact store, from where the next build's report takes them, and into the
reader's `/metrics`. Nothing is changed by them, and counting an hour again gives the same; figures of an older hour
never replace newer ones. The return value says how many answers and impressions there were, and which experiments are
`uneven`: trust no difference of those before it is known why.

The cutoff follows the rule of `build_recommendations`: the end of the hour of a scheduled run, else the parameter
`as_of`, else the run's own time.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import task
from matchbook_tasks.rules import AS_OF, Ref, matchbook_dag, run_cutoff, skip, task_settings


@task(multiple_outputs=False, execution_timeout=timedelta(minutes=30))
def measure(**context: Any) -> Ref:
    """Count what answers earned, for the report and for metrics; pink while nothing has been shown to anybody."""
    from pipelines.engagement.measure import keep_measured

    done = keep_measured(task_settings(), run_cutoff(context).at)
    if not done["impressions"]:
        skip("no impression came back with the id of an answer; docs/guides/experiments.md says how", done, context)
    return done


@matchbook_dag(
    "measure_answers",
    __doc__,
    "Count what answers earned: clicks, applications, opinions, by method and by arm",
    "hourly",
    hours=1,
    cron="15 * * * *",
    params={"as_of": AS_OF},
)
def measure_answers() -> None:
    measure()


measure_answers()
