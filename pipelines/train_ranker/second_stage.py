"""Train the models after the base models: the rankers, and the learned blend where settings ask for it."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.bundle import Bundle, open_bundle, write_bundle
from models.ensemble.fit import BLEND
from models.errors import TooSparse, TrainingError
from models.experiments import with_arms
from models.learned_ranker.fit import FittedRanker, RankerRows, fit_learned_ranker
from models.learned_ranker.scorer import LEARNED
from models.mlp_ranker.fit import RANKER, PairwiseRows, fit_mlp_ranker
from models.ranker import RankerConfig
from models.recommender.surface import unserved
from models.schema import Surface
from models.setting import Phase
from models.settings.modes import SEED
from models.settings.settings import Settings
from models.stacked_ranker.scorer import STACKED
from pipelines.export.snapshot import Snapshot
from pipelines.refs import BuildRef, BundleRef
from pipelines.report.figure_names import RANKED, RULES, TAUGHT
from pipelines.run.run import EPOCH, Run
from pipelines.store.artifacts import CUTS
from pipelines.train.contenders import seed_settings
from pipelines.train.cutoffs import digest_of, kept
from pipelines.train.holdout import Holdout, holdout_place, open_holdout
from pipelines.train.objective import Objective
from pipelines.train_ranker.choose import (
    CrossFitted,
    ballot_of,
    choose_blend,
    cross_fitted,
    learned_choice,
    network_choice,
    small_choice,
    verdict_of,
)
from pipelines.train_ranker.mlp_samples import RankingSet, ranking_set
from pipelines.train_ranker.samples import RankerSamples, ranker_samples, samples_until
from pipelines.train_ranker.stacked import StackedLessons, pooled_ballot, small_surfaces

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class LearnedRankerResult:
    """The learned ranker for serving, and a copy for evaluation.

    served: trained on all data.
    `judged`: trained only on data before the temporal validation split, None if too few.
    reason: why there is no served model, or empty.
    small: for each small surface what serves and why, see `small_choice`.
    """

    served: Bundle | None
    judged: Bundle | None
    reason: str = ""
    small: Mapping[Surface, tuple[str, str]] = field(default_factory=dict)


def train_learned_ranker(
    run: Run,
    snapshot: Snapshot,
    holdout: Holdout,
    about: Mapping[str, Any],
    network: CrossFitted | None = None,
    stacked: StackedLessons | None = None,
) -> LearnedRankerResult:
    """Train the learned ranker on every surface with enough data. Its config records where it serves, and why.

    network: a candidate to serve a surface instead of the rules. stacked: of the small surfaces.
    """
    lessons = ranker_samples(run, snapshot, holdout.objectives)
    before = _taught(run, lessons, holdout.objectives, holdout.cut_us)
    judged = _bundle(before, {s: {"serves": True} for s in before}, {**about, **_cutoffs(lessons, holdout.cut_us)})
    fitted = {s: judged if isinstance(before.get(s), FittedRanker) else None for s in Surface}
    small = {s: _small(run, holdout, s, stacked, lessons, fitted[s]) for s in (stacked.lists if stacked else ())}
    verdicts = {
        s: {"serves": small[s][0] == TAUGHT, "reason": small[s][1], "judged": {}}
        if s in small
        else _verdict(holdout, s, fitted[s], network)
        for s in lessons
    }
    by_name = any(own.of(RankerConfig).kind == "learned" for own in with_arms(run.settings))
    wanted = {s: those for s, those in lessons.items() if by_name or verdicts[s]["serves"]}
    now = _taught(run, wanted, holdout.objectives, snapshot.as_of_us)
    taught = {**before, **now}
    served = _bundle(taught, verdicts, {**about, **_cutoffs(lessons, snapshot.as_of_us)}, now)
    left_out = "; ".join(f"{s}: {t}" for s, t in taught.items() if isinstance(t, str))
    return LearnedRankerResult(
        served, judged, "" if served else left_out or "no surface has samples at an earlier cutoff", small
    )


def _small(
    run: Run,
    holdout: Holdout,
    surface: Surface,
    stacked: StackedLessons | None,
    lessons: Mapping[Surface, Sequence[RankerSamples]],
    judged: Bundle | None,
) -> tuple[str, str]:
    """Choose what serves a small surface by pooled cutoffs, each with rankers fitted before it."""
    assert stacked is not None

    def learned(until_us: int) -> Bundle | None:
        if surface not in lessons or judged is None:
            return None
        fitted = _taught(run, {surface: lessons[surface]}, holdout.objectives, until_us)
        return _bundle(fitted, {surface: {"serves": True}}, {})

    ballot = ballot_of(holdout, surface, None, judged, alone=False)
    chosen = small_choice(pooled_ballot(stacked, surface, holdout, ballot, learned))
    _LOG.info("small surface %s: %s", surface, chosen[1])
    return chosen


def teaching(settings: Settings) -> tuple[RankerConfig, int]:
    """Return the arguments of `fit_learned_ranker` besides the rows: settings and seed."""
    return settings.of(RankerConfig), settings.train.seed


def _cutoffs(lessons: Mapping[Surface, Sequence[RankerSamples]], until_us: int) -> dict[str, list[str]]:
    """Return the samples' cutoffs before an instant, newest first, as ISO 8601."""
    found = {x.cut_us for those in lessons.values() for x in those if x.cut_us < until_us}
    return {"cutoffs": [(EPOCH + timedelta(microseconds=us)).isoformat() for us in sorted(found, reverse=True)]}


def _taught(
    run: Run,
    lessons: Mapping[Surface, Sequence[RankerSamples]],
    objectives: Mapping[Surface, Objective],
    until_us: int,
) -> dict[Surface, FittedRanker | str]:
    """Return by surface the ranker fitted on samples before an instant, or why there is none."""

    def fitted(surface: Surface) -> FittedRanker | str:
        try:
            return _fit_once(run, samples_until(lessons[surface], until_us, objectives[surface].gains))
        except TrainingError as error:
            _LOG.warning("the learned ranker is left out on %s: %s", surface, error)
            return str(error)

    with ThreadPoolExecutor(run.settings.train_threads) as pool:  # one thread a ranker: its regression cannot share
        return dict(zip(lessons, pool.map(fitted, lessons), strict=True))


def _fit_once(run: Run, rows: RankerRows) -> FittedRanker:
    """Fit the learned ranker, or open what an earlier build fitted on the same rows. Raises TrainingError."""
    content = hashlib.sha256()
    for array in (rows.features, rows.label, rows.group):
        content.update(np.ascontiguousarray(array).tobytes())
    name = (
        f"rows-{digest_of(content.hexdigest(), rows.names, rows.gains, run.settings.recorded(Phase.TRAIN, Phase.RANK))}"
    )

    def make() -> Bundle:
        fitted = fit_learned_ranker(rows, *teaching(run.settings))
        return Bundle(LEARNED, fitted.about, fitted.arrays)

    found = kept(run, f"{CUTS}/{LEARNED}", name, LEARNED, make)
    return FittedRanker(found.arrays, found.config)


def _bundle(
    taught: Mapping[Surface, FittedRanker | str],
    verdicts: Mapping[Surface, Mapping[str, Any]],
    about: Mapping[str, Any],
    stored: Collection[Surface] = tuple(Surface),
) -> Bundle | None:
    """Return the rankers of the `stored` surfaces, and the verdicts of all; None if none could be trained."""
    arrays: dict[str, NDArray[Any]] = {}
    surfaces = {}
    for surface, found in taught.items():
        if isinstance(found, FittedRanker):
            mine = found if surface in stored else FittedRanker({}, {})
            arrays |= {f"{surface.folder}-{name}": array for name, array in mine.arrays.items()}
            surfaces[surface.value] = {**mine.about, **verdicts[surface]}
    if not surfaces:
        return None
    left_out = {s.value: t for s, t in taught.items() if isinstance(t, str)}
    return Bundle(LEARNED, {**about, "surfaces": surfaces, "left_out": left_out}, arrays)


def _verdict(holdout: Holdout, surface: Surface, judged: Bundle | None, network: CrossFitted | None) -> dict[str, Any]:
    """Return whether the ranker serves a surface, the reason, and NDCG@10 of the ranker and its alternatives."""
    if judged is None:
        return {"serves": False, "reason": "too little data before the validation split to evaluate it", "judged": {}}
    ballot = ballot_of(holdout, surface, network, judged)
    choice = learned_choice(ballot)
    serves, said = verdict_of(ballot, choice, TAUGHT)
    reason = f"trained before the validation split and evaluated after it: {said}"
    _LOG.info("learned ranker on %s: %s", surface, reason)
    figures = {name: round(float(values.mean()), 6) for name, values in ballot.items()} if choice.owners else {}
    return {
        "serves": serves,
        "reason": reason,
        "judged": {"owners": choice.owners, **figures},
        "gains": {
            name: {k: round(v, 6) for k, v in gain.items()} for name, gain in choice.gains.items() if choice.owners > 1
        },
    }


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
    if not unserved(STACKED, run.settings):
        stacked = StackedLessons.of(run, holdout, small_surfaces(holdout))
        if stacked.lists:
            before = stacked.bundle(holdout.cut_us, {}, _about(run, holdout))
            holdout = replace(holdout, bundles={**holdout.bundles, STACKED: before})
    if off := unserved(RANKER, run.settings):
        refs.append(_left_out(RANKER, off))
    else:
        ref, network = _network(run, snapshot, holdout, recipe)
        refs.append(ref)
    if run.settings.ranking.mode != SEED and (other := _seed_network(run, holdout)) is not None:
        _stage(_second_place(run, snapshot, holdout) / _SEED, other)
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


def _network(run: Run, snapshot: Snapshot, holdout: Holdout, recipe: str) -> tuple[BundleRef, CrossFitted | None]:
    rows = ranking_set(holdout, declined_first=True if recipe == "seed" else None)
    rows.write(run.settings.artifacts / "snapshots" / snapshot.name / "datasets", holdout)
    return _ranker(run, holdout, rows if recipe == "honest" else rows.with_seed_features(), recipe)


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
    return [ref, _store_stacked(run, snapshot, holdout, stacked, stage.small)]


def _store_stacked(
    run: Run,
    snapshot: Snapshot,
    holdout: Holdout,
    stacked: StackedLessons,
    small: Mapping[Surface, tuple[str, str]],
) -> BundleRef:
    """Store the stacked ranker, and the one fitted before the validation split, with what serves each surface."""
    verdicts = {s: {"serves": name != RULES, "reason": why} for s, (name, why) in small.items()}
    about = _about(run, holdout)
    _stage(_second_place(run, snapshot, holdout) / _STACKED, stacked.bundle(holdout.cut_us, verdicts, about))
    served = stacked.bundle(snapshot.as_of_us, verdicts, about)
    return BundleRef(STACKED, run.artifacts.store_bundle(served, run.slug))


def _ranker(run: Run, holdout: Holdout, rows: RankingSet, recipe: str) -> tuple[BundleRef, CrossFitted | None]:
    """Fit, evaluate and store the network. Return a reference or refusal, and the cross-fitted pair if any.

    In the mode "seed" there is no evaluation, and the network serves wherever it can be fitted.
    """
    try:
        bundle = _fitted(run, holdout, rows.rows(), recipe)
        if run.settings.ranking.mode == SEED:
            return BundleRef(RANKER, run.artifacts.store_bundle(bundle, run.slug)), None
        network = cross_fitted(
            rows,
            holdout.settings,
            lambda part, settings: fit_mlp_ranker(part.rows(), settings.of(RankerConfig), settings.train.seed),
        )
        bundle = _passed(holdout, bundle, network)
    except TrainingError as error:
        return _refused(RANKER, error), None
    return BundleRef(RANKER, run.artifacts.store_bundle(bundle, run.slug)), network


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


def _seed_network(run: Run, holdout: Holdout) -> Bundle | None:
    """Return the network of [ranking] mode = "seed", or None with too few data. Then rules rank."""
    seed = replace(holdout, settings=seed_settings(holdout.settings))
    try:
        return _fitted(run, seed, ranking_set(seed).rows(), "honest")
    except TrainingError as error:
        _LOG.info("the rules rank in the source documents' recipe: %s", error)
        return None


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
