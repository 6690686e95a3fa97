"""### Search better settings for the models, within a budget

Every trial fits one model with other values on what came before the **inner cut** (`[holdout] share` of the
newest events lie after it) and judges it by NDCG@10 over everybody who first met something after it. The graph shows
two rounds: points drawn from the grids, then steps from the best of them.

| model | what is searched |
|---|---|
| ALS, both directions | factors x regularization x iterations x alpha, damping, half-life (C30) |
| two-tower | dimensions, learning rate, epochs, half-life |
| ensemble | the weight of ALS against the two-tower: 0.3 to 0.7 |
| neighbours, graph filter, content | their own |

**Only what is surely better is kept**: where the 95% interval of the paired gain over the present settings lies above
0. It stands in `artifacts/tuning.json`, with the budget, and **the next build of a new cutoff takes it over** (so does
one that is triggered with `fresh`). A variable in the environment always wins. Remove the file to go back.

**The budget** is both: `trials` at most, and no trial begins after `minutes`; those that were left are pink. **Trigger
it again to go on**: what was tried on the same snapshot with the same settings is not tried again. A cleared trial
returns its figures at once. The log of `keep_best` lists every trial; its return value has the best of each model.
"""

from __future__ import annotations

from airflow.sdk import Param
from matchbook_tasks.rules import matchbook_dag
from matchbook_tasks.tune import choose_snapshot, draw_points, keep_best, step_from_best, try_point

from models import registry

MODELS = [spec.bundle for spec in registry.MODELS if spec.tuned]
PARAMS = {
    "trials": Param(40, type="integer", minimum=1, maximum=500, title="Trials", description="Fits at most, all told."),
    "minutes": Param(
        60,
        type="number",
        exclusiveMinimum=0,
        maximum=600,
        title="Minutes",
        description="No trial begins after so long.",
    ),
    "models": Param(
        MODELS,
        type="array",
        items={"type": "string", "enum": MODELS},
        examples=MODELS,
        minItems=1,
        uniqueItems=True,
        title="Models",
        description="Whose settings are searched.",
    ),
}


@matchbook_dag(
    "tune_models",
    __doc__,
    "Search the models' settings within a budget; the next build takes over what is surely better",
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
