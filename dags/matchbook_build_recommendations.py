"""### Who should meet whom, for everybody, once a day

This DAG reads the platform's interactions up to one instant (the **cutoff**), trains every model on them, makes a
ranked list for every user and every startup, and makes all lists visible at once. The graph reads from left to right:

| group | what happens | what comes out |
|---|---|---|
| `prepare` | fix the cutoff, see whether anything is new, copy the rows | a **snapshot**: the rows before the cutoff |
| `train` | one task a model, all from the same snapshot | **bundles**: trained models, each with a version |
| `judge` | hide the newest events and see who would have predicted them; train the ranker | a report, the ranker |
| `score` | everybody's list, one mapped task for each share of the owners | **shards** of lists |
| `release` | check that every list is there, weigh, report, switch the readers over | a **release**, a **report** |

**The cutoff** is the end of the day that a scheduled or backfilled run covers; else the parameter `as_of`; else the
run's own time.

**To build as of a date**: Trigger, fill in `as_of`. **To look without publishing** (a dry run): switch `publish` off.
**To rebuild past days**: Trigger, Backfill. In whatever order the days are built, the newest cutoff ends up live; the
others are stored: `python -m pipelines compare <release> <release>` shows how two of them differ.

**Publishing only moves forward**: a release with an older cutoff than the live one is stored, and `publish` is skipped
with the reason in its log, unless the run was given `force`.

**The gate** holds a release against the live one on the same hidden events, and their lists against each other. Where
it is surely worse, or nearly all lists changed, `gate` is red and nothing goes live. Where that is not clear it waits:
open *Required Actions*, read why, choose `publish` or `hold`. A backfill asks nobody, and neither does the first build.

**When a task is red**, the error in its log says what was expected, what came and what to do next; mend that, clear the
task, and the run goes on from there. A cleared shard makes the same lists again.
**When a scheduled run is pink from `look_for_new_data` on**, nothing had come in since the day before, or no build is
due yet: its log says which, and `refresh_ranked_lists` looks after whoever did something meanwhile.
"""

from __future__ import annotations

from airflow.sdk import Param, task_group
from matchbook_tasks.build import (
    assemble,
    choose_bundles,
    choose_cutoff,
    evaluate,
    fit,
    fit_ranker,
    hold_out,
    look_for_new_data,
    plan_shards,
    publish,
    score_shard,
    take_snapshot,
    weigh,
    write_datasets,
    write_report,
)
from matchbook_tasks.gate import gate
from matchbook_tasks.rules import AS_OF, SURFACES, Upstream, matchbook_dag

from models import registry
from models.spec import Stage

PARAMS = {
    "as_of": AS_OF,
    "surfaces": Param(
        SURFACES,
        type="array",
        items={"type": "string", "enum": SURFACES},
        examples=SURFACES,
        minItems=1,
        uniqueItems=True,
        title="Surfaces",
        description="Make lists for these. Fewer than all four: stored only.",
    ),
    "publish": Param(True, type="boolean", title="Publish", description="Off: a dry run; stored, not made live."),
    "force": Param(
        False,
        type="boolean",
        title="Force",
        description="Make it live even where a newer cutoff is live, the gate says no, or rows that were "
        "there before are gone. It is logged.",
    ),
    "fresh": Param(
        False,
        type="boolean",
        title="Fresh",
        description="Read rows and settings anew, even where this cutoff was built before.",
    ),
}


@task_group(tooltip="Fix the cutoff and copy the rows before it")
def prepare() -> Upstream:
    begun = choose_cutoff()
    build = take_snapshot(begun)
    begun >> look_for_new_data() >> build
    write_datasets(build)
    return build


@task_group(tooltip="Fit every model on the same snapshot")
def train(build: Upstream) -> Upstream:
    return [fit.override(task_id=m.name, doc_md=m.title)(m.bundle, build) for m in registry.staged(Stage.BASE)]


@task_group(tooltip="Measure the models on hidden events, and teach the ranker from them")
def judge(build: Upstream, trained: Upstream) -> Upstream:
    learned, report = fit_ranker(build), evaluate(build)
    complete = choose_bundles(build, trained, learned)
    hold_out(build) >> learned >> report >> complete
    return complete


@task_group(tooltip="Make everybody's list, shard by shard")
def score(build: Upstream) -> Upstream:
    return score_shard.partial(build=build).expand(shard=plan_shards(build))


@task_group(tooltip="Check, store, weigh and switch")
def release(build: Upstream, shards: Upstream) -> None:
    weighed = weigh(build, assemble(build, shards))
    write_report(build, weighed) >> gate(weighed) >> publish(weighed)


@matchbook_dag(
    "build_recommendations",
    __doc__,
    "Train every model, make everybody's list, switch the readers over",
    "daily",
    hours=36,
    cron="0 2 * * *",
    params=PARAMS,
)
def build_recommendations() -> None:
    snapshot = prepare()
    build = judge(snapshot, train(snapshot))
    release(build, score(build))


build_recommendations()
