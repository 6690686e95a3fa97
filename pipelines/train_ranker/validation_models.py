"""Store and open the models that evaluate a build: those fitted before the temporal validation split.

The next build evaluates the live release by these models, because a refit with today's code and settings would hide
regressions. A release exists only if they passed the leak checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models import registry
from models.catalogue.catalogue import CATALOGUE
from models.data.bundle import Bundle
from models.data.entities import IdMap
from models.learned_ranker.scorer import ACTIVITY, LEARNED
from models.lists.release import Release
from models.mlp_ranker.fit import RANKER
from models.recommender.surface import SurfaceRecommender, open_recommender
from models.schema import Entity, Surface
from models.settings.settings import Settings
from pipelines.run.run import Run, microseconds, parse_instant, slug_of
from pipelines.store.artifacts import HOLDOUTS
from pipelines.train_ranker.second_stage import SecondStage

_POPULARITY = registry.named("popularity").bundle


@dataclass(frozen=True, eq=False)
class ValidationModels:
    """The models that a build would have served at its temporal validation split.

    bundles: all but the catalogue. cut_us: microseconds. caps: on exposure, by surface, see `Release.cap`.
    """

    settings: Settings
    bundles: Mapping[str, Bundle]
    cut_us: int
    caps: Mapping[Surface, float] = field(default_factory=dict)

    def recipe(self, surface: Surface, catalogue: Bundle) -> SurfaceRecommender:
        """Return the recipe over a catalogue that may have more entities than these models.

        Unknown owners get no scores and unknown items are not shown. Raises BundleError if the models do not fit
        together.
        """
        entity = surface.item.value
        known = self.bundles[_POPULARITY].maps[entity].find(catalogue.maps[entity].packed()) >= 0
        arrays = {**catalogue.arrays, f"{entity}_listed": catalogue.arrays[f"{entity}_listed"] & known}
        mine = {**self.bundles, CATALOGUE: replace(catalogue, arrays=arrays)}
        if ACTIVITY in mine:
            mine[ACTIVITY] = reindexed(mine[ACTIVITY], catalogue.maps)
        return open_recommender(
            surface, mine, self.settings.layered({"exposure_cap": self.caps.get(surface, 0.0)}, "given")
        )


def store_validation_models(run: Run, stage: SecondStage) -> dict[str, str]:
    """Store the models that evaluate this build. Return name -> version for the manifest."""
    found = {n: b for n, b in stage.holdout.bundles.items() if n != CATALOGUE}
    if stage.ranker is not None:
        found[RANKER] = stage.ranker
    if stage.judged is not None and stage.learned is not None:
        found[LEARNED] = _as_served(stage.judged, stage.learned)
    slug = slug_of(parse_instant(stage.holdout.cut))
    return {name: run.artifacts.store_bundle(bundle, slug, HOLDOUTS) for name, bundle in sorted(found.items())}


def open_validation_models(run: Run, release: Release) -> ValidationModels:
    """Open the models that evaluate a release, with its settings. Raises BundleError, KeyError."""
    settings = run.settings.with_recorded(release.settings)
    bundles = {name: run.artifacts.open_bundle(name, version, HOLDOUTS) for name, version in release.judged.items()}
    cut_us = microseconds(parse_instant(str(bundles[_POPULARITY].config["as_of"])))
    return ValidationModels(settings, bundles, cut_us, {s: release.cap(s) for s in Surface})


def reindexed(bundle: Bundle, maps: Mapping[str, IdMap]) -> Bundle:
    """Return a bundle with the rows of other id tables. New ids get a row of zeros, missing ids are dropped."""
    arrays = dict(bundle.arrays)
    for side, ids in bundle.maps.items():
        place = ids.find(maps[side].packed())
        for key, array in bundle.arrays.items():
            if key.startswith(f"{side}_") and len(array) == len(ids):
                there = (place >= 0).reshape(-1, *[1] * (array.ndim - 1))
                arrays[key] = np.where(there, array[place], 0).astype(array.dtype)
            if side == Entity.USER.value and key.endswith("_indptr") and len(array) == len(ids) + 1:
                arrays |= _rows_of(bundle.arrays, key.removesuffix("indptr"), place)
    return replace(bundle, arrays=arrays, maps={side: maps[side] for side in bundle.maps})


def _rows_of(arrays: Mapping[str, NDArray[Any]], prefix: str, place: NDArray[np.int32]) -> dict[str, NDArray[Any]]:
    """Return the parts of a CSR matrix with the rows `place`. -1 gives an empty row."""
    parts = tuple(arrays[f"{prefix}{part}"] for part in ("data", "indices", "indptr"))
    matrix = sparse.csr_matrix(parts, shape=(len(parts[2]) - 1, int(parts[1].max(initial=0)) + 1))
    there = np.flatnonzero(place >= 0)
    spread = sparse.csr_matrix(
        (np.ones(len(there), parts[0].dtype), (there, place[there])), shape=(len(place), matrix.shape[0])
    )
    found = (spread @ matrix).tocsr()
    return {f"{prefix}data": found.data, f"{prefix}indices": found.indices, f"{prefix}indptr": found.indptr}


def _as_served(judged: Bundle, learned: Bundle) -> Bundle:
    """Return the learned ranker trained before the cut, serving where the ranker of the build serves."""
    serves = {s: bool(about.get("serves")) for s, about in learned.config["surfaces"].items()}
    surfaces = {s: {**about, "serves": serves.get(s, False)} for s, about in judged.config["surfaces"].items()}
    return replace(judged, config={**judged.config, "surfaces": surfaces}, version="")
