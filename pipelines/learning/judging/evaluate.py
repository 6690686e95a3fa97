"""What every model is worth on this marketplace, per surface and segment, judged by what happened after the inner cut.

By the rules of `protocol.py`, with popularity and chance beside every model. The owners are the judging half of the
hold-out: none of them taught the ranker.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from models import metrics
from models.errors import TooSparse
from models.nouns.vocabulary import Entity, Source, Surface
from pipelines.data.snapshot import Snapshot
from pipelines.learning.judging.contenders import RANKED, ROUTE, RULES, TAUGHT, contenders, shown
from pipelines.learning.judging.figures import (
    ACCURACY,
    SERVED,
    PerOwner,
    changed,
    ensemble_gain,
    groups,
    item_facts,
    judged,
    measured,
)
from pipelines.learning.judging.report import report
from pipelines.learning.leaks import check_leaks
from pipelines.learning.second_stage import SecondStage, open_second_stage
from pipelines.run import Run

_LOG = logging.getLogger(__name__)
#: What `evaluate` leaves in the directory of its run.
FIGURES, TABLE, REPORT = "evaluation.json", "evaluation.md", "evaluation.html"
#: Where a trained model keeps the loss of each epoch, and what was watched to tell when to stop.
_WATCHED = ("held_out_gain", "validation_loss", "watched_loss")


def evaluate(run: Run, snapshot_name: str) -> dict[str, Any]:
    """Judge every contender on every surface; the same as JSON, Markdown and HTML is left in the run's directory.

    {"cut", "sizes", "settings", "leaks", "training", "surfaces": {surface: {"owners", "pairs", "catalogue", "choice",
    "claims", "models": see `judged`}}, …}. Raises LeakFound where a base model knows anything from the cut on.
    """
    snapshot = Snapshot.open(run.settings.artifacts / "snapshots" / snapshot_name)
    about = {"snapshot": snapshot_name, "as_of": run.as_of.isoformat(), "k": metrics.K,
             "sizes": dict(snapshot.manifest.get("counts", {})), "settings": run.settings.recorded()}
    try:
        stage = open_second_stage(run, snapshot)
    except TooSparse as error:
        _LOG.warning("nothing to judge the models by: %s", error)
        found: dict[str, Any] = {**about, "reason": str(error), "surfaces": {}}
    else:
        leaks = check_leaks(snapshot, stage.holdout.settings, stage.holdout.cut_us, stage.holdout.bundles)
        found = {**about, "cut": stage.holdout.cut, "second_stage": stage.refs, "leaks": leaks,
                 "training": training_curves(stage), "surfaces": {s.value: _surface(stage, s) for s in Surface}}
    run.artifacts.write_json(run.directory / FIGURES, found)
    (run.directory / TABLE).write_text(table(found))
    (run.directory / REPORT).write_text(report(found))
    return found


def table(evaluation: Mapping[str, Any]) -> str:
    """The evaluation as Markdown: a table a surface, NDCG@10 per segment with its interval, then the rest overall."""
    if not evaluation["surfaces"]:
        return f"Nothing to judge by: {evaluation['reason']}\n"
    head = [f"Inner cut {evaluation['cut']}; judged by what the other half of the owners did afterwards.", ""]
    head += [f"{r['name']} was refused: {r['reason']}" for r in evaluation["second_stage"] if not r["version"]]
    body = [line for name, s in evaluation["surfaces"].items() for line in _surface_table(name, s)]
    return "\n".join(head + body) + "\n"


def served_by(stage: SecondStage, surface: Surface) -> dict[str, str]:
    """Which contender a surface's owners are given, and why: {"serves", "reason"}."""
    ranker, settings = stage.ranker, stage.holdout.settings
    about = {} if stage.learned is None else stage.learned.config["surfaces"].get(surface.value, {})
    judged = stage.judged is not None and surface.value in stage.judged.config["surfaces"]
    if judged and settings.candidate_sources == "union" and settings.ranker in ("auto", "learned"):
        if settings.ranker == "learned" or about.get("serves"):
            return {"serves": TAUGHT, "reason": str(about.get("reason", "MATCHBOOK_RANKER asks for it"))}
    if settings.ranker == "off":
        return {"serves": ROUTE, "reason": "MATCHBOOK_RANKER is off"}
    if settings.ranker == "rules":
        return {"serves": RULES, "reason": "MATCHBOOK_RANKER asks for the rules"}
    if ranker is None:
        return {"serves": RULES, "reason": "no ranker was trained, or it was refused"}
    if settings.ranker == "mlp":
        return {"serves": RANKED, "reason": "MATCHBOOK_RANKER asks for the trained ranker"}
    if surface.value in ranker.config.get("surfaces", [surface.value]):
        return {"serves": RANKED, "reason": "the trained ranker passed against the rules"}
    return {"serves": RULES, "reason": "the trained ranker did not pass against the rules on this surface"}


def claims(each: PerOwner, masks: Mapping[str, np.ndarray], surface: Surface) -> dict[str, Any]:
    """What the seeds promised and what is so here: "ensemble" over its best member for hot users (I05), "diversity"
    and "age_days" of the ranked lists against those of the route alone (I09, I21); left out where undefined."""
    hot = masks.get("hot") if surface.owner is Entity.USER else None
    members = (Source.ALS.value, Source.TWO_TOWER.value)
    found = {"ensemble": None if hot is None else ensemble_gain(each, hot, ROUTE, members),
             "diversity": changed(each, "diversity", SERVED, ROUTE),
             "age_days": changed(each, "age_days", SERVED, ROUTE)}
    return {name: value for name, value in found.items() if value is not None}


def training_curves(stage: SecondStage) -> dict[str, dict[str, list[float]]]:
    """By model that was trained in epochs: "loss" of each, and "watched", what told when to stop."""
    bundles = {**stage.holdout.bundles} | ({RANKED: stage.ranker} if stage.ranker is not None else {})
    found: dict[str, dict[str, list[float]]] = {}
    for name, bundle in bundles.items():
        if isinstance(bundle.config.get("loss"), list):
            watched: list[float] = next((bundle.config[key] for key in _WATCHED if bundle.config.get(key)), [])
            found[name] = {"loss": list(bundle.config["loss"]), "watched": list(watched)}
    return found


def _surface(stage: SecondStage, surface: Surface) -> dict[str, Any]:
    recipe = stage.holdout.recipe(surface)
    owners, outcome = stage.holdout.owners(recipe, teaching=False)
    size = {"owners": len(owners), "pairs": int(outcome.relevant.nnz), "catalogue": len(recipe.catalogue)}
    if not len(owners):
        return {**size, "models": {}}
    those = contenders(stage.holdout, surface, stage.ranker, stage.of_the_seed, stage.judged)
    lists = shown(those, owners, stage.holdout.settings.threads)
    choice = served_by(stage, surface)
    lists = {SERVED: lists[choice["serves"]], **lists}
    masks, items = groups(recipe, owners), item_facts(recipe, stage.holdout.before)
    each = measured(lists, outcome, items)
    models = judged(lists, each, masks, len(items))
    candidates = {name: models[name]["overall"]["ndcg"]["mean"] for name in (ROUTE, RULES, RANKED, TAUGHT) if name in models}
    return {**size, "choice": {**choice, "candidates": candidates}, "claims": claims(each, masks, surface),
            "models": models}


def _surface_table(name: str, surface: Mapping[str, Any]) -> list[str]:
    size = f"{surface['owners']} owners, {surface['pairs']} relevant pairs, {surface['catalogue']} items to choose from"
    if not surface["models"]:
        return [f"## {name}", "", f"No owner to judge by ({size}).", ""]
    segments = list(next(iter(surface["models"].values())))
    rows = [["NDCG@10", *segments, "precision", "recall", "MAP", "coverage", "popularity rank", "diversity", "Gini"]]
    rows.append(["---"] * len(rows[0]))
    accuracy = [m for m in ACCURACY if m != "ndcg"]
    for model, by_segment in surface["models"].items():
        all_of_them = by_segment["overall"]
        rows.append([model, *(_interval(by_segment[s]["ndcg"]) for s in segments),
                     *(_four(all_of_them[m]["mean"]) for m in accuracy),
                     *(_four(all_of_them[m]) for m in ("coverage", "popularity_rank", "diversity", "gini"))])
    serves = f"served: {surface['choice']['serves']} ({surface['choice']['reason']})"
    return [f"## {name}", "", f"{size}; {serves}", "", *("| " + " | ".join(row) + " |" for row in rows), ""]


def _interval(entry: Mapping[str, float | None]) -> str:
    return f"{_four(entry['mean'])} [{_four(entry['low'])}, {_four(entry['high'])}]"


def _four(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
