"""The tasks of build_recommendations in pipeline order. Each runs one step of `pipelines.build.STEPS`.

Tasks pass the reference `build` on and add to it; see `BuildRef` in `pipelines/refs.py`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import task

from matchbook_tasks.rules import (
    BUNDLES,
    LIVE,
    PUBLISH,
    RELEASE,
    SCORING,
    SNAPSHOT,
    TRAINING,
    Ref,
    Upstream,
    directory_of,
    emit,
    interval_of,
    noted,
    run_cutoff,
    run_step,
    skip,
    task_settings,
)

SHARD_NAME = "{{ task.op_kwargs['shard']['surface'] }} {{ task.op_kwargs['shard']['index'] + 1 }}"
LONG, SHORT = timedelta(hours=4), timedelta(minutes=30)
FIRST = 2  # priority of the longest chain of tasks: it gets a free slot before the other models


@task(multiple_outputs=False, execution_timeout=SHORT)
def choose_cutoff(**context: Any) -> Ref:
    """Choose the cutoff: the build uses only what was known before it. Start the build."""
    from pipelines.run.run import begin

    with noted(context):
        cutoff, fresh = run_cutoff(context), bool(context["params"]["fresh"])
        return begin(task_settings(), directory_of(context), cutoff.at, cutoff.because, fresh).as_json()


@task(multiple_outputs=False, execution_timeout=SHORT)
def look_for_new_data(**context: Any) -> Ref:
    """Skip the rest of a scheduled run if there is nothing to build (K01-K09).

    This is so if its interval has no new rows, or if activity and age of the live build make no build due.
    """
    found: Ref = run_step("look_for_new_data", context, interval=interval_of(context))
    if "reason" in found:
        skip(found["reason"], found, context)
    return found


@task(multiple_outputs=False, outlets=[SNAPSHOT], execution_timeout=LONG)
def take_snapshot(build: Upstream, **context: Any) -> Ref:
    """Export the rows before the cutoff from PostgreSQL. Invalid rows are rejected and counted."""
    taken: Ref = run_step("take_snapshot", context, build)
    emit(SNAPSHOT, context, {k: taken[k] for k in ("snapshot", "as_of")})
    return taken


@task(multiple_outputs=False)
def write_datasets(build: Upstream, **context: Any) -> Ref:
    """Write the training sets: matrices in both directions, id maps, the two-tower table (D03-D10)."""
    return run_step("write_datasets", context, build)


@task(multiple_outputs=False, pool=TRAINING, execution_timeout=LONG)
def fit(name: str, build: Upstream, **context: Any) -> Ref:
    """Train one model on the snapshot and store it as a bundle. With too little data it is left out, with a note."""
    return run_step("train", context, build, name)


@task(multiple_outputs=False, pool=TRAINING, execution_timeout=LONG, priority_weight=FIRST)
def hold_out(build: Upstream, **context: Any) -> Ref:
    """Split off the newest events and train every model on the earlier ones, to test its predictions."""
    return run_step("hold_out", context, build)


@task(multiple_outputs=False, pool=TRAINING, execution_timeout=LONG, priority_weight=FIRST)
def fit_ranker(build: Upstream, **context: Any) -> list[Ref]:
    """Train the ranker and the learned blend on the held-out events (D11). Refused where rules do better."""
    return run_step("fit_ranker", context, build)


@task(multiple_outputs=False, pool=TRAINING, execution_timeout=LONG, priority_weight=FIRST)
def evaluate(build: Upstream, **context: Any) -> Ref:
    """Evaluate every model on the held-out events, beside popular and random lists, by surface and segment."""
    return run_step("evaluate", context, build)


@task(multiple_outputs=False, outlets=[BUNDLES], execution_timeout=SHORT)
def choose_bundles(build: Upstream, trained: Upstream, learned: Upstream, **context: Any) -> Ref:
    """Choose the version of every model for this build's lists."""
    chosen: Ref = run_step("choose_bundles", context, build, trained, learned)
    emit(BUNDLES, context, {k: chosen[k] for k in ("bundles", "as_of")})
    return chosen


@task(multiple_outputs=False, execution_timeout=SHORT)
def plan_shards(build: Upstream, **context: Any) -> list[Ref]:
    """Divide the owners of every surface into shards of about equal work, one scoring task each."""
    return run_step("plan_shards", context, build)


@task(
    multiple_outputs=False,
    pool=SCORING,
    execution_timeout=LONG,
    map_index_template=SHARD_NAME,
    doc_md="Make the lists of one shard of owners. A cleared task makes the same lists, with the same sha256.",
)
def score_shard(build: Upstream, shard: Upstream, **context: Any) -> Ref:  # noqa: ARG001 - makes the task wait for the bundles
    return run_step("score_shard", context, shard)


@task(multiple_outputs=False, outlets=[RELEASE])
def assemble(build: Upstream, shards: Upstream, **context: Any) -> Ref:
    """Check that every owner has a valid list, then store all lists as one release."""
    return emit(RELEASE, context, run_step("assemble", context, build, shards), as_of=build["as_of"])


@task(multiple_outputs=False, execution_timeout=timedelta(hours=1))
def weigh(build: Upstream, release: Upstream, **context: Any) -> Ref:
    """Compare the release with the live one and with popular lists; write gate.json, return the verdict."""
    return run_step("weigh", context, build, release)


@task(multiple_outputs=False, execution_timeout=SHORT)
def write_report(build: Upstream, weighed: Upstream, **context: Any) -> Ref:
    """Write the report of the build as a page and as JSON before the gate asks; see the tab "Report"."""
    return run_step("write_report", context, build, weighed)


@task(multiple_outputs=False, pool=PUBLISH, outlets=[LIVE])
def publish(weighed: Upstream, **context: Any) -> Ref:
    """Load the release into Redis and publish it atomically, or skip with the reason."""
    done: Ref = run_step("publish", context, weighed)
    if not done["published"]:
        skip(done["reason"], done, context)
    return emit(LIVE, context, done)
