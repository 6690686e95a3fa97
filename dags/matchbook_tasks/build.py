"""The tasks of build_recommendations, in the order of the pipeline: each does one step of `pipelines.build.STEPS`.

The reference `build` grows on its way; see `BuildRef` in `pipelines/refs.py`.
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
    interval_of,
    noted,
    run_cutoff,
    run_step,
    skip,
    task_settings,
    told,
)

SHARD_NAME = "{{ task.op_kwargs['shard']['surface'] }} {{ task.op_kwargs['shard']['index'] + 1 }}"
LONG, SHORT = timedelta(hours=4), timedelta(minutes=30)


@task(multiple_outputs=False, execution_timeout=SHORT)
def choose_cutoff(**context: Any) -> Ref:
    """Fix the instant before which this build may know anything, and begin the build."""
    from pipelines.run.run import begin

    with noted(context):
        cutoff, fresh = run_cutoff(context), bool(context["params"]["fresh"])
        return begin(task_settings(), directory_of(context), cutoff.at, cutoff.because, fresh).as_json()


@task(multiple_outputs=False, execution_timeout=SHORT)
def look_for_new_data(**context: Any) -> Ref:
    """End a scheduled run here, neither building nor publishing, when nothing has come in for a whole interval, or no
    build is due by the activity and the age of the live one (K01-K09)."""
    found: Ref = run_step("look_for_new_data", context, interval=interval_of(context))
    if "reason" in found:
        skip(found["reason"], found, context)
    return found


@task(multiple_outputs=False, outlets=[SNAPSHOT], execution_timeout=LONG)
def take_snapshot(build: Upstream, **context: Any) -> Ref:
    """Copy the rows before the cutoff out of PostgreSQL, checked: what breaks a promise is set aside and counted."""
    taken: Ref = run_step("take_snapshot", context, build)
    told(SNAPSHOT, context, {k: taken[k] for k in ("snapshot", "as_of")})
    return taken


@task(multiple_outputs=False)
def write_datasets(build: Upstream, **context: Any) -> Ref:
    """Write the training sets beside the snapshot: matrices both ways, mappings, the two-tower table (D03-D10)."""
    return run_step("write_datasets", context, build)


@task(multiple_outputs=False, pool=TRAINING, execution_timeout=LONG, priority_weight=2)
def fit(name: str, build: Upstream, **context: Any) -> Ref:
    """Fit one model on the snapshot and store it as a bundle; too little data for it leaves it out, with a note."""
    return run_step("train", context, build, name)


@task(multiple_outputs=False, pool=TRAINING, execution_timeout=LONG)
def hold_out(build: Upstream, **context: Any) -> Ref:
    """Hide the newest events and fit every model on what came before them, to see who would have foretold them."""
    return run_step("hold_out", context, build)


@task(multiple_outputs=False, pool=TRAINING, execution_timeout=LONG)
def fit_ranker(build: Upstream, **context: Any) -> list[Ref]:
    """Train the ranker and the learned blend on what came of the hidden events (D11); refused where rules do better."""
    return run_step("fit_ranker", context, build)


@task(multiple_outputs=False, pool=TRAINING, execution_timeout=LONG)
def evaluate(build: Upstream, **context: Any) -> Ref:
    """Measure every model on the hidden events, beside popular and random lists, for each surface and segment."""
    return run_step("evaluate", context, build)


@task(multiple_outputs=False, outlets=[BUNDLES], execution_timeout=SHORT)
def choose_bundles(build: Upstream, trained: Upstream, learned: Upstream, **context: Any) -> Ref:
    """Name the version of every model that this build's lists are made with."""
    chosen: Ref = run_step("choose_bundles", context, build, trained, learned)
    told(BUNDLES, context, {k: chosen[k] for k in ("bundles", "as_of")})
    return chosen


@task(multiple_outputs=False, execution_timeout=SHORT)
def plan_shards(build: Upstream, **context: Any) -> list[Ref]:
    """Divide the owners of every surface into shards of about equal work: one scoring task each."""
    return run_step("plan_shards", context, build)


@task(
    multiple_outputs=False,
    pool=SCORING,
    execution_timeout=LONG,
    map_index_template=SHARD_NAME,
    doc_md="Make the lists of one shard of owners. Cleared and run again, it makes the same lists: the same sha256.",
)
def score_shard(build: Upstream, shard: Upstream, **context: Any) -> Ref:  # noqa: ARG001 - it waits for the bundles
    return run_step("score_shard", context, shard)


@task(multiple_outputs=False, outlets=[RELEASE])
def assemble(build: Upstream, shards: Upstream, **context: Any) -> Ref:
    """Check that every owner has a list and none is broken, then store all lists as one release."""
    return told(RELEASE, context, run_step("assemble", context, build, shards), as_of=build["as_of"])


@task(multiple_outputs=False, execution_timeout=timedelta(hours=1))
def weigh(build: Upstream, release: Upstream, **context: Any) -> Ref:
    """Hold the release against the live one and against popular lists; writes gate.json, returns the verdict."""
    return run_step("weigh", context, build, release)


@task(multiple_outputs=False, execution_timeout=SHORT)
def write_report(build: Upstream, weighed: Upstream, **context: Any) -> Ref:
    """Write the report of the build, page and JSON, for the tab "Report" of this run: before anybody decides."""
    return run_step("write_report", context, build, weighed)


@task(multiple_outputs=False, pool=PUBLISH, outlets=[LIVE])
def publish(weighed: Upstream, **context: Any) -> Ref:
    """Load the release into Redis and switch the readers over in one move; skipped, with the reason, or done."""
    done: Ref = run_step("publish", context, weighed)
    if not done["published"]:
        skip(done["reason"], done, context)
    return told(LIVE, context, done)
