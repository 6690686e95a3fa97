"""The search of the settings in rounds whose trials know nothing of each other, so that each may be a task of its own.

The first round draws from the grids, the second takes steps from the best of the first; `keep_best` judges all of them.
A trial that was made before, by whatever call, is not made again: trials are kept by snapshot and settings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models.errors import DataError
from models.settings import Settings
from pipelines.artifacts import Artifacts
from pipelines.data.snapshot import Snapshot
from pipelines.learning.split_test import Split
from pipelines.learning.tune import (
    Trial,
    Trials,
    Values,
    grid_of,
    key,
    searched,
    start_of,
    steps,
    summary,
    trial_of,
    tuned,
)
from pipelines.runs.run import TUNING

Ref = dict[str, Any]
#: Draws of a grid that are tried before it counts as exhausted.
_PATIENCE = 100


def plan_round(
    settings: Settings,
    trials: int,
    models: Sequence[str] | None = None,
    near: bool = False,
    snapshot: str | None = None,
) -> list[Ref]:
    """Up to `trials` points that were not tried yet, models in turn, each as {snapshot, model, values, index}.

    near: steps from the best of each model; else its start, then draws from its grid. The same trials before give the
    same points. snapshot: the newest stored one by default. Raises DataError where there is none.
    """
    name = snapshot or newest_snapshot(settings)
    done, active = list(Trials.of(settings, name)), searched(tuned() if models is None else models, settings)
    planned: list[Ref] = []
    while active and len(planned) < trials:
        model = active[len(planned) % len(active)]
        values = _next(model, done, [p["values"] for p in planned if p["model"] == model], settings, near)
        if values is None:
            active.remove(model)
        else:
            planned.append({"snapshot": name, "model": model, "values": values, "index": len(planned)})
    return planned


def try_point(settings: Settings, point: Mapping[str, Any]) -> Ref:
    """Fit and judge one point before the inner cut; returns {model, values, ndcg, seconds}, of an earlier trial too.

    ndcg: at 10, over all owners who first met something after the cut; None where the model cannot be fitted.
    """
    store = Trials.of(settings, point["snapshot"])
    made = next((t for t in store if t.model == point["model"] and key(t.values) == key(point["values"])), None)
    if made is None:
        snapshot = Snapshot.open(settings.artifacts / "snapshots" / point["snapshot"])
        split = Split.of(snapshot, settings, settings.holdout.share)
        made = trial_of(split, point["model"], dict(point["values"]), settings, store)
    return _told(made)


def keep_best(settings: Settings, budget: Mapping[str, Any], snapshot: str | None = None) -> Ref:
    """Store `tuning.json`, which the next build takes over, and return it with every trial, the best of a model first.

    A setting is taken over only where the interval of the paired gain lies above 0, at 95% for all trials of a model
    together. budget: recorded as it is, with the number of trials that there are and their seconds. Where nothing was
    tried on the snapshot, what was found before stays. Raises TooSparse without an inner cut.
    """
    name = snapshot or newest_snapshot(settings)
    done = list(Trials.of(settings, name))
    split = Split.of(Snapshot.open(settings.artifacts / "snapshots" / name), settings, settings.holdout.share)
    spent = {"tried": len(done), "seconds": round(sum(t.seconds for t in done), 1)}
    found = {**summary(done, settings, name, split.cut), "budget": {**budget, **spent}}
    if done:
        Artifacts(settings).write_json(settings.artifacts / TUNING, found)
    return {**found, "trials": [_told(t) for t in sorted(done, key=lambda t: (t.model, -t.mean))]}


def newest_snapshot(settings: Settings) -> str:
    """Raises DataError where none is stored."""
    stored = Artifacts(settings).stored("snapshots")
    if not stored:
        raise DataError(
            f"expected a snapshot under {settings.artifacts}, found none; "
            "run `python -m pipelines export` or a build first"
        )
    return stored[-1].name


def trials_table(trials: Sequence[Mapping[str, Any]]) -> str:
    """One line a trial: model, NDCG@10, seconds, values."""
    lines = [f"{'model':28} {'ndcg@10':>8} {'seconds':>8}  values"]
    for t in trials:
        figure = "none" if t["ndcg"] is None else f"{t['ndcg']:.4f}"
        values = ", ".join(f"{name}={value}" for name, value in t["values"].items())
        lines.append(f"{t['model']:28} {figure:>8} {t['seconds']:8.1f}  {values}")
    return "\n".join(lines)


def _next(
    model: str, done: Sequence[Trial], planned: Sequence[Values], settings: Settings, near: bool
) -> Values | None:
    mine = [t for t in done if t.model == model]
    start, grid = start_of(model, settings), grid_of(model, settings)
    taken = {key(t.values) for t in mine} | {key(v) for v in planned}
    fitted = [t for t in mine if len(t.ndcg)]
    if near:
        around = steps(max(fitted, key=lambda t: t.mean).values, grid) if fitted else []
        return next((v for v in around if key(v) not in taken), None)
    if key(start) not in taken:
        return start
    if mine and not fitted:
        return None  # its start cannot be fitted, for want of data say
    rng = np.random.default_rng([settings.train.seed, *model.encode(), len(taken)])
    for _ in range(_PATIENCE):
        drawn = {name: values[int(rng.integers(len(values)))] for name, values in grid.items()}
        if key(drawn) not in taken:
            return drawn
    return None


def _told(trial: Trial) -> Ref:
    ndcg = round(trial.mean, 6) if len(trial.ndcg) else None
    return {"model": trial.model, "values": trial.values, "ndcg": ndcg, "seconds": round(trial.seconds, 2)}


def best_table(found: dict[str, Any]) -> str:
    """What was found, a model a line: NDCG@10 of the start and of the best, and whether the best is taken over."""
    lines = [
        f"tuned on {found['snapshot']}, events from {found['cut']} on held out",
        f"{'model':28} {'trials':>6} {'start':>7} {'best':>7} {'gain, 95% interval':>28}  taken over",
    ]
    for model, verdict in found["models"].items():
        gain = verdict["gain"]
        taken = json.dumps(verdict["best"]["values"]) if verdict["adopted"] else "no: not beyond chance"
        interval = f"{gain['mean']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]"
        lines.append(
            f"{model:28} {verdict['trials']:6} {verdict['start']['ndcg']:7.4f} "
            f"{verdict['best']['ndcg']:7.4f} {interval:>28}  {taken}"
        )
    return "\n".join([*lines, ""])
