"""Train the learned ranker of each surface, and decide by evaluation where it serves."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.bundle import Bundle
from models.errors import TrainingError
from models.experiments import with_arms
from models.learned_ranker.fit import FittedRanker, RankerRows, fit_learned_ranker
from models.learned_ranker.scorer import LEARNED
from models.ranker import RankerConfig
from models.schema import Surface
from models.setting import Phase
from models.settings.settings import Settings
from pipelines.export.snapshot import Snapshot
from pipelines.report.figure_names import MEAN, TAUGHT
from pipelines.run.run import EPOCH, Run
from pipelines.store.artifacts import CUTS
from pipelines.train.cutoffs import digest_of, kept
from pipelines.train.holdout import Holdout
from pipelines.train_ranker.choose import CrossFitted, ballot_of, learned_choice, small_choice, verdict_of
from pipelines.train_ranker.samples import RankerSamples, ranker_samples, samples_until
from pipelines.train_ranker.stacked import StackedLessons, pooled_ballot

_LOG = logging.getLogger(__name__)
_SERVES: Mapping[str, Any] = {"serves": True}


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


@dataclass(frozen=True, eq=False)
class _OfSurface:
    """One surface: its rankers fitted before the validation split and on all data, and the verdict.

    before, now: the ranker, or why there is none; `now` is None where it is not needed.
    small: see `small_choice`, None for other surfaces.
    """

    before: FittedRanker | str
    verdict: Mapping[str, Any]
    now: FittedRanker | str | None
    small: tuple[str, str] | None


@dataclass(frozen=True, eq=False)
class _Training:
    """What the training of every surface shares. network: may serve a surface instead of the rules."""

    run: Run
    snapshot: Snapshot
    holdout: Holdout
    samples: Mapping[Surface, Sequence[RankerSamples]]
    network: CrossFitted | None
    stacked: StackedLessons | None

    def surface(self, surface: Surface) -> _OfSurface:
        """Fit the ranker before the split, evaluate it after the split, and fit it on all data if it may serve."""
        before, small = self._fitted(surface, self.holdout.cut_us), None
        judged = _bundle({surface: before}, {surface: _SERVES}, {})
        if self.stacked is not None and surface in self.stacked.lists:
            small = self._small(surface, judged)
            verdict = {"serves": small[0] == TAUGHT, "reason": small[1], "judged": {}}
        else:
            verdict = _verdict(self.holdout, surface, judged, self.network)
        by_name = any(own.of(RankerConfig).kind == "learned" for own in with_arms(self.run.settings))
        half = small is not None and small[0] == MEAN
        wanted = surface in self.samples and (by_name or half or verdict["serves"])
        now = self._fitted(surface, self.snapshot.as_of_us) if wanted else None
        for why in {found for found in (before, now) if isinstance(found, str)}:
            _LOG.warning("the learned ranker is left out on %s: %s", surface, why)
        return _OfSurface(before, verdict, now, small)

    def _fitted(self, surface: Surface, until_us: int) -> FittedRanker | str:
        """Return the ranker fitted on samples before an instant, or why there is none."""
        gains = self.holdout.objectives[surface].gains
        try:
            return _fit_once(self.run, samples_until(self.samples.get(surface, ()), until_us, gains))
        except TrainingError as error:
            return str(error)

    def _small(self, surface: Surface, judged: Bundle | None) -> tuple[str, str]:
        """Choose what serves a small surface by pooled cutoffs, each with rankers fitted before it."""
        assert self.stacked is not None

        def learned(until_us: int) -> Bundle | None:
            if judged is None:
                return None
            return _bundle({surface: self._fitted(surface, until_us)}, {surface: _SERVES}, {})

        ballot = ballot_of(self.holdout, surface, None, judged, alone=False)
        chosen = small_choice(pooled_ballot(self.stacked, surface, self.holdout, ballot, learned))
        _LOG.info("small surface %s: %s", surface, chosen[1])
        return chosen


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
    samples = ranker_samples(run, snapshot, holdout.objectives)
    training = _Training(run, snapshot, holdout, samples, network, stacked)
    surfaces = [s for s in Surface if s in samples or (stacked is not None and s in stacked.lists)]
    surfaces.sort(key=lambda s: -sum(len(x.owner) for x in samples.get(s, ())))  # the longest first
    with ThreadPoolExecutor(run.settings.train_threads) as pool:  # one thread a ranker: its regression cannot share
        found = dict(zip(surfaces, pool.map(training.surface, surfaces), strict=True))
    found = {s: found[s] for s in Surface if s in found}
    before = {s: found[s].before for s in samples}
    now = {s: one.now for s, one in found.items() if one.now is not None}
    judged = _bundle(before, dict.fromkeys(before, _SERVES), {**about, **_cutoffs(samples, holdout.cut_us)})
    taught = {**before, **now}
    verdicts = {s: one.verdict for s, one in found.items()}
    served = _bundle(taught, verdicts, {**about, **_cutoffs(samples, snapshot.as_of_us)}, now)
    left_out = "; ".join(f"{s}: {t}" for s, t in taught.items() if isinstance(t, str))
    reason = "" if served else left_out or "no surface has samples at an earlier cutoff"
    return LearnedRankerResult(served, judged, reason, {s: one.small for s, one in found.items() if one.small})


def teaching(settings: Settings) -> tuple[RankerConfig, int]:
    """Return the arguments of `fit_learned_ranker` besides the rows: settings and seed."""
    return settings.of(RankerConfig), settings.train.seed


def _cutoffs(samples: Mapping[Surface, Sequence[RankerSamples]], until_us: int) -> dict[str, list[str]]:
    """Return the samples' cutoffs before an instant, newest first, as ISO 8601."""
    found = {x.cut_us for those in samples.values() for x in those if x.cut_us < until_us}
    return {"cutoffs": [(EPOCH + timedelta(microseconds=us)).isoformat() for us in sorted(found, reverse=True)]}


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
