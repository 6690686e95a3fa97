"""The temporal validation split: models refitted on rows before it, and the outcomes after it.

Outcomes train the ranker and evaluate models. Only the ranker and the figures leave the hold-out.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models import registry
from models.catalogue.catalogue import CATALOGUE
from models.data.batch import Owners
from models.data.bundle import Bundle, open_bundle, write_bundle
from models.data.entities import IdMap
from models.data.interactions import EVENT_WEIGHTS, Interactions
from models.data.profile_text import text_of
from models.errors import TooSparse
from models.recommender.surface import SurfaceRecommender, open_recommender, unserved
from models.schema import INTERACTION_TYPES, Entity, EventType, Role, Surface
from models.setting import Phase
from models.settings.settings import Settings
from pipelines.export.snapshot import Snapshot
from pipelines.refs import BuildRef
from pipelines.run.run import EPOCH, Run, slug_of
from pipelines.train.calendar import split_time
from pipelines.train.cutoffs import FACTS, Cutoff
from pipelines.train.objective import DECIDING, Objective, gains_of, graded
from pipelines.train.train import fit

_LOG = logging.getLogger(__name__)
_SALT = np.uint64(0x6D61746368)


@dataclass(frozen=True, eq=False)
class Outcome:
    """New pairs, first seen at or after the cut, as (owners, items) CSR over entity rows.

    relevant: float32, gain of each pair that counts as success, never a disliked one (R07).
    engaged: float32, weight of the strongest positive event (C41).
    declined: bool, interaction without a positive: viewed, clicked or disliked (C42).
    kinds: int32, event types of each pair that is not disliked, one bit per `EventType.code`.
    """

    relevant: sparse.csr_matrix
    engaged: sparse.csr_matrix
    declined: sparse.csr_matrix
    kinds: sparse.csr_matrix

    @property
    def met(self) -> sparse.csr_matrix:
        """bool: every new pair, including disliked ones."""
        return _sorted((self.kinds > 0) + (self.declined > 0))

    @property
    def _all(self) -> tuple[sparse.csr_matrix, ...]:
        return self.relevant, self.engaged, self.declined, self.kinds

    def transposed(self) -> Outcome:
        return Outcome(*(m.T.tocsr() for m in self._all))

    def part(self, start: int, stop: int) -> Outcome:
        return Outcome(*(m[start:stop] for m in self._all))

    def graded(self, gains: NDArray[np.float32]) -> Outcome:
        """Return the outcome with other gains, (codes,) by event type."""
        relevant = self.kinds.astype(np.float32)
        relevant.data = graded(self.kinds.data, gains)
        return replace(self, relevant=_sorted(relevant))

    def on(self, surface: Surface, objectives: Mapping[Surface, Objective]) -> Outcome:
        """Return the outcome as the surface sees it, graded by its objective. self: users x startups."""
        mine = self if surface.owner is Entity.USER else self.transposed()
        return mine.graded(objectives[surface].gains) if surface in objectives else mine

    def over(self, rows: NDArray[np.integer[Any]], catalogue: NDArray[np.integer[Any]]) -> Outcome:
        """Return the outcome of these owners, (rows, catalogue positions), columns ascending."""
        return Outcome(*(_sorted(m[rows][:, catalogue]) for m in self._all))


def outcome_of(interactions: Interactions, cut_us: int) -> Outcome:
    """Return the outcome after a cut, owners and items as in `interactions`. Every new pair has the gain 1."""
    after = interactions.where(interactions.at >= cut_us)
    old, disliked = interactions.before(cut_us).pairs(), after.disliked()
    new = _without(after.pairs(), old)
    engaged = sparse.csr_matrix(new.shape, dtype=np.float32)
    for kind in (t for t in EventType if t.positive):
        of_kind = after.where(after.kind == kind.code).pairs().astype(np.float32) * EVENT_WEIGHTS[kind.code]
        engaged = engaged.maximum(of_kind)
    engaged = engaged.multiply(_without(new, disliked)).tocsr()
    wanted = _without(new, disliked)
    kinds = sparse.csr_matrix(new.shape, dtype=np.int32)
    for kind in INTERACTION_TYPES:
        kinds = kinds + after.where(after.kind == kind.code).pairs().astype(np.int32) * (1 << kind.code)
    kinds = _sorted(kinds.multiply(wanted).astype(np.int32))
    return Outcome(wanted.astype(np.float32), _sorted(engaged), _without(new, engaged > 0), kinds)


def decided(snapshot: Snapshot, settings: Settings, outcome: Outcome) -> dict[Surface, Objective]:
    """Return the objective of each surface, by the number of its new pairs after the validation split.

    outcome: of the split, users x startups.
    """
    role = snapshot.entities(Entity.USER).role
    of_role = {r: outcome.kinds[role == r.code].data for r in Role}
    gains = {name: gains_of(name, settings) for name in DECIDING}
    pairs = {r: {n: int((graded(kinds, g) > 0).sum()) for n, g in gains.items()} for r, kinds in of_role.items()}
    return {s: Objective.of_pairs(pairs[s.role], settings) for s in Surface}


@dataclass(frozen=True, eq=False)
class Holdout:
    """One temporal validation split of a snapshot.

    cut_us: the cut, microseconds since 1970 UTC. bundles: base models of the rows before it, never published.
    before, outcome: users x startups, without people who opted out before the snapshot's cutoff.
    objectives: what counts as success on each surface. Without one, every new pair has the gain 1.
    """

    cut_us: int
    settings: Settings
    bundles: Mapping[str, Bundle]
    before: Interactions
    outcome: Outcome
    snapshot: Snapshot
    objectives: Mapping[Surface, Objective] = field(default_factory=dict)

    @property
    def cut(self) -> str:
        """The cut as ISO 8601."""
        return (EPOCH + timedelta(microseconds=self.cut_us)).isoformat()

    def recipe(self, surface: Surface, ranker: str = "rules", sources: str | None = None) -> SurfaceRecommender:
        sources = sources or self.settings.lists.candidate_sources
        settings = self.settings.without_mode().layered({"ranker": ranker, "candidate_sources": sources}, "given")
        return open_recommender(surface, self.bundles, settings)

    def seen_from(self, surface: Surface) -> Outcome:
        return self.outcome.on(surface, self.objectives)

    def owners(self, recipe: SurfaceRecommender, teaching: bool) -> tuple[Owners, Outcome]:
        """Return one half of the surface's owners with an outcome in the catalogue, ascending, and their outcomes.

        `teaching`: the training half, else the evaluation half. They never overlap and have no opted-out owners. Both
        together have up to `holdout_owners`, sampled by a hash of the id.
        """
        mine = self.seen_from(recipe.surface)
        chosen = np.sort(of_half(recipe.owners.ids, self._drawn(recipe, mine.relevant), teaching))
        return self.batch(recipe, chosen), mine.over(chosen, recipe.catalogue)

    def everybody(self, recipe: SurfaceRecommender, most: int) -> tuple[Owners, Outcome]:
        """Return at most `most` owners of both halves with any new interaction.

        They train a ranker that is evaluated at a later cut, so later dislikes are still unknown here.
        """
        rows = np.sort(self._drawn(recipe, self.seen_from(recipe.surface).met)[:most])
        return self.batch(recipe, rows), self.seen_from(recipe.surface).over(rows, recipe.catalogue)

    def batch(self, recipe: SurfaceRecommender, rows: NDArray[np.int32]) -> Owners:
        """Return these owners as served just after the cut. Later arrivals have only a profile."""
        late = ~recipe.owners.listed[rows] & (recipe.owners.count[rows] == 0) & ~recipe.owners.opted_out[rows]
        if not late.any():
            return recipe.batch(rows, self.before)
        profiles = self.snapshot.profiles(recipe.owners.entity, self.cut_us)
        told = [
            text_of({c: words[row] for c, words in profiles.items()}) if came else ""
            for row, came in zip(rows.tolist(), late.tolist(), strict=True)
        ]
        return recipe.batch(rows, self.before, told)

    def _drawn(self, recipe: SurfaceRecommender, came: sparse.csr_matrix) -> NDArray[np.int32]:
        """Return up to `holdout_owners` rows of owners with one of these outcomes in the catalogue, in hash order.

        came: (owners, items).
        """
        rows = recipe.owners.owners_of(recipe.surface)
        rows = rows[~recipe.owners.opted_out[rows]]
        rows = rows[np.diff(_sorted(came[rows][:, recipe.catalogue]).indptr) > 0]
        return rows[np.argsort(hashed(recipe.owners.ids, rows))][: self.settings.holdout.owners]


def hashed(ids: IdMap, rows: NDArray[np.integer[Any]]) -> NDArray[np.uint64]:
    """Return (n,) uint64 salted hash of each id. It alone decides an owner's half (R15)."""
    half = ids.packed()[rows].copy().view("<u8")
    x = (half[:, 0] ^ (half[:, 1] + _SALT)).astype(np.uint64) if len(rows) else np.zeros(0, np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray(x ^ (x >> np.uint64(31)))


def of_half(ids: IdMap, rows: NDArray[np.int32], choosing: bool, most: int | None = None) -> NDArray[np.int32]:
    """Return up to `most` of these rows in hash order: the training half if `choosing`, else the evaluation half.

    Separate halves prevent selection bias in reported figures.
    """
    mark = hashed(ids, rows)
    order = np.argsort(mark)
    order = order[(mark[order] & np.uint64(1)).astype(bool) == choosing]
    return rows[order][:most]


def hold_out(run: Run, build: BuildRef) -> dict[str, Any]:
    """The step: fit every model before the validation split. Returns {cut, models}, or why nothing is held out."""
    try:
        held = open_holdout(run, Snapshot.open(run.settings.artifacts / "snapshots" / build.snapshot))
    except TooSparse as error:
        _LOG.warning("nothing is held out, so the rules rank and nothing is measured: %s", error)
        return {"cut": None, "note": str(error)}
    return {"cut": held.cut, "models": sorted(held.bundles)}


def open_holdout(run: Run, snapshot: Snapshot) -> Holdout:
    """Open the validation split of a build. Base models are fitted once and kept in staging. Raises TooSparse."""
    held = open_holdout_at(run, snapshot, split_time(snapshot.heard, run.settings.holdout.share))
    return replace(held, objectives=decided(snapshot, run.settings, held.outcome))


def open_holdout_at(run: Run, snapshot: Snapshot, cut_us: int, until_us: int | None = None) -> Holdout:
    """Open any cut, with outcomes before `until_us` (default: the snapshot's cutoff). Raises TooSparse."""
    return open_cutoff(Cutoff(run, snapshot, cut_us), until_us)


def open_cutoff(cutoff: Cutoff, until_us: int | None = None) -> Holdout:
    """Open a cutoff, as `open_holdout_at`.

    Models of what existed then are kept. Models of facts are fitted again, with a row for each entity of the snapshot.
    """
    run, snapshot, cut_us = cutoff.run, cutoff.snapshot, cutoff.cut_us
    interactions, settings, bundles = snapshot.heard, run.settings, {}
    for name in (n for n in registry.bundles() if not unserved(n, settings)):
        try:
            bundles[name] = _fitted(run, snapshot, name, cut_us) if name in FACTS else cutoff.model(name)
        except TooSparse as error:
            if name in registry.required():
                raise
            _LOG.warning("hold-out: %s abstains: %s", name, error)
    known = interactions if until_us is None else interactions.before(until_us)
    bundles[CATALOGUE] = _without_unmet(bundles[CATALOGUE], snapshot)
    return Holdout(cut_us, settings, bundles, interactions.before(cut_us), outcome_of(known, cut_us), snapshot)


def _without_unmet(catalogue: Bundle, snapshot: Snapshot) -> Bundle:
    """Remove items without interactions at the cut, if every currently listed item has interactions.

    Otherwise survivorship bias leaks: an item without interactions at the cut must get one later.
    """
    arrays = dict(catalogue.arrays)
    for entity in Entity:
        if snapshot.entities(entity).all_met:
            arrays[f"{entity}_listed"] = arrays[f"{entity}_listed"] & (arrays[f"{entity}_count"] > 0)
    return replace(catalogue, arrays=arrays)


def _fitted(run: Run, snapshot: Snapshot, name: str, cut_us: int) -> Bundle:
    """Return a model of facts fitted before the cut, from staging if an earlier task stored it."""
    kind = holdout_place(run, snapshot, cut_us)
    path = run.artifacts.root / kind / name
    if not path.exists():
        bundle = fit(name, snapshot, run.settings, cut_us)
        run.artifacts.place(kind, name, lambda directory: write_bundle(bundle, directory))
    return open_bundle(name, path)


def holdout_place(run: Run, snapshot: Snapshot, cut_us: int) -> str:
    """Return the directory of a cut's models below the artefact root, one per snapshot, cut and settings.

    The key covers only settings of the phase "train".
    """
    shaping = run.settings.recorded(Phase.TRAIN)
    key = hashlib.sha256(json.dumps([snapshot.name, shaping], sort_keys=True).encode()).hexdigest()[:8]
    cut = slug_of(EPOCH + timedelta(microseconds=cut_us))
    return str((run.directory / "holdout" / f"{cut}-{key}").relative_to(run.artifacts.root))


def _without(a: sparse.csr_matrix, b: sparse.csr_matrix) -> sparse.csr_matrix:
    left = a.astype(bool).astype(np.int8) - a.astype(bool).multiply(b.astype(bool)).astype(np.int8)
    left.eliminate_zeros()
    return _sorted(left.astype(bool))


def _sorted(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    matrix = matrix.tocsr()
    matrix.eliminate_zeros()
    matrix.sort_indices()
    return matrix
