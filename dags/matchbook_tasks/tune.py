"""The tasks of tune_models: each calls one step of `pipelines/train/tune.py`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import task

from matchbook_tasks.rules import TRAINING, Ref, Upstream, skip, task_settings

log = logging.getLogger(__name__)
SHORT, LONG = timedelta(minutes=30), timedelta(hours=4)
POINT_NAME = "{{ task.op_kwargs['point']['model'] }} {{ task.op_kwargs['point']['index'] + 1 }}"
#: Of all trials so many are drawn from the whole grid; the rest are steps from the best of them.
DRAWN = 0.7


@task(multiple_outputs=False, execution_timeout=SHORT)
def choose_snapshot() -> str:
    """Name the newest stored snapshot: all trials of this run are on it, whatever is built meanwhile."""
    from pipelines.train.tune import newest_snapshot

    return newest_snapshot(task_settings())


@task(multiple_outputs=False, execution_timeout=SHORT)
def draw_points(snapshot: Upstream, **context: Any) -> list[Ref]:
    """Choose points of every model's grid that were not tried yet; the first of a model is what is set now."""
    from pipelines.train.tune import plan_round

    params = context["params"]
    drawn = max(1, round(DRAWN * params["trials"]))
    return plan_round(task_settings(), drawn, params["models"], snapshot=snapshot)


@task(multiple_outputs=False, execution_timeout=SHORT, trigger_rule="none_failed")
def step_from_best(snapshot: Upstream, **context: Any) -> list[Ref]:
    """Choose points one step away from the best of each model so far."""
    from pipelines.train.tune import plan_round

    params = context["params"]
    left = params["trials"] - max(1, round(DRAWN * params["trials"]))
    return plan_round(task_settings(), max(0, left), params["models"], near=True, snapshot=snapshot)


@task(
    multiple_outputs=False,
    pool=TRAINING,
    execution_timeout=LONG,
    map_index_template=POINT_NAME,
    doc_md="Fit one model with these values before the inner cut, judge it by what came after; pink once time is up.",
)
def try_point(point: Upstream, **context: Any) -> Ref:
    from pipelines.train.tune import try_point

    minutes, began = context["params"]["minutes"], context["ti"].start_date - context["dag_run"].start_date
    if began > timedelta(minutes=minutes):
        skip(f"the budget of {minutes} minutes was spent before this trial", point, context)
    return try_point(task_settings(), point)


@task(multiple_outputs=False, execution_timeout=SHORT, trigger_rule="none_failed")
def keep_best(snapshot: Upstream, **context: Any) -> Ref:
    """Hold the best of each model against what is set, over owners in pairs; what is surely better goes to the next
    build. Every trial stands in this task's log."""
    from pipelines.train.tune import best_table, keep_best, trials_table

    found = keep_best(task_settings(), {k: context["params"][k] for k in ("trials", "minutes", "models")}, snapshot)
    trials: Sequence[Ref] = found.pop("trials")
    log.info("%s", trials_table(trials))
    log.info("%s", best_table(found))
    return {**found, "trials": trials[:100]}
