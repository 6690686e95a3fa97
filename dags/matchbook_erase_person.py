"""### Erase a person from everything that Matchbook stores

Trigger this DAG with the id of a user (or of a startup) who asks for erasure. It removes their events, counts, rejected
rows and Redis keys. It removes their rows from every snapshot, bundle and stored release, their lists, and their places
in all other lists. Files that hold them are rewritten under a new digest, and the old files are deleted. Readers switch
to the successor of the live release atomically.

The task writes a **receipt** below `MATCHBOOK_HOME/erasure`: what was removed from each place, and the successor of
each replaced file. It names the person by a keyed hash only. You can run it again: finished parts are skipped, and an
interrupted erasure continues. At its end the task replaces the id by that hash in Airflow's own records: parameters of
this and earlier runs, the audit log, task logs.

**The platform's own tables are not changed**: erase the person there too. Until then, exports and the reader ignore
their rows. **A build that runs at the same time** may fail, or write the person into its own files:
`retire_old_artifacts` removes them.

**If the task fails**, its log says what is left, or which server did not answer. Clear the task or trigger a new run.
The parameter keeps the id until a run succeeds.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, task
from matchbook_tasks.rules import LIVE, PUBLISH, Ref, matchbook_dag, task_settings

PARAMS = {
    "person": Param(
        type="string",
        pattern=r"^\s*[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\s*$",
        title="Person",
        description="The id of a user or startup, a UUID.",
    ),
}


@task(multiple_outputs=False, pool=PUBLISH, outlets=[LIVE], execution_timeout=timedelta(hours=4))
def erase(**context: Any) -> Ref:
    """Erase the person everywhere, search for what is left, and return the receipt. Lists change, so exports start."""
    from pipelines.erase.erase import erase

    return erase(task_settings(), context["params"]["person"])


@matchbook_dag(
    "erase_person",
    __doc__,
    "Erase a person from everything that Matchbook stores",
    "by hand",
    hours=6,
    params=PARAMS,
)
def erase_person() -> None:
    erase()


erase_person()
