"""What every model is worth on this marketplace, per surface and segment, judged by what happened after the inner cut.

One time line, the full catalogue of the cut, seen pairs removed by the recipe's own rule, popularity and chance beside
every model. The owners are the judging half of the hold-out: none of them taught the ranker.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from models import metrics
from models.errors import TooSparse
from models.nouns.entities import Entities
from models.nouns.owners import Owners
from models.nouns.vocabulary import Surface
from models.recipe import Recipe
from models.routing import route, segment_names
from pipelines.data.snapshot import Snapshot
from pipelines.learning.judging.contenders import ROUTE, contenders, shown
from pipelines.learning.holdout import Outcome
from pipelines.learning.second_stage import SecondStage, open_second_stage
from pipelines.run import Run

_LOG = logging.getLogger(__name__)
#: Metrics that come with an interval; the others are means alone.
_ACCURACY = ("precision", "recall", "ndcg", "map")
#: Who has no event before the cut: the route calls them cold, but they tell another story.
NONE = "none"


def evaluate(run: Run, snapshot_name: str) -> dict[str, Any]:
    """Judge every contender on every surface; the result is also in the run's evaluation.json and evaluation.md.

    {"cut", "surfaces": {surface: {"owners", "pairs", "catalogue", "models": {model: {segment: {metric: …}}}}}, …}.
    Accuracy: {"mean", "low", "high"} (95%, bootstrap over owners); `against_route` is the paired difference of NDCG.
    """
    snapshot = Snapshot.open(run.settings.artifacts / "snapshots" / snapshot_name)
    about = {"snapshot": snapshot_name, "as_of": run.as_of.isoformat(), "k": metrics.K}
    try:
        stage = open_second_stage(run, snapshot)
    except TooSparse as error:
        _LOG.warning("nothing to judge the models by: %s", error)
        found: dict[str, Any] = {**about, "reason": str(error), "surfaces": {}}
    else:
        found = {**about, "cut": stage.holdout.cut, "second_stage": stage.refs,
                 "surfaces": {s.value: _surface(stage, s) for s in Surface}}
    run.artifacts.write_json(run.directory / "evaluation.json", found)
    (run.directory / "evaluation.md").write_text(table(found))
    return found


def table(evaluation: Mapping[str, Any]) -> str:
    """The evaluation as Markdown: a table a surface, NDCG@10 per segment with its interval, then the rest overall."""
    if not evaluation["surfaces"]:
        return f"Nothing to judge by: {evaluation['reason']}\n"
    head = [f"Inner cut {evaluation['cut']}; judged by what the other half of the owners did afterwards.", ""]
    head += [f"{r['name']} was refused: {r['reason']}" for r in evaluation["second_stage"] if not r["version"]]
    body = [line for name, s in evaluation["surfaces"].items() for line in _surface_table(name, s)]
    return "\n".join(head + body) + "\n"


def _surface(stage: SecondStage, surface: Surface) -> dict[str, Any]:
    recipe = stage.holdout.recipe(surface)
    owners, outcome = stage.holdout.owners(recipe, teaching=False)
    size = {"owners": len(owners), "pairs": int(outcome.relevant.nnz), "catalogue": len(recipe.catalogue)}
    if not len(owners):
        return {**size, "models": {}}
    those = contenders(stage.holdout, surface, stage.ranker, stage.of_the_seed)
    lists = shown(those, owners, stage.holdout.settings.threads)
    return {**size, "models": judged(lists, outcome, groups(recipe, owners), recipe)}


def groups(recipe: Recipe, owners: Owners) -> dict[str, np.ndarray]:
    """By name (b,) bool: overall, known (any event before the cut), and each segment that occurs."""
    segment = route(recipe.surface, owners.count, recipe.settings).segment
    known = owners.count > 0
    found = {"overall": np.ones(len(owners), bool), "known": known, NONE: ~known}
    found |= {name: known & (segment == i) for i, name in enumerate(segment_names())}
    return {name: mask for name, mask in found.items() if mask.any()}


def judged(lists: Mapping[str, np.ndarray], outcome: Outcome, masks: Mapping[str, np.ndarray],
           recipe: Recipe) -> dict[str, dict[str, dict[str, Any]]]:
    """By model and group: every metric. lists: by model (b, K) catalogue positions."""
    rank, category = _standing(recipe.items, recipe.catalogue), recipe.facets["category"]
    each = {name: metrics.per_owner(places, outcome.relevant, rank, category) for name, places in lists.items()}
    found: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in lists}
    for group, mask in masks.items():
        columns = {(name, m): each[name][m][mask] for name in lists for m in _ACCURACY}
        columns |= {(name, "against_route"): (each[name]["ndcg"] - each[ROUTE]["ndcg"])[mask] for name in lists}
        low, high = metrics.bootstrap(np.column_stack(list(columns.values())))
        for (name, m), values, a, b in zip(columns, columns.values(), low.tolist(), high.tolist(), strict=True):
            found[name].setdefault(group, {"owners": int(mask.sum())})[m] = {
                "mean": _plain(values.mean()), "low": _plain(a), "high": _plain(b)}
        for name, places in lists.items():
            found[name][group] |= _whole(places[mask], each[name], mask, len(recipe.catalogue))
    return found


def _whole(places: np.ndarray, each: Mapping[str, np.ndarray], mask: np.ndarray, items: int) -> dict[str, float | None]:
    """Reach and spread of one model's lists to one group."""
    spread = {m: _mean(each[m][mask]) for m in ("popularity_rank", "diversity")}
    reach = {"coverage": metrics.coverage(places, items), "answered": float((places >= 0).any(axis=1).mean()),
             "gini": metrics.gini(metrics.exposure(places, items))}
    return {**spread, **{name: _plain(value) for name, value in reach.items()}}


def _standing(items: Entities, catalogue: np.ndarray) -> np.ndarray:
    """(m,) popularity rank of each catalogue item, by its events before the cut."""
    return metrics.popularity_rank((items.views + items.interactions)[catalogue])


def _surface_table(name: str, surface: Mapping[str, Any]) -> list[str]:
    size = f"{surface['owners']} owners, {surface['pairs']} relevant pairs, {surface['catalogue']} items to choose from"
    if not surface["models"]:
        return [f"## {name}", "", f"No owner to judge by ({size}).", ""]
    segments = list(next(iter(surface["models"].values())))
    rows = [["NDCG@10", *segments, "precision", "recall", "MAP", "coverage", "popularity rank", "diversity", "Gini"]]
    rows.append(["---"] * len(rows[0]))
    for model, by_segment in surface["models"].items():
        all_of_them = by_segment["overall"]
        rows.append([model, *(_interval(by_segment[s]["ndcg"]) for s in segments),
                     *(_four(all_of_them[m]["mean"]) for m in ("precision", "recall", "map")),
                     *(_four(all_of_them[m]) for m in ("coverage", "popularity_rank", "diversity", "gini"))])
    return [f"## {name}", "", size, "", *("| " + " | ".join(row) + " |" for row in rows), ""]


def _interval(entry: Mapping[str, float | None]) -> str:
    return f"{_four(entry['mean'])} [{_four(entry['low'])}, {_four(entry['high'])}]"


def _four(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _mean(values: np.ndarray) -> float | None:
    """Mean over the owners where the metric is defined."""
    defined = values[~np.isnan(values)]
    return _plain(defined.mean()) if len(defined) else None


def _plain(value: float) -> float | None:
    """A JSON number; None for NaN."""
    return None if math.isnan(value) else round(float(value), 6)
