"""Make training samples of the learned ranker: candidates at rolling-origin cutoffs, with outcomes as labels.

The base models are fitted on what was known at each cutoff (`pipelines/train/calendar.py`). A ranker evaluated on the
validation split trains only on data before it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.batch import Owners, indptr_of
from models.data.bundle import Bundle
from models.data.interactions import EXPLICIT
from models.errors import TooSparse, TrainingError
from models.learned_ranker.fit import RankerRows
from models.ranker import RankerConfig
from models.recommender.candidates import learned_table, wide_candidates
from models.recommender.recommend import CHUNK
from models.recommender.surface import SurfaceRecommender
from models.schema import Entity, EventType, Surface
from models.setting import Phase
from pipelines.export.past import name_at
from pipelines.export.snapshot import Snapshot
from pipelines.run.run import Run
from pipelines.store.artifacts import CUTS
from pipelines.train.calendar import cuts, split_time
from pipelines.train.cutoffs import Cutoff, digest_of
from pipelines.train.holdout import Holdout, Outcome, open_cutoff
from pipelines.train.leakage import check_leaks
from pipelines.train.objective import Objective
from pipelines.train_ranker.mlp_samples import cells

_LOG = logging.getLogger(__name__)
#: A surface with this number of positives needs no older cutoffs.
ENOUGH = 20_000
#: Sampled owners per cutoff and surface, and drawn negatives per owner, independent of the outcome.
OWNERS, NEGATIVES = 1_500, 20
#: Maximum events of a snapshot times cutoffs that one build may add, beyond the first two.
NEW_EVENTS = 6_000_000
_KEPT = "ranker_samples_2"
_ARRAYS = ("features", "met_us", "owner", "drawn", "event_row", "event_at", "event_kind")


@dataclass(frozen=True, eq=False)
class PairEvents:
    """Events of sampled pairs after the cutoff, by row and then by time.

    row: (k,) row of RankerSamples. at: (k,) microseconds. kind: (k,) `EventType.code`.
    """

    row: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    at: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    kind: NDArray[np.int8] = field(default_factory=lambda: np.zeros(0, np.int8))

    def gain(self, until_us: int, rows: int, gains: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (rows,) the largest gain of each row's events before an instant.

        0 if the last explicit event is a dislike (R07). gains: (codes,) by event type.
        """
        early = self.at < until_us
        found = np.zeros(rows, np.float32)
        np.maximum.at(found, self.row[early], gains[self.kind[early]])
        opinions = np.flatnonzero(early & EXPLICIT[self.kind])
        row = self.row[opinions]
        last = opinions[np.append(row[1:] != row[:-1], np.ones(min(len(row), 1), bool))]
        found[self.row[last[self.kind[last] == EventType.DISLIKE.code]]] = 0
        return found

    def newest(self, until_us: int, rows: int, gains: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return (rows,) time of the newest event with a gain before an instant, 0 for none."""
        there = (self.at < until_us) & (gains[self.kind] > 0)
        found = np.zeros(rows, np.int64)
        np.maximum.at(found, self.row[there], self.at[there])
        return found


@dataclass(frozen=True, eq=False)
class RankerSamples:
    """Sampled candidates of one cutoff and surface.

    names: (f,). features: (n, f) float32. owner: (n,) int32 entity rows.
    met_us: (n,) int64 time of the pair's first interaction after the cutoff, 0 for none.
    drawn: (n,) bool, sampled independent of the outcome. None means all. Other rows were added because of a later
    interaction, so they are unknown before it.
    events: the events of these pairs after the cutoff.
    """

    names: tuple[str, ...]
    features: NDArray[np.float32]
    met_us: NDArray[np.int64]
    owner: NDArray[np.int32]
    cut_us: int
    drawn: NDArray[np.bool_] | None = None
    events: PairEvents = field(default_factory=PairEvents)

    @classmethod
    def from_bundle(cls, bundle: Bundle, surface: Surface) -> RankerSamples:
        a = {name: bundle.arrays[f"{surface.folder}-{name}"] for name in _ARRAYS}
        events = PairEvents(a["event_row"], a["event_at"], a["event_kind"])
        names, cut_us = tuple(bundle.config["surfaces"][surface.value]), int(bundle.config["cut_us"])
        return cls(names, a["features"], a["met_us"], a["owner"], cut_us, a["drawn"], events)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that `from_bundle` reads."""
        drawn = np.ones(len(self.owner), bool) if self.drawn is None else self.drawn
        events = self.events
        values = (self.features, self.met_us, self.owner, drawn, events.row, events.at, events.kind)
        return dict(zip(_ARRAYS, values, strict=True))

    def until(self, until_us: int, gains: NDArray[np.float32]) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Return (n,) bool, the rows that train at an instant, and (n,) float32 gains by then.

        Positives and drawn rows train. Other pairs that were met without a gain do not: they are drawn as negatives
        as rarely as any candidate (docs/reference/models/ranker.md).
        """
        gain = self.events.gain(until_us, len(self.met_us), gains)
        return (np.ones(len(gain), bool) if self.drawn is None else (gain > 0) | self.drawn), gain

    def columns(self, names: Sequence[str]) -> NDArray[np.float32]:
        """Return (n, len(names)) float32 features by name, 0 where a model was too sparse at this cutoff."""
        if tuple(names) == self.names:
            return self.features
        place = {name: i for i, name in enumerate(self.names)}
        blank = np.zeros(len(self.features), np.float32)
        return np.stack([self.features[:, place[n]] if n in place else blank for n in names], axis=1)

    def positive(self, until_us: int, gains: NDArray[np.float32]) -> int:
        return int((self.events.gain(until_us, len(self.met_us), gains) > 0).sum())


def ranker_samples(
    run: Run, snapshot: Snapshot, objectives: Mapping[Surface, Objective]
) -> dict[Surface, list[RankerSamples]]:
    """Return the samples of every cutoff, newest first, for each surface that has any.

    Samples of a cutoff are kept. A build adds those that are affordable, later builds the rest. The used cutoffs are
    recorded, so that a build of the same snapshot uses the same ones.
    """
    found: dict[Surface, list[RankerSamples]] = {s: [] for s in Surface}
    interactions, settings = snapshot.heard, run.settings
    most, share = settings.of(RankerConfig).cuts, settings.holdout.share
    windows = [
        _Window(Cutoff(run, snapshot, cut, quick=True), until)
        for cut, until in cuts(interactions, share, snapshot.as_of_us, most)
    ]
    shaping = digest_of(settings.recorded(Phase.TRAIN, Phase.RANK))
    record = run.artifacts.root / CUTS / f"{snapshot.name}-{shaping}.json"
    recorded = set(json.loads(record.read_text())) & {w.slug for w in windows} if record.is_file() else set()
    chosen = [w for w in windows if w.slug in recorded] if recorded else _affordable(windows, len(interactions))
    split, used = split_time(interactions, share) if windows else 0, []
    with ThreadPoolExecutor(settings.train_threads) as pool:
        for start in range(0, len(chosen), settings.train_threads):
            for window, samples in pool.map(_made, chosen[start : start + settings.train_threads]):
                used += [window.slug] if samples else []
                for surface, mine in samples.items():
                    found[surface].append(mine)
            older = [
                sum(x.positive(split, objectives[s].gains) for x in those if x.cut_us < split)
                for s, those in found.items()
                if those
            ]
            if older and min(older) >= ENOUGH:
                break
    run.artifacts.write_json(record, used)
    return {surface: those for surface, those in found.items() if those}


def _affordable(windows: Sequence[_Window], events: int) -> list[_Window]:
    """Return the kept windows, and as many new ones as the number of events allows: at least two."""
    new, chosen = max(2, NEW_EVENTS // max(events, 1)), []
    for window in windows:
        kept = window.is_kept()
        if kept or new > 0:
            chosen.append(window)
        new -= not kept
    return chosen


def _made(window: _Window) -> tuple[_Window, dict[Surface, RankerSamples]]:
    try:
        return window, window.samples()
    except TooSparse as error:
        _LOG.warning("no training samples at the cutoff %s: %s", window.slug, error)
        return window, {}


@dataclass(frozen=True, eq=False)
class _Window:
    """One cutoff and its outcomes before an instant (microseconds since 1970 UTC)."""

    cutoff: Cutoff
    until_us: int

    @property
    def slug(self) -> str:
        return self.cutoff.name.rpartition("-")[0]

    @cached_property
    def _name(self) -> str:
        outcomes = name_at(self.cutoff.snapshot, self.until_us)
        return f"{_KEPT}-{digest_of(outcomes, self.cutoff.run.settings.recorded(Phase.RANK, Phase.SERVE))}"

    def is_kept(self) -> bool:
        return self.cutoff.directory(self._name).is_dir()

    def samples(self) -> dict[Surface, RankerSamples]:
        """Return the samples of each surface, from storage if kept. Raises TooSparse."""
        bundle = self.cutoff.kept(self._name, _KEPT, self._make)
        return {Surface(name): RankerSamples.from_bundle(bundle, Surface(name)) for name in bundle.config["surfaces"]}

    def _make(self) -> Bundle:
        run, snapshot, cut_us = self.cutoff.run, self.cutoff.snapshot, self.cutoff.cut_us
        holdout = open_cutoff(self.cutoff, self.until_us)
        check_leaks(snapshot, run.settings, cut_us, holdout.bundles, refit=())
        found = {s: _samples_of(holdout, s, self.until_us) for s in Surface}
        arrays: dict[str, NDArray[Any]] = {}
        surfaces = {}
        for surface, samples in found.items():
            if samples is not None:
                arrays |= {f"{surface.folder}-{name}": array for name, array in samples.arrays().items()}
                surfaces[surface.value] = list(samples.names)
        return Bundle(_KEPT, {"cut_us": cut_us, "until_us": self.until_us, "surfaces": surfaces}, arrays)


def samples_until(lessons: Sequence[RankerSamples], until_us: int, gains: NDArray[np.float32]) -> RankerRows:
    """Return the rows known before an instant, with columns as at the newest cutoff.

    gains: (codes,) by event type. A label is the rank of the gain among those that occur, 0 for none.
    Raises TrainingError if there are none.
    """
    parts = [x for x in lessons if x.cut_us < until_us and x.positive(until_us, gains)]
    if not parts:
        raise TrainingError(
            "no candidate of an earlier cutoff has a positive outcome, so there are no training samples"
        )
    label, group, features, newest_us = [], [], [], 0
    for i, x in enumerate(parts):
        known, gain = x.until(until_us, gains)
        met = gain > 0
        told = known & np.isin(x.owner, x.owner[met])  # a list without positives has no order to learn
        label.append(gain[told])
        group.append(x.owner[told].astype(np.int64) + (i << 32))
        features.append(x.columns(parts[0].names)[told])
        newest_us = max(newest_us, int(x.events.newest(until_us, len(met), gains)[met].max()))
    levels, grade = np.unique(np.append(np.concatenate(label), np.float32(0)), return_inverse=True)
    return RankerRows(
        parts[0].names,
        np.concatenate(features),
        grade[:-1].astype(np.int8),
        np.concatenate(group),
        newest_us,
        tuple((levels / levels[-1]).tolist()),
    )


def _samples_of(holdout: Holdout, surface: Surface, until_us: int) -> RankerSamples | None:
    """Return the samples of one cutoff and surface, or None if the surface has no owners to train on."""
    recipe = holdout.recipe(surface)
    if recipe.evidence is None:
        return None
    owners, outcome = holdout.everybody(recipe, OWNERS)
    parts = list(_chunks(holdout, recipe, owners, outcome))
    if not parts:
        return None
    names = parts[0][0]
    features, owner, item, hit, drawn = (np.concatenate([p[i] for p in parts]) for i in range(1, 6))
    meetings = _FirstInteractions.from_holdout(holdout, recipe, until_us)
    met = np.where(hit, meetings.first(owner, item), 0)
    return RankerSamples(names, features, met, owner, holdout.cut_us, drawn, meetings.events(owner, item, hit))


def _chunks(
    holdout: Holdout, recipe: SurfaceRecommender, owners: Owners, outcome: Outcome
) -> Iterator[tuple[tuple[str, ...], NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]]:
    """Yield chunks: names, features, owners, items, which candidates have an interaction, and which were drawn.

    All candidates with an interaction are kept. `RankerSamples.until` decides what an instant knew.
    """
    for start in range(0, len(owners), CHUNK):
        part, came = owners.part(start, start + CHUNK), outcome.part(start, start + CHUNK)
        candidates = wide_candidates(recipe, part)
        hit = cells(came.met, candidates.owner, candidates.item) > 0
        rng = np.random.default_rng((holdout.settings.train.seed, recipe.surface.code, start))
        drawn = _drawn(candidates.owner, rng)
        sampled = hit | drawn
        names, features = learned_table(recipe, part, candidates)
        yield (
            names,
            np.ascontiguousarray(features[sampled]),
            part.row[candidates.owner[sampled]],
            recipe.catalogue[candidates.item[sampled]],
            hit[sampled],
            drawn[sampled],
        )


def _drawn(owner: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return (nnz,) bool: NEGATIVES random candidates of each owner. Owners ascend."""
    order = np.lexsort((rng.random(len(owner)), owner))
    place = np.empty(len(owner), np.int64)
    place[order] = np.arange(len(owner)) - np.searchsorted(owner, owner)
    return place < NEGATIVES


@dataclass(frozen=True, eq=False)
class _FirstInteractions:
    """The events of a surface between a cutoff and an instant, sorted by pair and then by time.

    key: (p,) owner x items + item of each event. at, kind: (p,).
    """

    key: NDArray[np.int64]
    at: NDArray[np.int64]
    kind: NDArray[np.int8]
    items: int

    @classmethod
    def from_holdout(cls, holdout: Holdout, recipe: SurfaceRecommender, until_us: int) -> _FirstInteractions:
        events = holdout.snapshot.heard
        events = events.where((events.at >= holdout.cut_us) & (events.at < until_us))
        events = events if recipe.surface.owner is Entity.USER else events.transposed()
        key = events.owner.astype(np.int64) * len(recipe.items) + events.item
        order = np.lexsort((events.kind, events.at, key))
        return cls(key[order], events.at[order], events.kind[order], len(recipe.items))

    def first(self, owner: NDArray[np.int32], item: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return (n,) int64 time of each pair's first interaction. Undefined for pairs without one."""
        wanted = owner.astype(np.int64) * self.items + item
        return self.at[np.minimum(np.searchsorted(self.key, wanted), len(self.key) - 1)] if len(self.key) else wanted

    def events(self, owner: NDArray[np.int32], item: NDArray[np.int32], met: NDArray[np.bool_]) -> PairEvents:
        """Return the events of those pairs that have an interaction."""
        wanted = owner.astype(np.int64) * self.items + item
        start, stop = (np.searchsorted(self.key, wanted, side) for side in ("left", "right"))
        length = np.where(met, stop - start, 0)
        row = np.repeat(np.arange(len(wanted)), length)
        event = np.arange(len(row)) - np.repeat(indptr_of(length)[:-1] - start, length)
        return PairEvents(row, self.at[event], self.kind[event])
