"""### Store posted events that still wait, every hour

Events that the platform posts to the reader (`POST /api/events`) wait in a Redis stream. The process
`python -m pipelines.events` moves them into the table `matchbook_events` within seconds. This DAG does the same once an
hour, in case that process is down. Trigger it to do the work now. It deletes an event from the stream only after the
commit, and stores an event once even if it was sent several times. So a run may fail, repeat or be killed at any
moment.

The task also reads new rows of the platform's own tables: interactions from outside the reader, withdrawn startups,
startups with a new owner, users who opted out. Answers are filtered by these rows from then on, without a new build.

The return value counts `drained` and `new` events, and `set_aside` entries (no valid events, stored in
`matchbook_rejected_events`). It also counts the pairs (`met`) and ids (`hidden`, `shown`) that changed the filters. The
reader's `/metrics` has the number of waiting events and the age of the oldest.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import task
from matchbook_tasks.rules import Ref, matchbook_dag, task_settings


@task(multiple_outputs=False, execution_timeout=timedelta(minutes=20))
def drain() -> Ref:
    """Store the events of the stream, then update the filters of answers from the platform's rows."""
    from pipelines.events.drain import drain_events

    return drain_events(task_settings())


@matchbook_dag(
    "drain_events",
    __doc__,
    "Store posted events in PostgreSQL, update the filters of answers",
    "hourly",
    hours=0.5,
    cron="5 * * * *",
)
def drain_events() -> None:
    drain()


drain_events()
