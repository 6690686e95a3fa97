"""The arms of the experiments in a batch: every owner by the recipe of their arm, and what the arms come to."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.batch import Owners
from models.data.bundle import Bundle
from models.data.entities import Entities
from models.experiments import Arm, Experiment, arms_on, places_on, read_experiments
from models.lists.ranked_lists import RankedLists
from models.recommender.exposure import share_moved
from models.recommender.recommend import recommend
from models.recommender.surface import SurfaceRecommender, open_bundles, open_recommender, with_settings
from models.schema import Surface
from pipelines.export.snapshot import Snapshot
from pipelines.run.run import Run

log = logging.getLogger(__name__)

#: Owners of an arm whose lists are made both ways, to see what the arm changes.
COMPARED = 256


def arms_of(whose: SurfaceRecommender | Run, surface: Surface) -> list[tuple[Experiment, Arm]]:
    """Every arm of a surface, in the order of the numbers of `places_of`."""
    return arms_on(read_experiments(whose.settings), surface)


def places_of(
    whose: SurfaceRecommender | Run, surface: Surface, owners: Entities, rows: NDArray[np.int32]
) -> NDArray[np.int16]:
    """(n,) int16 the arm of each of these owners, -1 for none; who opted out takes part in nothing (R23)."""
    experiments = read_experiments(whose.settings)
    if not arms_on(experiments, surface):
        return np.full(len(rows), -1, np.int16)
    found = places_on(experiments, surface, owners.ids.packed()[rows])
    return np.where(owners.opted_out[rows], -1, found).astype(np.int16)


def recommenders_by_arm(
    recipe: SurfaceRecommender, bundles: Mapping[str, Bundle], owners: Owners
) -> list[tuple[SurfaceRecommender, NDArray[np.int64]]]:
    """The recipes that a batch is scored by, each with the numbers of its owners in the batch; first those without an
    arm, whose recipe is the given one."""
    place = places_of(recipe, recipe.surface, recipe.owners, owners.row)
    found = [(recipe, np.flatnonzero(place < 0))]
    for i, (_, arm) in enumerate(arms_of(recipe, recipe.surface)):
        mine = np.flatnonzero(place == i)
        if len(mine):
            found.append((with_settings(recipe, bundles, arm.apply(recipe.settings)), mine))
    return found


def experiment_manifest(run: Run, snapshot: str, versions: Mapping[str, str]) -> list[dict[str, Any]]:
    """The experiments of a build for its manifest: as they were given, with the edition and, of each arm by surface,
    how many `owners` it has and the share of their top tens' places that it `moved`, on up to COMPARED of them."""
    experiments = read_experiments(run.settings)
    if not experiments:
        return []
    bundles = open_bundles(run.settings.artifacts, versions, run.settings)
    told = [e.as_json() | {"edition": e.edition} for e in experiments]
    by_name = {(e["name"], a["name"]): a | {"owners": {}, "moved": {}} for e in told for a in e["arms"]}
    interactions = Snapshot.open(run.settings.artifacts / "snapshots" / snapshot).interactions()
    for surface in Surface:
        arms = arms_of(run, surface)
        if not arms:
            continue
        recipe = open_recommender(surface, bundles, run.settings)
        rows = recipe.owners.owners_of(surface)
        place = places_of(run, surface, recipe.owners, rows)
        for i, (of, arm) in enumerate(arms):
            mine, about = rows[place == i], by_name[of.name, arm.name]
            about["owners"][surface.value] = len(mine)
            some = recipe.batch(mine[:COMPARED], interactions)
            other = with_settings(recipe, bundles, arm.apply(run.settings))
            about["moved"][surface.value] = _moved(recipe, other, some)
    for e in told:
        e["arms"] = [by_name[e["name"], a["name"]] for a in e["arms"]]
        _warn_of_equals(e)
    return told


def _moved(plain: SurfaceRecommender, changed: SurfaceRecommender, owners: Owners) -> float:
    """Share of the top tens' places whose item the plain recipe would not have put there."""
    if not len(owners):
        return 0.0
    depth = min(plain.settings.lists.depth, changed.settings.lists.depth)
    return share_moved(recommend(changed, owners, depth), recommend(plain, owners, depth))


def _warn_of_equals(experiment: Mapping[str, Any]) -> None:
    for arm in experiment["arms"]:
        log.info(
            "experiment %s arm %s: owners %s, moved %s", experiment["name"], arm["name"], arm["owners"], arm["moved"]
        )
        if arm["settings"] and not any(arm["moved"].values()):
            log.warning(
                "arm %s of experiment %s changes nobody's first ten places: another setting overrides %s (the "
                "learned ranker, for one, does not look at the blend)",
                arm["name"],
                experiment["name"],
                ", ".join(arm["settings"]),
            )


def scored_by_arm(recipes: list[tuple[SurfaceRecommender, NDArray[np.int64]]], lists: list[RankedLists]) -> RankedLists:
    """The lists of all recipes in the order of the batch."""
    if len(lists) == 1:
        return lists[0]
    return RankedLists.concat(lists).take(np.argsort(np.concatenate([mine for _, mine in recipes]), kind="stable"))
