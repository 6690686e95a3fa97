"""### New lists between builds, once an hour, without training

Between two builds people view startups, sign up and create new ones. This DAG makes new lists for **owners with new
information** and copies all other lists unchanged:

| owner | reason |
|---|---|
| users and startups with new interactions | segments change at 5 and 20 interactions; new events are folded in |
| new users and startups | content-based lists until the next build trains on them |
| owners similar to somebody new | a startup created in the morning can be recommended in the afternoon |

The new release **replaces** the live one, so `rollback` still leads to the build before. If a build went live in the
meantime, that build stays and `publish` is skipped. Each list keeps its own `generated_at`.

**The cutoff** follows the rule of `build_recommendations`: the end of the hour of a scheduled run, else the parameter
`as_of`, else the run's own time. Switch `publish` off to store the release without publishing it.

**Skipped from `look_for_changes` on**: nothing new, or no release is live; the log says which.
**`merge` failed**: an owner would have no list, or too many owners would lose their own list
(`[refresh] popular_share`). Nothing is stored and the live lists stay. The next build makes all lists anew.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, task
from matchbook_tasks.rules import (
    AS_OF,
    LIVE,
    PUBLISH,
    RELEASE,
    SCORING,
    Ref,
    Upstream,
    directory_of,
    emit,
    matchbook_dag,
    noted,
    run_cutoff,
    skip,
    task_settings,
)

SHORT = timedelta(minutes=30)


@task(multiple_outputs=False, execution_timeout=SHORT)
def look_for_changes(**context: Any) -> Ref:
    """Read interactions, users and startups newer than the live release. Skipped if there are none."""
    from pipelines.refresh.refresh import look_for_changes

    with noted(context):
        found = look_for_changes(task_settings(), directory_of(context), run_cutoff(context).at).as_json()
    if found["reason"]:
        _decided("skip", found["reason"], found)
        skip(found["reason"], found, context)
    return found


@task(multiple_outputs=False, pool=SCORING, execution_timeout=timedelta(hours=1))
def make_lists(changes: Upstream, **context: Any) -> Ref:
    """Make new lists for the owners that the changes affect, with the models of the live release."""
    from pipelines.refresh.refresh import make_lists
    from pipelines.refs import ChangesRef

    with noted(context):
        made = make_lists(task_settings(), ChangesRef.from_json(changes))
        return {surface: one.as_json() for surface, one in made.items()}


@task(multiple_outputs=False, outlets=[RELEASE], execution_timeout=SHORT)
def merge(changes: Upstream, lists: Upstream, **context: Any) -> Ref:
    """Store new and unchanged lists as one release. Fails if an owner would have no list."""
    from pipelines.refresh.refresh import merge
    from pipelines.refs import ChangesRef, RescoredRef

    made = {surface: RescoredRef.from_json(one) for surface, one in lists.items()}
    with noted(context):
        stored = merge(task_settings(), ChangesRef.from_json(changes), made)
        return emit(RELEASE, context, stored.as_json(), as_of=changes["as_of"])


@task(multiple_outputs=False, pool=PUBLISH, outlets=[LIVE], execution_timeout=SHORT)
def publish(release: Upstream, **context: Any) -> Ref:
    """Replace the release that it refreshes. Skipped if another build went live in the meantime."""
    from pipelines.refresh.refresh import publish_refresh

    if context["params"]["publish"]:
        with noted(context):
            done = publish_refresh(task_settings(), release["release"]).as_json()
    else:
        done = {**release, "published": False, "reason": f"this was a dry run: {release['release']} is stored only"}
    _decided("publish" if done["published"] else "skip", done["reason"], release)
    if not done["published"]:
        skip(done["reason"], done, context)
    return emit(LIVE, context, done)


def _decided(verdict: str, reason: str, about: Ref) -> None:
    from pipelines.run.run import log_decision

    log_decision(
        task_settings(),
        "refresh",
        verdict,
        [reason],
        **{k: about[k] for k in ("release", "refreshes", "as_of") if k in about},
    )


PARAMS = {
    "as_of": AS_OF,
    "publish": Param(True, type="boolean", title="Publish", description="Off: the release is stored, not published."),
}


@matchbook_dag(
    "refresh_ranked_lists",
    __doc__,
    "New lists for owners with new interactions and for new owners; all others stay",
    "hourly",
    hours=2,
    cron="10 * * * *",
    params=PARAMS,
)
def refresh_ranked_lists() -> None:
    changes = look_for_changes()
    publish(merge(changes, make_lists(changes)))


refresh_ranked_lists()
