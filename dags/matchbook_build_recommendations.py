"""### Ranked lists for every user and startup, once a day

This DAG exports the platform's interactions before one instant (the **cutoff**). It trains every model on them, makes a
ranked list for every user and every startup, and makes all lists visible at once. Read the graph from left to right:

| group | what happens | output |
|---|---|---|
| `prepare` | choose the cutoff, check for new data, export the rows | a **snapshot**: the rows before the cutoff |
| `train` | one task for each model, all from the same snapshot | **bundles**: trained models, each with a version |
| `judge` | evaluate the models on the newest events, which they did not see; train the ranker | a report, the ranker |
| `score` | one mapped task for each shard of the owners | **shards** of lists |
| `release` | check that every list exists, compare, report, publish | a **release**, a **report** |

**The cutoff** is the end of the day that a scheduled or backfilled run covers. Otherwise it is the parameter `as_of`,
or else the run's own time.

**Build as of a date**: Trigger, fill in `as_of`. **Dry run**: switch `publish` off. **Rebuild past days**: Trigger,
Backfill. The order of the days does not matter: the newest cutoff ends up live, and the others are stored.
`python -m pipelines compare <release> <release>` compares two of them.

**An older cutoff never replaces a newer one.** Its release is stored, and `publish` is skipped with the reason in its
log. The parameter `force` overrides this.

**The gate** compares the release with the live one on the same held-out events, and compares their lists. If the
release is significantly worse, or nearly all lists changed, `gate` fails and nothing goes live. If the result is
unclear, the gate waits: open *Required Actions*, read the reason, choose `publish` or `hold`. Backfills and the first
build do not ask.

**If a task fails**, its log says what was expected, what came and what to do. Fix that, then clear the task: the run
continues from there. A cleared shard makes the same lists again.
**If a scheduled run is skipped from `look_for_new_data` on**, there is no new data or no build is due: the log says
which. `refresh_ranked_lists` still updates lists of owners with new interactions.
"""

from __future__ import annotations

from typing import Any

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
        description="Make lists for these surfaces. A release without all four is stored, not published.",
    ),
    "publish": Param(
        True, type="boolean", title="Publish", description="Off: a dry run. The release is stored, not published."
    ),
    "force": Param(
        False,
        type="boolean",
        title="Force",
        description="Publish even if a newer cutoff is live, the gate stops, or earlier rows are missing. "
        "The log records it.",
    ),
    "fresh": Param(
        False,
        type="boolean",
        title="Fresh",
        description="Export rows and read settings again, even if this cutoff was built before.",
    ),
}


@task_group(tooltip="Choose the cutoff and export the rows before it")
def prepare() -> Upstream:
    begun = choose_cutoff()
    build = take_snapshot(begun)
    begun >> look_for_new_data() >> build
    write_datasets(build)
    return build


@task_group(tooltip="Fit every model on the same snapshot")
def train(build: Upstream) -> Upstream:
    return [fit.override(task_id=m.name, doc_md=m.title)(m.bundle, build) for m in registry.staged(Stage.BASE)]


@task_group(tooltip="Evaluate the models on held-out events and train the ranker on them")
def judge(build: Upstream, trained: Upstream) -> Upstream:
    learned, evaluated = fit_ranker(build), evaluate(build)
    hold_out(build) >> learned >> evaluated
    return [choose_bundles(build, trained, learned), evaluated]


@task_group(tooltip="Make the lists of all owners, one task for each shard")
def score(build: Upstream) -> Upstream:
    return score_shard.partial(build=build).expand(shard=plan_shards(build))


@task_group(tooltip="Check, store, compare and publish")
def release(build: Upstream, shards: Upstream, evaluated: Upstream) -> None:
    lists = assemble(build, shards)
    weighed = weigh(build, lists)
    evaluated >> lists  # a leak that the evaluation finds stops the release
    write_report(build, weighed) >> gate(weighed) >> publish(weighed)


@matchbook_dag(
    "build_recommendations",
    __doc__,
    "Train every model, make all lists, publish them at once",
    "daily",
    hours=36,
    cron="0 2 * * *",
    params=PARAMS,
)
def build_recommendations() -> None:
    snapshot = prepare()
    judged: Any = judge(snapshot, train(snapshot))
    build, evaluated = judged
    release(build, score(build), evaluated)


build_recommendations()
