"""### Lists for what happened today, once an hour, without training

Between two builds people go on: they meet startups, sign up, found. This DAG makes new lists **for those of whom
something new is known** and carries all others over, byte for byte:

| whose list | why |
|---|---|
| people and startups with new interactions | crossing 5 or 20 counts the same day; what they did is folded in |
| people and startups that came since | by their own words, until the next build has learned them |
| owners whom somebody new is close to | a startup of this morning can be recommended this afternoon |

The new release **takes the place** of the live one: going back still leads to the build before. Where a build went live
meanwhile, that one stays and `publish` is pink. Each list keeps its own `generated_at`.

**The cutoff** follows the rule of `build_recommendations`: the end of the hour of a scheduled run, else the parameter
`as_of`, else the run's own time. Switch `publish` off to store the release without showing it.

**Pink from `look_for_changes` on**: nothing happened since, or no release is live; the log says which.
**Red `merge`**: an owner would be without a list, or too many would lose a list of their own
(`[refresh] popular_share`): nothing is stored, the live lists stay. A build makes all lists anew.
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
    matchbook_dag,
    noted,
    run_cutoff,
    skip,
    task_settings,
    told,
)

SHORT = timedelta(minutes=30)


@task(multiple_outputs=False, execution_timeout=SHORT)
def look_for_changes(**context: Any) -> Ref:
    """Read what the live release does not know: new interactions, people and startups; pink where nothing is."""
    from pipelines.refresh.refresh import look_for_changes

    with noted(context):
        found = look_for_changes(task_settings(), directory_of(context), run_cutoff(context).at).as_json()
    if found["reason"]:
        _decided("skip", found["reason"], found)
        skip(found["reason"], found, context)
    return found


@task(multiple_outputs=False, pool=SCORING, execution_timeout=timedelta(hours=1))
def make_lists(changes: Upstream, **context: Any) -> Ref:
    """Make the lists of everybody whom the changes concern, with the models of the live release."""
    from pipelines.refresh.refresh import make_lists
    from pipelines.refs import ChangesRef

    with noted(context):
        made = make_lists(task_settings(), ChangesRef.from_json(changes))
        return {surface: one.as_json() for surface, one in made.items()}


@task(multiple_outputs=False, outlets=[RELEASE], execution_timeout=SHORT)
def merge(changes: Upstream, lists: Upstream, **context: Any) -> Ref:
    """Store the new lists and all others, carried over byte for byte, as one release; nobody may be without a list."""
    from pipelines.refresh.refresh import merge
    from pipelines.refs import ChangesRef, RescoredRef

    made = {surface: RescoredRef.from_json(one) for surface, one in lists.items()}
    with noted(context):
        stored = merge(task_settings(), ChangesRef.from_json(changes), made)
        return told(RELEASE, context, stored.as_json(), as_of=changes["as_of"])


@task(multiple_outputs=False, pool=PUBLISH, outlets=[LIVE], execution_timeout=SHORT)
def publish(release: Upstream, **context: Any) -> Ref:
    """Put the release into the place of the one that it refreshes; pink where another build went live meanwhile."""
    from pipelines.refresh.refresh import publish_refresh

    if context["params"]["publish"]:
        with noted(context):
            done = publish_refresh(task_settings(), release["release"]).as_json()
    else:
        done = {**release, "published": False, "reason": f"this was a dry run: {release['release']} is stored only"}
    _decided("publish" if done["published"] else "skip", done["reason"], release)
    if not done["published"]:
        skip(done["reason"], done, context)
    return told(LIVE, context, done)


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
    "publish": Param(True, type="boolean", title="Publish", description="Off: stored, not made live."),
}


@matchbook_dag(
    "refresh_ranked_lists",
    __doc__,
    "New lists for whoever did something or came since the live release; all others stay",
    "hourly",
    hours=2,
    cron="10 * * * *",
    params=PARAMS,
)
def refresh_ranked_lists() -> None:
    changes = look_for_changes()
    publish(merge(changes, make_lists(changes)))


refresh_ranked_lists()
