"""Train the stacked ranker of surfaces with little data, and compare it with others at pooled cutoffs.

A surface is small if its owners met few new items in the validation split. There the weights come from every past
cutoff and every owner, and so does the choice of the ranker that serves.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.bundle import Bundle
from models.errors import TooSparse
from models.ranker import RankerConfig
from models.recommender.candidates import learned_features, wide_candidates
from models.recommender.recommend import CHUNK
from models.schema import Surface
from models.stacked_ranker.fit import StackedRows, fit_weights, prior_of
from models.stacked_ranker.scorer import KNOWN, STACKED, TERMS, UNSEEN, cells_of
from pipelines.export.snapshot import Snapshot
from pipelines.report.figure_names import MEAN, RULES, STACK, TAUGHT
from pipelines.run.run import Run
from pipelines.train.calendar import cuts
from pipelines.train.contenders import listed_by, ndcg_each, recipes
from pipelines.train.cutoffs import Cutoff
from pipelines.train.holdout import Holdout, open_cutoff, outcome_of
from pipelines.train.leakage import check_leaks
from pipelines.train.objective import Objective
from pipelines.train_ranker.mlp_samples import cells

_LOG = logging.getLogger(__name__)
#: A surface is small with fewer new pairs than this in its validation split.
SMALL = 1_000
#: Most owners of one cutoff and surface.
OWNERS = 400


@dataclass(frozen=True, eq=False)
class PastCutoff:
    """One past cutoff, fitted before `cut_us`, with outcomes before `until_us`, microseconds since 1970 UTC."""

    holdout: Holdout
    until_us: int


@dataclass(frozen=True, eq=False)
class _Lists:
    """Candidates of one past cutoff and surface.

    cells: (n, terms). group: (n,) the list of each. owner, item: (n,) entity rows. unseen: (n,) bool.
    """

    past: PastCutoff
    surface: Surface
    cells: NDArray[np.float64]
    group: NDArray[np.int64]
    owner: NDArray[np.int32]
    item: NDArray[np.int32]
    unseen: NDArray[np.bool_]

    def rows(self, until_us: int, part: str) -> StackedRows:
        """Return the candidates of one part of the owners with what an instant knows of their outcomes."""
        holdout = self.past.holdout
        known = holdout.snapshot.heard.before(min(until_us, self.past.until_us))
        relevant = outcome_of(known, holdout.cut_us).on(self.surface, holdout.objectives).relevant
        label = (cells(relevant, self.owner, self.item) > 0).astype(np.float64)
        mine = self.unseen == (part == UNSEEN)
        return StackedRows(self.cells[mine], self.group[mine], label[mine])


def small_surfaces(holdout: Holdout) -> tuple[Surface, ...]:
    """Return the surfaces whose owners met fewer than SMALL new items in the validation split."""
    found = []
    for surface in Surface:
        recipe = holdout.recipe(surface)
        new = holdout.seen_from(surface).over(recipe.owners.owners_of(surface), recipe.catalogue).kinds
        if recipe.evidence is not None and len(recipe.catalogue) and new.nnz < SMALL:
            found.append(surface)
    return tuple(found)


def past_cutoffs(run: Run, snapshot: Snapshot, objectives: Mapping[Surface, Objective]) -> list[PastCutoff]:
    """Open the cutoffs of the rolling-origin backtest, newest first. Too sparse ones are left out."""
    settings = run.settings

    def opened(times: tuple[int, int]) -> PastCutoff | None:
        cut, until = times
        try:
            holdout = open_cutoff(Cutoff(run, snapshot, cut, quick=True), until)
        except TooSparse as error:
            _LOG.warning("no samples of the stacked ranker at a cutoff: %s", error)
            return None
        check_leaks(snapshot, settings, cut, holdout.bundles, refit=())
        return PastCutoff(replace(holdout, objectives=objectives), until)

    times = cuts(snapshot.heard, settings.holdout.share, snapshot.as_of_us, settings.of(RankerConfig).cuts)
    with ThreadPoolExecutor(settings.train_threads) as pool:
        return [past for past in pool.map(opened, times) if past is not None]


@dataclass(frozen=True, eq=False)
class StackedLessons:
    """Candidates of the small surfaces at every past cutoff."""

    pasts: Sequence[PastCutoff]
    lists: Mapping[Surface, Sequence[_Lists]]

    @classmethod
    def of(cls, run: Run, holdout: Holdout, surfaces: Collection[Surface]) -> StackedLessons:
        pasts = past_cutoffs(run, holdout.snapshot, holdout.objectives) if surfaces else []
        return cls(pasts, {s: [x for past in pasts for x in _lists_of(past, s)] for s in surfaces})

    def bundle(
        self,
        until_us: int,
        verdicts: Mapping[Surface, Mapping[str, Any]],
        about: Mapping[str, Any],
        surfaces: Collection[Surface] = tuple(Surface),
    ) -> Bundle:
        """Return "stacked_ranker_v1" of these surfaces, fitted on outcomes before an instant.

        config of a surface: "terms", "lists" with a positive by part, and its verdict: "serves" and "reason".
        """
        arrays, config = {}, {}
        for surface in (s for s in self.lists if s in surfaces):
            told = {}
            for part in (KNOWN, UNSEEN):
                rows = [x.rows(until_us, part) for x in self.lists[surface] if x.past.holdout.cut_us < until_us]
                arrays[f"{surface.folder}-{part}"] = fit_weights(rows, prior_of(part))
                told[part] = sum(len(np.unique(r.group[r.label > 0])) for r in rows)
            config[surface.value] = {"terms": list(TERMS), "lists": told, "serves": True, **verdicts.get(surface, {})}
        return Bundle(STACKED, {**about, "surfaces": config}, arrays)


def _lists_of(past: PastCutoff, surface: Surface) -> Iterator[_Lists]:
    """Yield the candidates of one chunk of owners after another."""
    recipe = past.holdout.recipe(surface)
    owners, _ = past.holdout.everybody(recipe, OWNERS)
    if recipe.evidence is None:
        return
    for start in range(0, len(owners), CHUNK):
        part = owners.part(start, start + CHUNK)
        found = wide_candidates(recipe, part)
        columns = cells_of(tuple(TERMS), learned_features(recipe, part, found), found.indptr)
        group = np.repeat(np.arange(len(part)), np.diff(found.indptr))
        yield _Lists(
            past,
            surface,
            np.stack(columns, axis=1),
            group,
            part.row[found.owner],
            recipe.catalogue[found.item],
            (part.count == 0)[found.owner],
        )


def pooled_ballot(
    lessons: StackedLessons,
    surface: Surface,
    holdout: Holdout,
    ballot: Mapping[str, NDArray[np.float64]],
    learned: Callable[[int], Bundle | None],
) -> dict[str, NDArray[np.float64]]:
    """Return NDCG@10 of STACK, MEAN, RULES and `TAUGHT` over the owners of the validation split and of earlier cutoffs.

    Earlier cutoffs whose outcomes overlap are left out, so that the owners' outcomes are separate.

    NaN where the learned ranker had too few positives. ballot: of the validation split, over the training owners.
    learned: from an instant to the learned ranker of events before it. Each contender is fitted before its cutoff.
    """
    names = (STACK, MEAN, RULES, TAUGHT)
    parts, later_us = [ballot], holdout.cut_us
    for past in lessons.pasts:
        cut_us = past.holdout.cut_us
        if past.until_us > later_us:
            continue
        later_us = cut_us
        stacked = lessons.bundle(cut_us, {}, {}, (surface,))
        then = replace(past.holdout, bundles={**past.holdout.bundles, STACKED: stacked})
        those = recipes(then, surface, None, learned(cut_us))
        owners, outcome = then.everybody(then.recipe(surface), OWNERS)
        asked = {name: listed_by(those[name]) for name in names if name in those}
        mine = np.flatnonzero(np.diff(outcome.relevant.indptr))
        if len(mine):
            parts.append(ndcg_each(asked, owners.take(mine), outcome.relevant[mine], holdout.settings.threads))
    return {
        name: np.concatenate([part.get(name, np.full(len(part[STACK]), np.nan)) for part in parts]) for name in names
    }
