"""Train what stands behind the base models: the ranker, and the learned blend where it is asked for."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import TooSparse, TrainingError
from models.nouns.bundle import Bundle, open_bundle, write_bundle
from models.training.blend import BLEND, fit_blend
from models.training.ranker import RANKER, fit_ranker
from pipelines.data.snapshot import Snapshot
from pipelines.learning.holdout import Holdout, holdout_place, open_holdout
from pipelines.learning.ranking_set import RankingSet, ranking_set
from pipelines.run import Run

_LOG = logging.getLogger(__name__)
#: What `train_ranker` found out, for `evaluate` in another task.
_NOTE = "second_stage.json"
#: The ranker of the seed's literal recipe: fitted to be compared with, never stored among the bundles (R03, R04).
SEED_RANKER = "ranker_of_the_seeds_recipe"


@dataclass(frozen=True, eq=False)
class SecondStage:
    """holdout: with the learned blend among its bundles, if there is one. ranker, of_the_seed: None where refused.
    refs: name, version and, for a refused one, reason."""

    holdout: Holdout
    ranker: Bundle | None
    of_the_seed: Bundle | None
    refs: list[dict[str, str]]


def train_ranker(run: Run, snapshot_name: str) -> list[dict[str, str]]:
    """Fit and store `ranker_v1`, before it `ensemble_v1` where MATCHBOOK_BLEND is learned, and write the ranking set.

    Returns a reference each: name and version; a refused one has the version "" and a `reason`: then the rules rank, or
    the weighted blend blends (C53). Doing it again gives the same.
    """
    snapshot = Snapshot.open(run.settings.artifacts / "snapshots" / snapshot_name)
    try:
        holdout = open_holdout(run, snapshot)
    except TooSparse as error:
        return [_refused(RANKER, error)]
    refs = []
    if run.settings.blend == "learned":
        holdout, ref = _with_blend(run, holdout)
        refs.append(ref)
    rows = ranking_set(holdout)
    rows.write(run.settings.artifacts / "snapshots" / snapshot_name / "datasets", holdout)
    ref, _ = _fitted(run, holdout, rows)
    refs.append(ref)
    _stage_seed_ranker(run, snapshot, holdout, rows)
    run.artifacts.write_json(_note(run, snapshot, holdout), refs)
    return refs


def open_second_stage(run: Run, snapshot: Snapshot) -> SecondStage:
    """What `train_ranker` left, in another task; trains it where there is nothing yet. Raises TooSparse."""
    holdout = open_holdout(run, snapshot)
    note = _note(run, snapshot, holdout)
    refs: list[dict[str, str]] = json.loads(note.read_text()) if note.is_file() else train_ranker(run, snapshot.name)
    learned = {r["name"]: run.artifacts.open_bundle(r["name"], r["version"]) for r in refs if r["version"]}
    if BLEND in learned:
        holdout = replace(holdout, bundles={**holdout.bundles, BLEND: learned[BLEND]})
    seeds = note.parent / SEED_RANKER
    of_the_seed = open_bundle(RANKER, seeds) if seeds.is_dir() else None
    return SecondStage(holdout, learned.get(RANKER), of_the_seed, refs)


def _with_blend(run: Run, holdout: Holdout) -> tuple[Holdout, dict[str, str]]:
    """The hold-out, with the learned blend among its bundles; fitted on the candidates both models can score (C17)."""
    rows = ranking_set(holdout)
    both = np.isfinite(rows.blend).all(axis=1)
    try:
        bundle = fit_blend(rows.blend[both], rows.label[both], run.settings, _about(run, holdout))
    except TrainingError as error:
        return holdout, _refused(BLEND, error)
    ref = {"name": BLEND, "version": run.artifacts.store_bundle(bundle, run.slug)}
    return replace(holdout, bundles={**holdout.bundles, BLEND: bundle}), ref


def _fitted(run: Run, holdout: Holdout, rows: RankingSet) -> tuple[dict[str, str], Bundle | None]:
    try:
        bundle = fit_ranker(rows.rows(), run.settings, about={**_about(run, holdout), "recipe": "honest"})
    except TrainingError as error:
        return _refused(RANKER, error), None
    return {"name": RANKER, "version": run.artifacts.store_bundle(bundle, run.slug)}, bundle


def _stage_seed_ranker(run: Run, snapshot: Snapshot, holdout: Holdout, rows: RankingSet) -> None:
    try:
        about = {**_about(run, holdout), "recipe": "seed"}
        bundle = fit_ranker(rows.as_the_seed_has_it().rows(), run.settings, about=about)
    except TrainingError:
        return  # said already of the honest one, whose rows are the same
    run.artifacts.place(holdout_place(run, snapshot, holdout.cut_us), SEED_RANKER,
                        lambda directory: write_bundle(bundle, directory))


def _about(run: Run, holdout: Holdout) -> dict[str, Any]:
    return {"as_of": run.as_of.isoformat(), "inner_cut": holdout.cut}


def _refused(name: str, error: Exception) -> dict[str, str]:
    _LOG.warning("%s is left out of this build: %s", name, error)
    return {"name": name, "version": "", "reason": str(error)}


def _note(run: Run, snapshot: Snapshot, holdout: Holdout) -> Path:
    return run.artifacts.root / holdout_place(run, snapshot, holdout.cut_us) / _NOTE
