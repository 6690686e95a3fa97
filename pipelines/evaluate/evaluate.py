"""Evaluate every model per surface and segment, on events after the temporal validation split.

`pipelines/report/evaluation.py` describes the protocol. The ranker was not trained on these owners.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models import metrics
from models.catalogue.catalogue import CATALOGUE, entities_of
from models.data.batch import Owners
from models.ensemble import EnsembleConfig
from models.ensemble.fit import BLEND
from models.ensemble.scorer import blend_is_auto, resolved_blend
from models.errors import TooSparse, TrainingError
from models.learned_ranker.fit import fit_learned_ranker
from models.learned_ranker.scorer import ACTIVITY, LearnedRanker
from models.lists.ranked_lists import RankedLists
from models.ranker import RankerConfig
from models.recommender.surface import SurfaceRecommender
from models.routing import sources_of
from models.schema import Entity, Method, Surface
from models.settings.modes import SETTINGS
from models.stacked_ranker.scorer import STACKED
from pipelines.evaluate.figures import (
    PerOwner,
    calibrated,
    cap_curve,
    changed,
    choose_cap,
    ensemble_gain,
    evaluated,
    groups,
    item_facts,
    measured,
    plain,
    top_tens,
)
from pipelines.evaluate.similar import similar_figures
from pipelines.export.snapshot import Snapshot
from pipelines.refs import BuildRef, BundleRef, EvaluationRef
from pipelines.report.evaluation import report, success
from pipelines.report.figure_names import (
    ACCURACY,
    CAPPED,
    MEAN,
    POPULAR,
    RANKED,
    ROUTE,
    RULES,
    SEED_RECIPE,
    SEED_TITLE,
    SERVED,
    STACK,
    TAUGHT,
    served_by,
)
from pipelines.run.run import Run
from pipelines.score.caps import capped, keep_caps, resolved
from pipelines.score.shards import score_owners
from pipelines.train.contenders import contenders, listed_by, recipes, seed_recipe, shown
from pipelines.train.holdout import Holdout, Outcome
from pipelines.train.leakage import check_labels, check_leaks, check_missing
from pipelines.train.objective import REPORTED, Objective, gains_of
from pipelines.train_ranker.learned import teaching
from pipelines.train_ranker.samples import RankerSamples, ranker_samples, samples_until
from pipelines.train_ranker.second_stage import SecondStage, open_second_stage
from pipelines.train_ranker.validation_models import store_validation_models

_LOG = logging.getLogger(__name__)
FIGURES, TABLE, REPORT = "evaluation.json", "evaluation.md", "evaluation.html"
#: Number of reported columns with the largest gain.
TOP = 20
#: Keys of a trained model's loss per epoch and of the figure that stops the training.
_WATCHED = ("held_out_gain", "validation_loss", "watched_loss")


def evaluate_build(run: Run, build: BuildRef) -> EvaluationRef:
    """The step: evaluate every model and log the table."""
    report = evaluate(run, build.snapshot)
    _LOG.info("%s", table(report))
    return EvaluationRef(str(run.directory / REPORT), report.get("cut"), report.get("reason"))


def choose_bundles(run: Run, build: BuildRef, trained: Sequence[BundleRef], learned: Sequence[BundleRef]) -> BuildRef:
    """The step: choose the versions of the models for the lists and for their evaluation by later builds."""
    chosen = {ref.name: ref.version for ref in [*trained, *learned] if ref.version}
    try:
        stage = open_second_stage(run, Snapshot.open(run.settings.artifacts / "snapshots" / build.snapshot))
    except TooSparse:
        return replace(build, bundles=chosen)
    return replace(build, bundles=chosen, validation_models=store_validation_models(run, stage))


def evaluate(run: Run, snapshot_name: str, leave_out: bool = False) -> dict[str, Any]:
    """Evaluate every contender on every surface. Write JSON, Markdown and HTML into the run directory.

    Returns {"cut", "sizes", "settings", "leaks", "training", "blend", "gain", "surfaces": {surface: {"owners",
    "pairs", "catalogue", "choice", "objective", "objectives", "claims", "calibration", "cap", "exposure", "ablation",
    "models": see `judged`}}, "similar": see `similar_figures`, …}.
    leave_out: fill "ablation". Raises LeakFound if a model knows anything from its cutoff on.
    """
    snapshot = Snapshot.open(run.settings.artifacts / "snapshots" / snapshot_name)
    about = {
        "snapshot": snapshot_name,
        "as_of": run.as_of.isoformat(),
        "k": metrics.K,
        "sizes": dict(snapshot.manifest.get("counts", {})),
        "settings": run.settings.without_mode().recorded() | {"ranking_mode": run.settings.ranking.mode},
    }
    try:
        stage = open_second_stage(run, snapshot)
    except TooSparse as error:
        _LOG.warning("nothing to evaluate the models by: %s", error)
        found: dict[str, Any] = {**about, "reason": str(error), "surfaces": {}}
    else:
        leaks = _checked(snapshot, stage)
        lessons = (
            ranker_samples(run, snapshot, stage.holdout.objectives) if leave_out and stage.learned is not None else {}
        )
        found = {
            **about,
            "cut": stage.holdout.cut,
            "second_stage": [ref.as_json() for ref in stage.refs],
            "leaks": leaks,
            "training": training_curves(stage),
            "blend": _blend(stage),
            "gain": gains(stage),
            "surfaces": {s.value: _surface(stage, s, lessons.get(s, ())) for s in Surface},
            "similar": _similar(stage),
        }
    keep_caps(run, {name: surface["cap"] for name, surface in found["surfaces"].items() if "cap" in surface})
    run.artifacts.write_json(run.directory / FIGURES, found)
    (run.directory / TABLE).write_text(table(found))
    (run.directory / REPORT).write_text(report(found))
    return found


def table(evaluation: Mapping[str, Any]) -> str:
    """Return Markdown tables per surface: NDCG@10 per segment, other metrics overall."""
    if not evaluation["surfaces"]:
        return f"Nothing to evaluate by: {evaluation['reason']}\n"
    head = [f"Validation split at {evaluation['cut']}; evaluated on later events of the evaluation owners.", ""]
    head += [f"{r['name']} was refused: {r['reason']}" for r in evaluation["second_stage"] if not r["version"]]
    body = [line for name, s in evaluation["surfaces"].items() for line in _surface_table(name, s)]
    return "\n".join(head + body) + "\n"


def serving_ranker(stage: SecondStage, surface: Surface) -> dict[str, str]:
    """Return {"serves": a contender, "reason"}."""
    ranker, settings = stage.ranker, stage.holdout.settings
    kind, mode = settings.of(RankerConfig).kind, settings.ranking.mode
    about = {} if stage.learned is None else stage.learned.config["surfaces"].get(surface.value, {})
    judged = stage.judged is not None and surface.value in stage.judged.config["surfaces"]
    asked = kind == "learned" or (kind == "auto" and bool(about.get("serves")))
    if judged and asked and settings.lists.candidate_sources == "union":
        return {"serves": TAUGHT, "reason": str(about.get("reason", "[ranker] kind asks for it"))}
    if kind == "off":
        return {"serves": ROUTE, "reason": "[ranker] kind is off"}
    if kind == "rules":
        return {"serves": RULES, "reason": "[ranker] kind asks for the rules"}
    if kind == "auto" and about.get("reason"):
        learned = f"; the learned ranker, {about['reason']}"
    else:
        learned = ""
    small: Mapping[str, Any] = {}
    if STACKED in stage.holdout.bundles and settings.lists.candidate_sources == "union":
        small = stage.holdout.bundles[STACKED].config["surfaces"].get(surface.value, {})
    network = ranker is not None and surface.value in ranker.config.get("surfaces", [surface.value])
    if small and (kind == "stacked" or (kind == "auto" and small["serves"] and not network)):
        serves = MEAN if small.get("mean") and judged else STACK
        return {"serves": serves, "reason": str(small.get("reason", "[ranker] kind asks for it"))}
    if ranker is None:
        return {"serves": RULES, "reason": f"no network was trained, or it was refused{learned}"}
    if kind == "mlp":
        asks = "[ranker] kind asks" if mode == SETTINGS else f"[ranking] mode = {mode} asks"
        return {"serves": RANKED, "reason": f"{asks} for the trained ranker"}
    if surface.value in ranker.config.get("surfaces", [surface.value]):
        return {"serves": RANKED, "reason": f"the network is clearly better than the rules{learned}"}
    return {"serves": RULES, "reason": f"the network is not clearly better than the rules on this surface{learned}"}


def claims(
    each: PerOwner,
    masks: Mapping[str, NDArray[np.bool_]],
    surface: Surface,
    founders: bool = False,
    sources: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Compare expectations of the requirements with these results. Omit undefined ones.

    "chain": gain of the served lists over the best single source, by group (I05).
    "ensemble": gain of the blend over its best member for hot users, and for hot startups if `founders` use it.
    "diversity", "age_days": ranked lists against the route's lists (I09, I21).
    """
    hot = masks.get("hot") if surface.owner is Entity.USER or founders else None
    members = tuple(source.name for source in sources_of(surface)[Method.ENSEMBLE])
    chain = {g: c for g, mask in masks.items() if (c := ensemble_gain(each, mask, SERVED, sources, SERVED))}
    found = {
        "chain": chain or None,
        "ensemble": None if hot is None else ensemble_gain(each, hot, ROUTE, members),
        "diversity": changed(each, "diversity", SERVED, ROUTE),
        "age_days": changed(each, "age_days", SERVED, ROUTE),
    }
    return {name: value for name, value in found.items() if value is not None}


def training_curves(stage: SecondStage) -> dict[str, dict[str, list[float]]]:
    """Return {model: {"loss": of each epoch, "watched": the figure that stops the training}}."""
    bundles = {**stage.holdout.bundles} | ({RANKED: stage.ranker} if stage.ranker is not None else {})
    found: dict[str, dict[str, list[float]]] = {}
    for name, bundle in bundles.items():
        if isinstance(bundle.config.get("loss"), list):
            watched: list[float] = next((bundle.config[key] for key in _WATCHED if bundle.config.get(key)), [])
            found[name] = {"loss": list(bundle.config["loss"]), "watched": list(watched)}
    return found


def gains(stage: SecondStage) -> dict[str, dict[str, float]]:
    """Return the TOP columns by share of the trees' gain, for each surface and side of the demand model."""
    trained = [bundle.config["surfaces"] for bundle in (stage.judged, stage.learned) if bundle is not None]
    found = {name: about["gain"] for surfaces in trained for name, about in surfaces.items() if about.get("gain")}
    activity = stage.holdout.bundles[ACTIVITY].config if ACTIVITY in stage.holdout.bundles else {}
    for side in Entity:
        gain = activity.get(f"{side}_demand", {}).get("gain") or {}
        if gain:
            found[f"demand for {side}s"] = {name: value / (sum(gain.values()) or 1.0) for name, value in gain.items()}
    return {
        name: {k: round(v, 4) for k, v in sorted(gain.items(), key=lambda x: (-x[1], x[0]))[:TOP]}
        for name, gain in found.items()
    }


def _checked(snapshot: Snapshot, stage: SecondStage) -> list[str]:
    """Run every leak check. Return a description.

    Models of the validation split are refitted. Models of rolling-origin cutoffs were checked when they were made. The
    ranker is checked by the times of its training events.
    """
    settings = stage.holdout.settings
    told = check_leaks(snapshot, settings, stage.holdout.cut_us, stage.holdout.bundles)
    told.insert(-1, check_missing(snapshot, settings, stage.holdout.cut_us, stage.holdout.bundles))
    older = [] if stage.judged is None else stage.judged.config["cutoffs"]
    more = (
        [f"models of {len(older)} rolling-origin cutoffs had no event or fact from after their cutoff"] if older else []
    )
    surfaces = stage.judged.config["surfaces"] if stage.judged is not None else {}
    taught = {s: about["newest_us"] for s, about in surfaces.items() if "newest_us" in about}
    for surface, newest_us in taught.items():
        check_labels(f"the evaluated ranker of {surface}", newest_us, stage.holdout.cut_us)
    more += [f"training events of the evaluated ranker are before the cut, on {len(taught)} surfaces"] if taught else []
    return [*told[:-1], *more, told[-1]]


def _blend(stage: SecondStage) -> dict[str, Any]:
    settings, chosen = stage.holdout.settings, stage.holdout.bundles.get(BLEND)
    if chosen is not None and "blend" in chosen.config:
        told = ("blend", "profile", "reason", "owners", "over", "ndcg", "difference", "best")
        return {k: chosen.config[k] for k in told if k in chosen.config}
    blend = settings.of(EnsembleConfig)
    asked = blend.blend != "auto" or not blend_is_auto(blend)
    return {
        "blend": resolved_blend(blend, None).blend,
        "profile": blend.profile or "",
        "reason": "the settings ask for it" if asked else "there were no data for a choice",
    }


def _similar(stage: SecondStage) -> dict[str, Any]:
    holdout = stage.holdout
    entities = entities_of(holdout.bundles[CATALOGUE])
    listed = {entity: known.listed for entity, known in entities.items()}
    role = entities[Entity.USER].role
    return similar_figures(holdout.snapshot.heard, holdout.cut_us, role, listed, holdout.bundles, holdout.settings)


def _surface(stage: SecondStage, surface: Surface, lessons: Sequence[RankerSamples] = ()) -> dict[str, Any]:
    holdout = stage.holdout
    recipe = holdout.recipe(surface)
    owners, outcome = holdout.owners(recipe, teaching=False)
    size = {"owners": len(owners), "pairs": int(outcome.relevant.nnz), "catalogue": len(recipe.catalogue)}
    if not len(owners):
        return {**size, "models": {}}
    choice, second = serving_ranker(stage, surface), (stage.ranker, stage.judged)
    serving = recipes(holdout, surface, *second)[choice["serves"]]
    full = score_owners(serving, owners)
    those = contenders(holdout, surface, *second)
    those.pop(choice["serves"])  # its lists are `full`
    lists = {SERVED: top_tens(full, recipe.catalogue), choice["serves"]: top_tens(full, recipe.catalogue)}
    those[SEED_RECIPE] = listed_by(seed_recipe(holdout, surface, stage.seed_network))
    lists |= shown(those, owners, holdout.settings.threads)
    objective = holdout.objectives[surface]
    taught, their = holdout.owners(recipe, teaching=True)
    beside = score_owners(serving, taught)
    curve = cap_curve(
        RankedLists.concat([full, beside]), recipe, sparse.vstack([outcome.relevant, their.relevant], "csr")
    )
    multiple = resolved(recipe.settings.lists.exposure_cap, choose_cap(curve))
    served = capped(recipe, multiple, full, beside)
    if multiple:
        lists |= dict.fromkeys((SERVED, CAPPED), top_tens(served, recipe.catalogue))
        choice |= {"ranks": choice["serves"], "serves": CAPPED}
    masks, items = groups(recipe, owners), item_facts(recipe, holdout.before)
    each = measured(lists, outcome, items)
    models = evaluated(lists, each, masks, len(items))
    ranked = (ROUTE, RULES, RANKED, STACK, MEAN, TAUGHT, CAPPED)
    sources = tuple(s.name for s in recipe.scorers)
    told = claims(each, masks, surface, holdout.settings.routing.founder_ensemble, sources)
    best = told["chain"]["overall"]["best_member"] if "chain" in told else POPULAR
    rival = {name: c for name, c in those.items() if name in (best, POPULAR)}

    def lists_for(others: Owners) -> dict[str, NDArray[np.int64]]:
        mine = capped(recipe, multiple, score_owners(serving, others), beside)
        return {SERVED: top_tens(mine, recipe.catalogue), **shown(rival, others, holdout.settings.threads)}

    candidates = {name: models[name]["overall"]["ndcg"]["mean"] for name in ranked if name in models}
    return {
        **size,
        "choice": {**choice, "candidates": candidates},
        "objective": objective.as_json(),
        "objectives": side_by_side(holdout, recipe, owners, {m: lists[m] for m in (SERVED, *rival)}, lists_for),
        "claims": told,
        "calibration": calibrated(served, recipe.catalogue, outcome),
        "cap": multiple,
        "exposure": curve,
        "ablation": ablations(holdout, surface, lessons, owners, outcome) if lessons else {},
        "models": models,
    }


def side_by_side(
    holdout: Holdout,
    recipe: SurfaceRecommender,
    owners: Owners,
    lists: Mapping[str, NDArray[np.int64]],
    lists_for: Callable[[Owners], Mapping[str, NDArray[np.int64]]],
) -> dict[str, dict[str, Any]]:
    """Return for each reported objective its evaluation owners, pairs, and NDCG@10 by model with its interval.

    lists: (owners, K) by model, of the owners of the objective that decides. lists_for: the same for other owners.
    """
    found = {}
    for name in REPORTED:
        objective = Objective(name, gains_of(name, holdout.settings), {})
        mine, outcome = replace(holdout, objectives={recipe.surface: objective}).owners(recipe, teaching=False)
        if not len(mine):
            found[name] = {"owners": 0, "pairs": 0, "ndcg": {}}
            continue
        known = np.isin(mine.row, owners.row).all()
        place = np.searchsorted(owners.row, mine.row)
        those = {m: shown[place] for m, shown in lists.items()} if known else lists_for(mine)
        ndcg = {m: metrics.ndcg_of(shown, outcome.relevant) for m, shown in those.items()}
        found[name] = {
            "owners": len(mine),
            "pairs": int(outcome.relevant.nnz),
            "ndcg": {m: {k: plain(v) for k, v in s.items()} for m, s in metrics.summary(ndcg).items()},
        }
    return found


def _surface_table(name: str, surface: Mapping[str, Any]) -> list[str]:
    size = f"{surface['owners']} owners, {surface['pairs']} relevant pairs, {surface['catalogue']} items to choose from"
    if not surface["models"]:
        return [f"## {name}", "", f"No owner to evaluate by ({size}).", ""]
    segments = list(next(iter(surface["models"].values())))
    rows = [["NDCG@10", *segments, "precision", "recall", "MAP", "coverage", "popularity rank", "diversity", "Gini"]]
    rows.append(["---"] * len(rows[0]))
    accuracy = [m for m in ACCURACY if m != "ndcg"]
    for model, by_segment in surface["models"].items():
        all_of_them = by_segment["overall"]
        rows.append(
            [
                model,
                *(_interval(by_segment[s]["ndcg"]) for s in segments),
                *(_four(all_of_them[m]["mean"]) for m in accuracy),
                *(_four(all_of_them[m]) for m in ("coverage", "popularity_rank", "diversity", "gini")),
            ]
        )
    serves = served_by(surface["choice"], surface["cap"])
    seed = surface["models"][SEED_RECIPE]["overall"]
    beside = f"{SEED_TITLE}: NDCG@10 {_interval(seed['ndcg'])}, less served {_interval(seed['against_served'])}"
    table = ("| " + " | ".join(row) + " |" for row in rows)
    return [f"## {name}", "", f"{size}; {serves}", "", success(surface["objective"]), "", f"{beside}.", "", *table, ""]


def _interval(entry: Mapping[str, float | None]) -> str:
    return f"{_four(entry['mean'])} [{_four(entry['low'])}, {_four(entry['high'])}]"


def _four(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


_MOMENTUM = ("_share", "_momentum", "_density")
#: Never left out, because it separates cold-start owners.
_STAYS = ("owner_events",)
DEMAND, MOMENTUM, FACTS, OTHERS = "demand", "facet momentum", "item facts", "others"
#: Feature group by prefix of a column.
_GROUPS = {
    "score_": "models' scores",
    "rank_": "models' scores",
    "proposed_by": "models' scores",
    "item_": FACTS,
    "lift_": "affinities",
    "met_": "affinities",
    "same_": "places",
    "owner_": "owner",
}


def ingredients(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the columns of each feature group. Scores that use demand belong to demand."""
    found: dict[str, list[str]] = {}
    for name in names:
        if name in _STAYS:
            continue
        group = next((g for start, g in _GROUPS.items() if name.startswith(start)), OTHERS)
        if "demand" in name:
            group = DEMAND
        elif group == FACTS and name.endswith(_MOMENTUM):
            group = MOMENTUM
        found.setdefault(group, []).append(name)
    return {group: tuple(columns) for group, columns in found.items()}


def ablations(
    holdout: Holdout, surface: Surface, lessons: Sequence[RankerSamples], owners: Owners, outcome: Outcome
) -> dict[str, Mapping[str, float | None]]:
    """Return the paired NDCG@10 difference without each feature group to the full ranker, with a 95% interval.

    Below 0 the group helps. Empty if no ranker can be trained. `lessons`: training samples of every cutoff.
    """
    try:
        rows = samples_until(lessons, holdout.cut_us, holdout.objectives[surface].gains)
        whole = fit_learned_ranker(rows, *teaching(holdout.settings)).ranker
    except TrainingError as error:
        _LOG.info("no ablation on %s: %s", surface, error)
        return {}
    check_labels(f"the learned ranker of {surface}", rows.newest_us, holdout.cut_us)
    recipe = holdout.recipe(surface)
    reference = _ndcg(recipe, whole, owners, outcome)
    found: dict[str, Mapping[str, float | None]] = {}
    for name, columns in ingredients(rows.names).items():
        ranker = fit_learned_ranker(rows.without(columns), *teaching(holdout.settings)).ranker
        difference: dict[str, Any] = metrics.paired_difference(_ndcg(recipe, ranker, owners, outcome), reference)
        found[name] = {k: None if np.isnan(v) else round(v, 6) for k, v in difference.items()}
        _LOG.info("%s without %s: NDCG@10 %s", surface, name, found[name])
    return found


def _ndcg(recipe: SurfaceRecommender, ranker: LearnedRanker, owners: Owners, outcome: Outcome) -> NDArray[Any]:
    lists = score_owners(replace(recipe, ranker=ranker), owners)
    return metrics.ndcg_of(top_tens(lists, recipe.catalogue), outcome.relevant)
