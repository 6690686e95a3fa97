"""The tasks of build_recommendations, in the order of the pipeline: each calls one step and hands on a reference.

The reference `build` grows on its way: {run, as_of, because, fresh}, then with snapshot, then with bundles.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
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
    SURFACES,
    TRAINING,
    Ref,
    cutoff_here,
    directory_of,
    kind_of,
    opened,
    settings_here,
    skip_because,
)

log = logging.getLogger(__name__)
SHARD_NAME = "{{ task.op_kwargs['shard']['surface'] }} {{ task.op_kwargs['shard']['index'] + 1 }}"
LONG, SHORT = timedelta(hours=4), timedelta(minutes=30)


@task(multiple_outputs=False, execution_timeout=SHORT)
def choose_cutoff(**context: Any) -> Ref:
    """Fix the instant before which this build may know anything, and begin the build."""
    from pipelines.runs.run import Run

    cutoff, fresh = cutoff_here(context), bool(context["params"]["fresh"])
    run = Run.start(settings_here(), directory_of(context), cutoff.at, fresh=fresh)
    return {"run": run.id, "as_of": run.as_of.isoformat(), "because": cutoff.because, "fresh": fresh}


@task(multiple_outputs=False, execution_timeout=SHORT)
def look_for_new_data(**context: Any) -> Ref:
    """End a scheduled run here, neither building nor publishing, when nothing has come in for a whole interval, or no
    build is due by the activity and the age of the live one (K01-K09)."""
    from pipelines.postgres import newest_event
    from pipelines.runs.cutoff import nothing_new
    from pipelines.runs.retrain import retrain

    settings, run = settings_here(), context["dag_run"]
    newest = newest_event(settings)
    found = {"newest": newest.isoformat() if newest else None}
    if kind_of(context) == "scheduled":
        reason = nothing_new(run.data_interval_end, newest, run.data_interval_end - run.data_interval_start)
        if reason:
            skip_because(reason, found, context)
        decision, facts = retrain(settings, run.data_interval_end)
        if not decision.due:
            skip_because(decision.reason, {**found, "facts": facts}, context)
        found |= {"due": decision.reason, "facts": facts}
        log.info("%s", decision.reason)
    return found


@task(multiple_outputs=False, outlets=[SNAPSHOT], execution_timeout=LONG)
def take_snapshot(build: Ref, **context: Any) -> Ref:
    """Copy the rows before the cutoff out of PostgreSQL, checked: what breaks a promise is set aside and counted."""
    from pipelines.data.export import export_snapshot

    snapshot = export_snapshot(opened(build), fresh=build["fresh"], force=context["params"]["force"])
    context["outlet_events"][SNAPSHOT].extra = {**snapshot, "as_of": build["as_of"]}
    return {**build, **snapshot}


@task(multiple_outputs=False)
def write_datasets(build: Ref) -> Ref:
    """Write the training sets beside the snapshot: matrices both ways, mappings, the two-tower table (D03-D10)."""
    from pipelines.data.datasets import write_datasets

    return write_datasets(opened(build), build["snapshot"])


@task(multiple_outputs=False, pool=TRAINING, execution_timeout=LONG, priority_weight=2)
def fit(name: str, build: Ref) -> Ref:
    """Fit one model on the snapshot and store it as a bundle; too little data for it leaves it out, with a note."""
    from pipelines.learning.train import train

    return train(opened(build), name, build["snapshot"])


@task(multiple_outputs=False, pool=TRAINING, execution_timeout=LONG)
def hold_out(build: Ref) -> Ref:
    """Hide the newest events and fit every model on what came before them, to see who would have foretold them."""
    from models.errors import TooSparse
    from pipelines.data.snapshot import Snapshot
    from pipelines.learning.holdout import open_holdout

    run = opened(build)
    try:
        held = open_holdout(run, Snapshot.open(run.settings.artifacts / "snapshots" / build["snapshot"]))
    except TooSparse as error:
        log.warning("nothing is held out, so the rules rank and nothing is measured: %s", error)
        return {"cut": None, "note": str(error)}
    return {"cut": held.cut, "models": sorted(held.bundles)}


@task(multiple_outputs=False, pool=TRAINING, execution_timeout=LONG)
def fit_ranker(build: Ref) -> list[Ref]:
    """Train the ranker and the learned blend on what came of the hidden events (D11); refused where rules do better."""
    from pipelines.learning.second_stage import train_ranker

    return train_ranker(opened(build), build["snapshot"])


@task(multiple_outputs=False, pool=TRAINING, execution_timeout=LONG)
def evaluate(build: Ref) -> Ref:
    """Measure every model on the hidden events, beside popular and random lists, for each surface and segment."""
    from pipelines.judging.evaluate import evaluate, table

    run = opened(build)
    report = evaluate(run, build["snapshot"])
    log.info("%s", table(report))
    return {"report": str(run.directory / "evaluation.html"), "cut": report.get("cut"), "note": report.get("reason")}


@task(multiple_outputs=False, outlets=[BUNDLES], execution_timeout=SHORT)
def choose_bundles(build: Ref, trained: Sequence[Ref], learned: Sequence[Ref], **context: Any) -> Ref:
    """Name the version of every model that this build's lists are made with."""
    chosen = {ref["name"]: ref["version"] for ref in [*trained, *learned] if ref["version"]}
    context["outlet_events"][BUNDLES].extra = {"bundles": chosen, "as_of": build["as_of"]}
    return {**build, "bundles": chosen}


@task(multiple_outputs=False, execution_timeout=SHORT)
def plan_shards(build: Ref, **context: Any) -> list[Ref]:
    """Divide the owners of every surface into shards of about equal work: one scoring task each."""
    from pipelines.scoring.shards import plan_shards

    return plan_shards(opened(build), build["snapshot"], build["bundles"], context["params"]["surfaces"])


@task(
    multiple_outputs=False,
    pool=SCORING,
    execution_timeout=LONG,
    map_index_template=SHARD_NAME,
    doc_md="Make the lists of one shard of owners. Cleared and run again, it makes the same lists: the same sha256.",
)
def score_shard(build: Ref, shard: Ref) -> Ref:
    from pipelines.scoring.shards import score_shard

    return score_shard(opened(build), shard)


@task(multiple_outputs=False, outlets=[RELEASE])
def assemble(build: Ref, shards: Sequence[Ref], **context: Any) -> Ref:
    """Check that every owner has a list and none is broken, then store all lists as one release."""
    from pipelines.release.assemble import assemble_release

    surfaces = context["params"]["surfaces"]
    release = assemble_release(opened(build), build["snapshot"], build["bundles"], list(shards), surfaces)
    context["outlet_events"][RELEASE].extra = {**release, "as_of": build["as_of"]}
    return release


@task(multiple_outputs=False, execution_timeout=SHORT)
def write_report(build: Ref, weighed: Ref) -> Ref:
    """Write the report of the build, page and JSON, for the tab "Report" of this run: before anybody decides."""
    from pipelines.judging.report.kept import write_report

    return write_report(opened(build), weighed["release"], build["snapshot"])


@task(multiple_outputs=False, pool=PUBLISH, outlets=[LIVE])
def publish(weighed: Ref, **context: Any) -> Ref:
    """Load the release into Redis and switch the readers over in one move; skipped, with the reason, or done."""
    from pipelines.release.publish import publish_release

    params, name = context["params"], weighed["release"]
    held_back = _held_back(params, weighed)
    if held_back:
        skip_because(held_back, {"published": False, "release": name}, context)
    done = publish_release(settings_here(), name, force=params["force"])
    if not done["published"]:
        skip_because(done["reason"], done, context)
    context["outlet_events"][LIVE].extra = done
    return done


def _held_back(params: Ref, weighed: Ref) -> str | None:
    """Why a run's release is stored only, whatever its cutoff; None where it may go live."""
    from pipelines.judging.gate.ruling import held

    release = weighed["release"]
    if set(params["surfaces"]) != set(SURFACES):
        return f"only some surfaces were built: {release} is stored for inspection and cannot go live"
    if not params["publish"]:
        return f"this was a dry run: {release} is stored, `python -m pipelines promote {release}` makes it live"
    return held(opened(weighed), release)
