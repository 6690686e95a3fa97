"""### Trending lists, once an hour

Trending lists become outdated between two builds. This DAG counts the events of the last days again and replaces the
trending list of every surface. The lists of single owners do not change.

The task is skipped while no release is live. The cutoff follows the rule of `build_recommendations`: the end of the
hour of a scheduled run, else the parameter `as_of`, else the run's own time. A list is only replaced by one with a
newer cutoff: running an old hour again changes nothing.

The second task, `look_at_age`, reports lists older than `[releases] late_hours`: once for each release, in its log and
to `MATCHBOOK_WEBHOOK_URL`. It does not depend on the state of builds.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import task
from matchbook_tasks.rules import AS_OF, PUBLISH, Ref, matchbook_dag, run_cutoff, skip, task_settings


@task(multiple_outputs=False, pool=PUBLISH, execution_timeout=timedelta(minutes=20))
def refresh(**context: Any) -> Ref:
    """Count the newest events and replace the trending list of every surface."""
    from pipelines.publish.trending import refresh_trending

    done = refresh_trending(task_settings(), run_cutoff(context).at)
    if done["release"] is None:
        skip("no release is live, or there are no events: run build_recommendations first", done, context)
    return done


@task(multiple_outputs=False, execution_timeout=timedelta(minutes=5))
def look_at_age(**context: Any) -> Ref:
    """Log the age of the live lists, and send a notice if they are late."""
    from matchbook_tasks.alerts import late

    from pipelines.schedule import list_freshness

    age = list_freshness(task_settings(), run_cutoff(context).at)
    if age.late:
        late(str(age.release), age.late)
    return age.to_json()


@matchbook_dag(
    "refresh_trending",
    __doc__,
    "Replace the trending lists between two builds",
    "hourly",
    hours=1,
    cron="0 * * * *",
    params={"as_of": AS_OF},
)
def refresh_trending() -> None:
    refresh()
    look_at_age()


refresh_trending()
