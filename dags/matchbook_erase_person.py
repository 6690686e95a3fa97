"""### Take a person out of everything that Matchbook keeps

Trigger this DAG with the id of a user (or of a startup) who wants to be forgotten. Their events, counts and rejected
rows, their rows in every snapshot, bundle and stored release, their lists and their place in everybody else's lists,
and every small key about them in Redis go. What held them is rewritten as a successor with a new digest, the old is
deleted; readers go over to the successor of the live release in one move.

The task leaves a **receipt** below `MATCHBOOK_HOME/erasure`: what was removed where, and what replaced what. It names
the person by a keyed hash only. Run it again whenever you like: what is done already is passed over, and an erasure
that was cut off goes on. At its end the task puts that hash in the place of the id in Airflow's own records, too: in
the parameter of this run, of earlier ones, in the audit log, in logs of tasks.

**The platform's own tables are not Matchbook's**: erase the person there, too. While they still stand there, exports
and the reader pass them over. **A build that was under way** may fail, or bring the person back into its own files:
`retire_old_artifacts` takes them out again.

**When the task is red**, its log says what is left where, or which server did not answer: clear it, or trigger a new
run. The parameter holds the id until a run has gone well.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, task
from matchbook_tasks.rules import PUBLISH, Ref, matchbook_dag, task_settings

PARAMS = {
    "person": Param(
        type="string",
        pattern=r"^\s*[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\s*$",
        title="Person",
        description="The id of a user or startup, a UUID.",
    ),
}


@task(multiple_outputs=False, pool=PUBLISH, execution_timeout=timedelta(hours=4))
def erase(**context: Any) -> Ref:
    """Erase the person everywhere, search for what is left, and return the receipt."""
    from pipelines.erase.erase import erase

    return erase(task_settings(), context["params"]["person"])


@matchbook_dag(
    "erase_person",
    __doc__,
    "Take a person out of everything that Matchbook keeps",
    "by hand",
    hours=6,
    params=PARAMS,
)
def erase_person() -> None:
    erase()


erase_person()
