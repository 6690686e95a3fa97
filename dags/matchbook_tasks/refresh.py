"""The tasks of refresh_ranked_lists: each calls one step of `pipelines/refresh/refresh.py`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import task

from matchbook_tasks.rules import (
    LIVE,
    PUBLISH,
    RELEASE,
    SCORING,
    Ref,
    Upstream,
    directory_of,
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
        found = look_for_changes(task_settings(), directory_of(context), run_cutoff(context).at)
    if found["reason"]:
        _decided("skip", found["reason"], found)
        skip(found["reason"], found, context)
    return found


@task(multiple_outputs=False, pool=SCORING, execution_timeout=timedelta(hours=1))
def make_lists(changes: Upstream, **context: Any) -> Ref:
    """Make the lists of everybody whom the changes concern, with the models of the live release."""
    from pipelines.refresh.refresh import make_lists

    with noted(context):
        return make_lists(task_settings(), changes)


@task(multiple_outputs=False, outlets=[RELEASE], execution_timeout=SHORT)
def merge(changes: Upstream, lists: Upstream, **context: Any) -> Ref:
    """Store the new lists and all others, carried over byte for byte, as one release; nobody may be without a list."""
    from pipelines.refresh.refresh import merge

    with noted(context):
        return told(RELEASE, context, merge(task_settings(), changes, lists), as_of=changes["as_of"])


@task(multiple_outputs=False, pool=PUBLISH, outlets=[LIVE], execution_timeout=SHORT)
def publish(release: Upstream, **context: Any) -> Ref:
    """Put the release into the place of the one that it refreshes; pink where another build went live meanwhile."""
    from pipelines.refresh.refresh import publish_refresh

    if context["params"]["publish"]:
        with noted(context):
            done = publish_refresh(task_settings(), release["release"])
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
