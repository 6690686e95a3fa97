"""### Search for better settings for the models, within a budget

Every trial trains one model with other values on the events before the **temporal validation split** (`[holdout] share`
is the share of newest events after it). The score is NDCG@10 over owners who interacted with a new item after the
split. The graph shows two rounds: random points of the grids, then neighbours of the best points.

| model | settings searched |
|---|---|
| ALS, both directions | factors x regularization x iterations x alpha, damping, half-life (C30) |
| two-tower | dimensions, learning rate, epochs, half-life |
| ensemble | weight of ALS against the two-tower: 0.3 to 0.7 |
| neighbours, graph filter, content | their own |

**Only significant improvements are kept**: the 95% interval of the paired gain over the present settings must be above
0. They are stored in `artifacts/tuning.json` with the budget. **The next build of a new cutoff uses them**, and so does
a build triggered with `fresh`. An environment variable always takes precedence. Remove the file to use the configured
settings again.

**The budget** has two limits: at most `trials` trials, and no trial starts after `minutes`. Trials beyond it are
skipped. **Trigger the DAG again to continue**: trials on the same snapshot with the same settings are not repeated. A
cleared trial returns its stored figures. The log of `keep_best` lists every trial; its return value has the best of
each model.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from airflow.sdk import Param, task
from matchbook_tasks.rules import TRAINING, Ref, Upstream, matchbook_dag, skip, task_settings

from models import registry

log = logging.getLogger(__name__)
SHORT, LONG = timedelta(minutes=30), timedelta(hours=4)
POINT_NAME = "{{ task.op_kwargs['point']['model'] }} {{ task.op_kwargs['point']['index'] + 1 }}"
#: Share of trials drawn from the whole grid. The rest are neighbours of the best ones.
DRAWN = 0.7


@task(multiple_outputs=False, execution_timeout=SHORT)
def choose_snapshot() -> str:
    """Name the newest stored snapshot. All trials of this run use it, even if a build makes a newer one."""
    from pipelines.train.tune import newest_snapshot

    return newest_snapshot(task_settings())


@task(multiple_outputs=False, execution_timeout=SHORT)
def draw_points(snapshot: Upstream, **context: Any) -> list[Ref]:
    """Choose untried points of every model's grid. A model's first point is its present settings."""
    from pipelines.train.tune import plan_round

    params = context["params"]
    drawn = max(1, round(DRAWN * params["trials"]))
    return [p.as_json() for p in plan_round(task_settings(), drawn, params["models"], snapshot=snapshot)]


@task(multiple_outputs=False, execution_timeout=SHORT, trigger_rule="none_failed")
def step_from_best(snapshot: Upstream, **context: Any) -> list[Ref]:
    """Choose points one step away from the best of each model so far."""
    from pipelines.train.tune import plan_round

    params = context["params"]
    left = params["trials"] - max(1, round(DRAWN * params["trials"]))
    points = plan_round(task_settings(), max(0, left), params["models"], near=True, snapshot=snapshot)
    return [p.as_json() for p in points]


@task(
    multiple_outputs=False,
    pool=TRAINING,
    execution_timeout=LONG,
    map_index_template=POINT_NAME,
    doc_md="Train one model with these values before the split, evaluate it after. Skipped when the budget is spent.",
)
def try_point(point: Upstream, **context: Any) -> Ref:
    from pipelines.refs import PointRef
    from pipelines.train.tune import try_point

    minutes, began = context["params"]["minutes"], context["ti"].start_date - context["dag_run"].start_date
    if began > timedelta(minutes=minutes):
        skip(f"the budget of {minutes} minutes was spent before this trial", point, context)
    return try_point(task_settings(), PointRef.from_json(point)).as_json()


@task(multiple_outputs=False, execution_timeout=SHORT, trigger_rule="none_failed")
def keep_best(snapshot: Upstream, **context: Any) -> Ref:
    """Compare each model's best point with its present settings, paired by owner, and list every trial in the log.

    The next build uses significant improvements.
    """
    from pipelines.train.tune import best_table, keep_best, trials_table

    budget = {k: context["params"][k] for k in ("trials", "minutes", "models")}
    found, trials = keep_best(task_settings(), budget, snapshot)
    log.info("%s", trials_table(trials))
    log.info("%s", best_table(found))
    return {**found, "trials": [t.as_json() for t in trials[:100]]}


MODELS = [spec.bundle for spec in registry.MODELS if spec.tuned]
PARAMS = {
    "trials": Param(40, type="integer", minimum=1, maximum=500, title="Trials", description="Most trials in total."),
    "minutes": Param(
        60,
        type="number",
        exclusiveMinimum=0,
        maximum=600,
        title="Minutes",
        description="No trial starts after this time.",
    ),
    "models": Param(
        MODELS,
        type="array",
        items={"type": "string", "enum": MODELS},
        examples=MODELS,
        minItems=1,
        uniqueItems=True,
        title="Models",
        description="Search the settings of these models.",
    ),
}


@matchbook_dag(
    "tune_models",
    __doc__,
    "Search the models' settings within a budget; the next build uses significant improvements",
    "by hand",
    hours=12,
    params=PARAMS,
)
def tune_models() -> None:
    snapshot = choose_snapshot()
    drawn = try_point.override(task_id="try_drawn_points").expand(point=draw_points(snapshot))
    near, best = step_from_best(snapshot), keep_best(snapshot)
    drawn >> near
    try_point.override(task_id="try_steps").expand(point=near) >> best


tune_models()
