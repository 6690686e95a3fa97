"""### Engagement with answers, once an hour

Every answer of the reader has an id. Events that name this id (impressions, clicks, applications, likes and dislikes)
are in PostgreSQL. This DAG joins answers and events of the last `[engagement] window_days` days. For each method,
surface, release and experiment arm it computes click-through, conversion, application and satisfaction rates, with
intervals over owners. It also computes the age of shown items and the share of each route, and tests whether the arms
have the planned sizes.

The figures are in `earnings.json` of the artefact store. The next build's report and the reader's `/metrics` use them.
They change nothing else. Counting an hour again gives the same result, and older figures never replace newer ones. The
return value has the number of answers and impressions, and the `uneven` experiments: do not trust their differences
until the cause is known.

The second task, `diagnose`, runs the checks of `python -m pipelines doctor` and stores their findings in Redis. It also
renews the summaries of the newest builds there. The overview of the reader's console shows both.

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
    """Count engagement for the report and the metrics. Skipped while there is no impression."""
    from pipelines.engagement.measure import keep_measured

    done = keep_measured(task_settings(), run_cutoff(context).at)
    if not done["impressions"]:
        skip("no impression has the id of an answer; docs/guides/experiments.md says how to send it", done, context)
    return done


@task(multiple_outputs=False, execution_timeout=timedelta(minutes=15))
def diagnose() -> Ref:
    """Check for known problems. Store the findings and the summaries of builds for the console."""
    from pipelines.doctor.keep import keep_diagnosed
    from pipelines.report.store import reports
    from pipelines.report.summary import keep_summaries

    settings = task_settings()
    return keep_diagnosed(settings) | {"builds": keep_summaries(settings, reports(settings))}


@matchbook_dag(
    "measure_answers",
    __doc__,
    "Count engagement with answers by method and arm; check for known problems",
    "hourly",
    hours=1,
    cron="15 * * * *",
    params={"as_of": AS_OF},
)
def measure_answers() -> None:
    measure()
    diagnose()


measure_answers()
