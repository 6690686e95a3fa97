"""### What people do now, kept and acted on, every minute

Events that the platform posts to the reader (`POST /api/events`) wait in a stream in Redis. This DAG moves them into
the table `matchbook_events`, where the next build finds them. An event is deleted from the stream only once it is
committed, and is kept once however often it was sent, so a run may fail, be repeated or be killed at any moment.

The same task reads what is new in the platform's own tables: interactions that never came through the reader, startups
that were withdrawn or changed hands, people who opted out. Answers leave them out from then on, without a new build.

The return value says how many events were `drained`, how many of them were `new`, how many entries were `set_aside`
because they are no events (table `matchbook_rejected_events`), and how many pairs (`met`) and ids (`hidden`, `shown`)
changed the filters. The reader's `/metrics` tells how many events wait, and for how long the oldest does.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import task
from matchbook_tasks.rules import Ref, matchbook_dag, task_settings


@task(multiple_outputs=False, execution_timeout=timedelta(minutes=20))
def drain() -> Ref:
    """Keep what waits in the stream, then bring the filters of answers up to date with the platform's rows."""
    from pipelines.events.drain import drain_events

    return drain_events(task_settings())


@matchbook_dag(
    "drain_events",
    __doc__,
    "Keep posted events in PostgreSQL, bring the filters of answers up to date",
    "every minute",
    hours=0.5,
    cron="* * * * *",
)
def drain_events() -> None:
    drain()


drain_events()
