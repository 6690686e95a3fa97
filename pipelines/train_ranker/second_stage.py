"""Train the models after the base models: the rankers, and the learned blend where settings ask for it."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.data.bundle import Bundle, open_bundle, write_bundle
from models.ensemble.fit import BLEND
from models.errors import TooSparse, TrainingError
from models.learned_ranker.scorer import LEARNED
from models.mlp_ranker.fit import RANKER, PairwiseRows, fit_mlp_ranker
from models.ranker import RankerConfig
from models.recommender.surface import unserved
from models.schema import Surface
from models.settings.modes import SEED
from models.stacked_ranker.scorer import STACKED
from pipelines.export.snapshot import Snapshot
from pipelines.refs import BuildRef, BundleRef
from pipelines.report.figure_names import MEAN, RANKED, RULES
from pipelines.run.run import Run
from pipelines.train.contenders import seed_settings
from pipelines.train.holdout import Holdout, holdout_place, open_holdout
from pipelines.train_ranker.choose import (
    CrossFitted,
    ballot_of,
    choose_blend,
    cross_fitted,
    network_choice,
    verdict_of,
)
from pipelines.train_ranker.learned import train_learned_ranker
from pipelines.train_ranker.mlp_samples import ranking_set
from pipelines.train_ranker.stacked import StackedLessons, small_surfaces

_LOG = logging.getLogger(__name__)
#: The network of the source documents' recipe, fitted for comparison, never stored among the bundles (R03, R04).
_SEED = "network_of_the_seed_recipe"
#: The learned ranker trained before the temporal validation split, for evaluation. And the stacked ranker.
_JUDGED = "learned_ranker_before_the_cut"
_STACKED = "stacked_ranker_before_the_cut"


@dataclass(frozen=True, eq=False)
class SecondStage:
    """Results of the second stage. ranker, learned: None if refused.

    holdout: its bundles include the chosen blend, if there is one.
    seed_network: of the source documents' recipe, None with too little data.
    `judged`: the learned ranker trained before the temporal validation split.
    refs: name and version, and the reason of each refusal.
    """

    holdout: Holdout
    ranker: Bundle | None
    seed_network: Bundle | None
    learned: Bundle | None
    judged: Bundle | None
    refs: list[BundleRef]


def train_ranker(run: Run, build: BuildRef, recipe: str = "honest") -> list[BundleRef]:
    """Fit and store `ranker_v1`, `stacked_ranker_v1` and `learned_ranker_v1`, and write the ranking set. Idempotent.

    Fits `ensemble_v1` first if [ensemble] blend is auto or learned. Models that no list can use are not trained.
    recipe: "honest", or "seed" for the features of the source documents (R03, R04).
    Returns a reference per model. A refused one has the version "" and a `reason`, and the rules or the weighted blend
    are used (C53).
    """
    snapshot = Snapshot.open(run.settings.artifacts / "snapshots" / build.snapshot)
    try:
        holdout = open_holdout(run, snapshot)
    except TooSparse as error:
        return [_refused(RANKER, error), _refused(LEARNED, error)]
    refs, network, stacked = [], None, None
    if not unserved(BLEND, run.settings):
        holdout, ref = _with_blend(run, holdout)
        refs.append(ref)
    with ThreadPoolExecutor(1) as beside:  # networks take one thread, and the models of past cutoffs leave some time
        compared = beside.submit(_seed_network, run, snapshot, holdout)
        fitting = None if unserved(RANKER, run.settings) else beside.submit(_networks, run, snapshot, holdout, recipe)
        if not unserved(STACKED, run.settings):
            stacked = StackedLessons.of(run, holdout, small_surfaces(holdout))
            if stacked.lists:
                before = stacked.bundle(holdout.cut_us, {}, _about(run, holdout))
                holdout = replace(holdout, bundles={**holdout.bundles, STACKED: before})
    compared.result()
    if fitting is None:
        refs.append(_left_out(RANKER, unserved(RANKER, run.settings)))
    else:
        ref, network = _evaluated(run, holdout, fitting)
        refs.append(ref)
    off = unserved(LEARNED, run.settings)
    refs += [_left_out(LEARNED, off)] if off else _learned(run, snapshot, holdout, network, stacked)
    if off and stacked is not None and stacked.lists:
        refs.append(_store_stacked(run, snapshot, holdout, stacked, {}))
    run.artifacts.write_json(_second_place(run, snapshot, holdout) / "refs.json", [ref.as_json() for ref in refs])
    return refs


def open_second_stage(run: Run, snapshot: Snapshot) -> SecondStage:
    """Open the results of `train_ranker` in another task. Train first if there are none. Raises TooSparse."""
    holdout = open_holdout(run, snapshot)
    place = _second_place(run, snapshot, holdout)
    if not (place / "refs.json").is_file():
        train_ranker(run, run.reference(snapshot=snapshot.name))
    refs = [BundleRef.from_json(ref) for ref in json.loads((place / "refs.json").read_text())]
    learned = {r.name: run.artifacts.open_bundle(r.name, r.version) for r in refs if r.version}
    if BLEND in learned:
        holdout = replace(holdout, bundles={**holdout.bundles, BLEND: learned[BLEND]})
    if (place / _STACKED).is_dir():
        before = open_bundle(STACKED, place / _STACKED)
        holdout = replace(holdout, bundles={**holdout.bundles, STACKED: before})
    ranker = learned.get(RANKER)
    other = open_bundle(RANKER, place / _SEED) if (place / _SEED).is_dir() else None
    seed_network = ranker if run.settings.ranking.mode == SEED else other
    judged = open_bundle(LEARNED, place / _JUDGED) if (place / _JUDGED).is_dir() else None
    return SecondStage(holdout, ranker, seed_network, learned.get(LEARNED), judged, refs)


def _with_blend(run: Run, holdout: Holdout) -> tuple[Holdout, BundleRef]:
    """Return the hold-out with the chosen or learned blend among its bundles, and the reference of the blend."""
    try:
        bundle = choose_blend(holdout, _about(run, holdout))
    except TrainingError as error:
        return holdout, _refused(BLEND, error)
    ref = BundleRef(BLEND, run.artifacts.store_bundle(bundle, run.slug))
    return replace(holdout, bundles={**holdout.bundles, BLEND: bundle}), ref


def _learned(
    run: Run,
    snapshot: Snapshot,
    holdout: Holdout,
    network: CrossFitted | None,
    stacked: StackedLessons | None,
) -> list[BundleRef]:
    stage = train_learned_ranker(run, snapshot, holdout, _about(run, holdout), network, stacked)
    if stage.judged is not None:
        _stage(_second_place(run, snapshot, holdout) / _JUDGED, stage.judged)
    if stage.served is None:
        ref = _refused(LEARNED, TrainingError(stage.reason))
    else:
        ref = BundleRef(LEARNED, run.artifacts.store_bundle(stage.served, run.slug))
    if stacked is None or not stacked.lists:
        return [ref]
    return [ref, _store_stacked(run, snapshot, holdout, stacked, stage.small, ref.version)]


def _store_stacked(
    run: Run,
    snapshot: Snapshot,
    holdout: Holdout,
    stacked: StackedLessons,
    small: Mapping[Surface, tuple[str, str]],
    learned: str = "",
) -> BundleRef:
    """Store the stacked ranker, and the one fitted before the validation split, with what serves each surface.

    learned: version of the learned ranker, the other half of a mean.
    """
    verdicts = {s: {"serves": name != RULES, "mean": name == MEAN, "reason": why} for s, (name, why) in small.items()}
    about = _about(run, holdout) | {"learned": learned}
    _stage(_second_place(run, snapshot, holdout) / _STACKED, stacked.bundle(holdout.cut_us, verdicts, about))
    served = stacked.bundle(snapshot.as_of_us, verdicts, about)
    return BundleRef(STACKED, run.artifacts.store_bundle(served, run.slug))


def _networks(run: Run, snapshot: Snapshot, holdout: Holdout, recipe: str) -> tuple[Bundle, CrossFitted | None]:
    """Write the ranking set and fit the network, and the cross-fitted pair that evaluates it. Raises TrainingError.

    In the mode "seed" there is no pair.
    """
    rows = ranking_set(holdout, declined_first=True if recipe == "seed" else None)
    rows.write(run.settings.artifacts / "snapshots" / snapshot.name / "datasets", holdout)
    rows = rows if recipe == "honest" else rows.with_seed_features()
    served = _fitted(run, holdout, rows.rows(), recipe)
    if run.settings.ranking.mode == SEED:
        return served, None
    return served, cross_fitted(
        rows,
        holdout.settings,
        lambda part, settings: fit_mlp_ranker(part.rows(), settings.of(RankerConfig), settings.train.seed),
    )


def _evaluated(
    run: Run, holdout: Holdout, fitting: Future[tuple[Bundle, CrossFitted | None]]
) -> tuple[BundleRef, CrossFitted | None]:
    """Evaluate and store the network. Return a reference or refusal, and the cross-fitted pair if any.

    Without a pair there is no evaluation, and the network serves wherever it can be fitted.
    """
    try:
        served, crossed = fitting.result()
        if crossed is not None:
            served = _passed(holdout, served, crossed)
    except TrainingError as error:
        return _refused(RANKER, error), None
    return BundleRef(RANKER, run.artifacts.store_bundle(served, run.slug)), crossed


def _passed(holdout: Holdout, bundle: Bundle, network: CrossFitted) -> Bundle:
    """Add to the config the `surfaces` where the network is clearly better than the rules on validation owners.

    Raises TrainingError if it is worse on every evaluated surface.
    """
    passes, judged, said, ahead = [], {}, [], False
    for surface in Surface:
        ballot = ballot_of(holdout, surface, network, None, alone=False)
        choice = network_choice(ballot)
        if not choice.owners:
            continue
        serves, why = verdict_of(ballot, choice, RANKED)
        passes += [surface.value] if serves else []
        ahead |= choice.gains[RANKED]["mean"] >= 0
        means = {name: round(float(v.mean()), 6) for name, v in ballot.items()}
        judged[surface.value] = {"owners": choice.owners, **means}
        said.append(f"{surface}: {why}")
        _LOG.info("ranker on %s", said[-1])
    if judged and not ahead:
        raise TrainingError(
            f"the trained ranker is worse than the rules on every surface, so the rules rank ({'; '.join(said)})"
        )
    return replace(bundle, config={**bundle.config, "surfaces": passes, "judged": judged})


def _seed_network(run: Run, snapshot: Snapshot, holdout: Holdout) -> None:
    """Stage the network of [ranking] mode = "seed" for comparison. With too few data there is none, and rules rank."""
    if run.settings.ranking.mode == SEED:
        return
    seed = replace(holdout, settings=seed_settings(holdout.settings))
    try:
        _stage(_second_place(run, snapshot, holdout) / _SEED, _fitted(run, seed, ranking_set(seed).rows(), "honest"))
    except TrainingError as error:
        _LOG.info("the rules rank in the source documents' recipe: %s", error)


def _fitted(run: Run, holdout: Holdout, rows: PairwiseRows, recipe: str) -> Bundle:
    return fit_mlp_ranker(
        rows,
        holdout.settings.of(RankerConfig),
        holdout.settings.train.seed,
        about={**_about(run, holdout), "recipe": recipe},
    )


def _about(run: Run, holdout: Holdout) -> dict[str, Any]:
    objectives = {s.value: objective.as_json() for s, objective in holdout.objectives.items()}
    return {"as_of": run.as_of.isoformat(), "inner_cut": holdout.cut, "objectives": objectives}


def _refused(name: str, error: Exception) -> BundleRef:
    _LOG.warning("%s is left out of this build: %s", name, error)
    return BundleRef(name, "", reason=str(error))


def _left_out(name: str, reason: str) -> BundleRef:
    _LOG.info("%s is not trained: %s", name, reason)
    return BundleRef(name, "", reason=reason)


def _second_place(run: Run, snapshot: Snapshot, holdout: Holdout) -> Path:
    """Return the directory of results for `evaluate`, below the hold-out models, keyed by all settings."""
    return run.artifacts.root / holdout_place(run, snapshot, holdout.cut_us) / f"second-{run.settings.digest()}"


def _stage(directory: Path, bundle: Bundle) -> None:
    """Write a bundle into staging and replace what an earlier attempt left."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True, mode=0o700)
    write_bundle(bundle, directory)
