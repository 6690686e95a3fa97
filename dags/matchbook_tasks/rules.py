"""Rules of every Matchbook DAG and task: retries, pools, time limits, and how a task runs its step."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, CronDataIntervalTimetable, ExceptionRetryPolicy, Param, RetryAction, RetryRule, dag
from airflow.sdk.exceptions import AirflowSkipException

from matchbook_tasks.alerts import run_failed, task_failed
from models.schema import Surface

if TYPE_CHECKING:
    from models.settings.settings import Settings
    from pipelines.run.run import Cutoff, Run

log = logging.getLogger(__name__)
Ref = dict[str, Any]  # result of a task: names, versions and counts, never data
Upstream = Any  # an earlier task's result: an XComArg while Airflow reads the file, JSON when the task runs

SURFACES = [surface.value for surface in Surface]

AS_OF = Param(
    None,
    type=["null", "string"],
    format="date-time",
    title="As of",
    pattern=r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?$",
    description="Use what was known before this instant. Empty: the run's own time. UTC unless a zone is "
    "given. Ignored by backfills, whose cutoff is the end of each interval.",
)

# pools.json has their slots. `make up` and the init service of docker-compose.yml import it.
TRAINING, SCORING, PUBLISH = "matchbook_training", "matchbook_scoring", "matchbook_publish"

SNAPSHOT = Asset(name="matchbook_snapshot", uri="matchbook://snapshots")
BUNDLES = Asset(name="matchbook_bundles", uri="matchbook://bundles")
RELEASE = Asset(name="matchbook_release", uri="matchbook://releases")
LIVE = Asset(name="matchbook_live_lists", uri="matchbook://live")


def pull_artifacts(context: Any) -> None:
    """Before a task: fetch artefacts of other machines from object storage (MATCHBOOK_ARTIFACTS)."""
    from pipelines.store.mirror import pull

    pull(task_settings(), directory_of(context))


def push_artifacts(context: Any, result: Any = None) -> None:  # noqa: ARG001 - Airflow passes it
    """After a task: store its staging files. A task whose files cannot be stored fails."""
    from pipelines.store.mirror import push

    push(task_settings(), directory_of(context))


# A server may answer a minute later. A retry does not remove errors of data or settings.
TRIES = ExceptionRetryPolicy(
    rules=[
        RetryRule(
            ["models.errors.ServiceError", "models.errors.ReleaseIncomplete"],
            RetryAction.DEFAULT,
            reason="a server did not answer, or another publisher was active",
        ),
        RetryRule(
            "models.errors.MatchbookError",
            RetryAction.FAIL,
            reason="a retry does not help; the error says what does",
        ),
    ]
)
DEFAULTS: dict[str, Any] = {
    "owner": "matchbook",
    "retries": 2,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=10),
    "retry_policy": TRIES,
    "execution_timeout": timedelta(hours=1),
    "weight_rule": "absolute",  # tasks of equal priority that wait for one slot run in pipeline order
    "pre_execute": pull_artifacts,
    "post_execute": push_artifacts,
    "on_failure_callback": task_failed,
}


def matchbook_dag(
    dag_id: str,
    about: str | None,
    description: str,
    often: str,
    *,
    hours: float,
    cron: str = "",
    after: Asset | None = None,
    params: dict[str, Any] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the decorator of every DAG file.

    about: its Markdown page in the UI. often: a tag. hours: time limit of a run. cron: in UTC. after: an asset whose
    updates start it. A DAG with neither is triggered by people and starts unpaused.
    """
    from models.run_directory import TAG

    return dag(
        dag_id=dag_id,
        schedule=CronDataIntervalTimetable(cron, timezone="UTC") if cron else [after] if after else None,
        catchup=False,
        start_date=datetime(2010, 1, 1, tzinfo=UTC),
        is_paused_upon_creation=None if cron or after else False,
        max_active_runs=1,
        dagrun_timeout=timedelta(hours=hours),
        default_args=DEFAULTS,
        on_failure_callback=run_failed,
        params=params,
        tags=[TAG, often],
        doc_md=about,
        description=description,
    )


def run_step(name: str, context: Mapping[str, Any], *given: Any, **more: Any) -> Any:
    """Run and measure one step of the build. Its options are the run's parameters and `more`.

    name: a step of `pipelines.build.STEPS` without its group. given: the step's input references, as JSON.
    """
    from pipelines.build import step_called
    from pipelines.run_build import run_task

    options = {**context["params"], "kind": kind_of(context), **more}
    with kept(context) as (task, index):
        return run_task(step_called(name), open_run(context), task, index, given, options)


@contextmanager
def kept(context: Mapping[str, Any]) -> Iterator[tuple[str, int | None]]:
    """Yield (task id, index of a mapped task). Staging files are stored even if the task fails."""
    from models.errors import ServiceError

    ti = context["ti"]
    try:
        yield ti.task_id, None if ti.map_index < 0 else ti.map_index
    except BaseException:
        with suppress(ServiceError):
            push_artifacts(context)
        raise


@contextmanager
def noted(context: Mapping[str, Any]) -> Iterator[None]:
    """Measure a task outside the steps of a build; see `measured`."""
    from pipelines.report.store import measured

    with kept(context) as (task, index), measured(task_settings(), directory_of(context), task, index):
        yield


def directory_of(context: Mapping[str, Any]) -> str:
    from models.run_directory import directory_of

    return directory_of(context["run_id"], context["dag"].dag_id)


def task_settings() -> Settings:
    """Return this worker's settings. Raises SettingsError if an address of the two servers is missing."""
    from models.errors import SettingsError
    from models.settings.settings import Settings

    settings = Settings.from_env()
    if not (settings.database_url and settings.redis_url):
        raise SettingsError(
            "expected DATABASE_URL and REDIS_URL in the environment of Airflow's tasks; set both, or start Airflow "
            "with `make up`, which sets them"
        )
    return settings


def open_run(context: Mapping[str, Any]) -> Run:
    """Return the build that `choose_cutoff` started in this run."""
    from pipelines.run.run import Run

    return Run.open(task_settings(), directory_of(context))


def emit(asset: Asset, context: Mapping[str, Any], result: Ref, **more: Any) -> Ref:
    """Attach the result of a task to the asset event, and return it."""
    context["outlet_events"][asset].extra = {**result, **more}
    return result


def run_cutoff(context: Mapping[str, Any]) -> Cutoff:
    """Return and log this run's cutoff, from the function that all runs share."""
    from pipelines.run.run import RunTimes, cutoff_of

    run = context["dag_run"]
    cutoff = cutoff_of(
        RunTimes(
            kind_of(context),
            run.run_after,
            run.logical_date,
            run.data_interval_end,
            (run.conf or {}).get("as_of") or context["params"].get("as_of"),
            run.start_date,
        )
    )
    log.info("cutoff %s: %s", cutoff.at.isoformat(), cutoff.because)
    return cutoff


def kind_of(context: Mapping[str, Any]) -> str:
    """Return the run type: "scheduled", "backfill", "manual", "asset_triggered" …"""
    return str(getattr(context["dag_run"].run_type, "value", context["dag_run"].run_type))


def decided_by(user: str | None, given: Mapping[str, Any] | None) -> str:
    """Return who decided: Airflow's user, and the "by" that the console passes on, which names a key."""
    return ", ".join(filter(None, [user, str((given or {}).get("by") or "")]))


def interval_of(context: Mapping[str, Any]) -> tuple[datetime, datetime] | None:
    """Return the data interval of a scheduled run; None for any other run."""
    run = context["dag_run"]
    return (run.data_interval_start, run.data_interval_end) if kind_of(context) == "scheduled" else None


def skip(reason: str, found: Ref, context: Mapping[str, Any]) -> None:
    """End the task as skipped, with the reason in its log and return value."""
    log.warning("skipped: %s", reason)
    push_artifacts(context)  # Airflow does not call post_execute of a skipped task
    context["ti"].xcom_push(key="return_value", value={**found, "reason": reason})
    raise AirflowSkipException(reason)
