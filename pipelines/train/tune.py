"""Search settings of the base models on the temporal validation split: a budget of trials, resumable.

A trial fits one model and evaluates it alone by NDCG@10 (`single_model`). The first trial has the current settings,
the next ones are draws from the grid and steps from the best. A winner replaces the start only if the 95% interval of
the paired difference is above 0.
"""

from __future__ import annotations

import json
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import registry
from models.als import ALS
from models.data.bundle import Bundle, open_bundle, write_bundle
from models.errors import BundleError, DataError, TooSparse, TrainingError
from models.metrics.intervals import paired_difference
from models.setting import rules
from models.settings.settings import Settings
from models.spec import flat_names
from models.two_tower import TWO_TOWER
from pipelines.export.snapshot import Snapshot
from pipelines.refs import PointRef, TrialRef
from pipelines.run.run import TUNING
from pipelines.store.artifacts import Artifacts, append_private
from pipelines.train.single_model import SingleModelSplit, surfaces_of

Values = dict[str, Any]

_ENSEMBLE = registry.named("ensemble").bundle
_HALVES = tuple(registry.named(source.name).bundle for source in (ALS, TWO_TOWER))
#: Trials drawn from the whole grid. Later trials alternate steps from the best with draws.
DRAWN = 8
#: The best trials of a model that are compared with the start.
FINALISTS = 5
_SCALE = 1_000_000


@dataclass(frozen=True, eq=False)
class Trial:
    """One fit of a model with these values. ndcg: (owners,) float64 at 10, empty if fitting failed."""

    model: str
    values: Values
    ndcg: NDArray[np.float64]
    seconds: float

    @property
    def mean(self) -> float:
        """NDCG@10 over all owners, -1 if fitting failed."""
        return float(self.ndcg.mean()) if len(self.ndcg) else -1.0

    def reference(self) -> TrialRef:
        ndcg = round(self.mean, 6) if len(self.ndcg) else None
        return TrialRef(self.model, self.values, ndcg, round(self.seconds, 2))


@dataclass(frozen=True)
class Trials:
    """The trials of one snapshot, cut and settings as JSON lines. An incomplete line is skipped."""

    path: Path

    @classmethod
    def for_snapshot(cls, settings: Settings, snapshot: str) -> Trials:
        # "graded": earlier versions used all owners or binary relevance, so their figures are not comparable
        return cls(settings.artifacts / "tuning" / f"{snapshot}-{settings.digest()}-graded" / "trials.jsonl")

    def __iter__(self) -> Iterator[Trial]:
        lines = self.path.read_text().splitlines() if self.path.is_file() else []
        for line in lines:
            try:
                note = json.loads(line)
                yield Trial(note["model"], note["values"], np.array(note["ndcg"]) / _SCALE, note["seconds"])
            except (ValueError, KeyError, TypeError):
                continue

    def add(self, trial: Trial) -> None:
        note = {
            "model": trial.model,
            "values": trial.values,
            "seconds": trial.seconds,
            "ndcg": np.rint(trial.ndcg * _SCALE).astype(int).tolist(),
        }
        append_private(self.path, json.dumps(note))


def tune(
    settings: Settings,
    snapshot: Snapshot,
    seconds: float | None = None,
    trials: int | None = None,
    models: Sequence[str] | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> dict[str, Any]:
    """Continue the search within a budget of seconds or trials, store `tuning.json` and return it.

    progress: gets the seconds or trials done and the last trial. A budget of trials is deterministic.
    Raises TooSparse without a temporal validation split.
    """
    split = SingleModelSplit.at_share(snapshot, settings, settings.holdout.share)
    store = Trials.for_snapshot(settings, snapshot.name)
    done = list(store)
    active = searched(tuned() if models is None else models, settings)
    began, tried = time.perf_counter(), 0
    while active:
        passed = time.perf_counter() - began
        if not ((seconds is not None and passed < seconds) or (trials is not None and tried < trials)):
            break
        model = min(active, key=lambda m: (_spent(m, done, by_count=seconds is None), active.index(m)))
        values = next_values(model, done, settings)
        if values is None:
            active.remove(model)
            continue
        trial = trial_of(split, model, values, settings, store)
        done, tried = [*done, trial], tried + 1
        if progress is not None:
            progress(tried if seconds is None else time.perf_counter() - began, f"{model} {trial.mean:.4f}")
    found = summary(list(store), settings, snapshot.name, split.cut)
    Artifacts(settings).write_json(settings.artifacts / TUNING, found)
    return found


def tuned() -> tuple[str, ...]:
    """Return the bundles of models with settings to search, in registry order."""
    return tuple(spec.bundle for spec in registry.MODELS if spec.tuned)


def searched(models: Sequence[str], settings: Settings) -> list[str]:
    """Return the models that are enabled and have a setting left at its default."""
    return [m for m in models if grid_of(m, settings) and not registry.named(m).off(settings)]


def grid_of(model: str, settings: Settings) -> dict[str, tuple[Any, ...]]:
    """Return the values to try of each setting, neighbours adjacent (C30; the ensemble: C11-C14, O01).

    Configured settings, and those that the mode decides, are left out.
    """
    if model == _ENSEMBLE and not settings.is_default("ensemble_two_tower_weight"):
        return {}
    return {
        name: grid
        for name, grid in whole_grid(model).items()
        if settings.is_default(name) and name not in settings.decided
    }


def whole_grid(model: str) -> dict[str, tuple[Any, ...]]:
    spec = registry.named(model)
    if spec.config is None:
        return {}
    flat, known = flat_names(spec.table_name, spec.config), rules(spec.config)
    return {flat[name]: known[name].tune for name in spec.tuned}


def start_of(model: str, settings: Settings) -> Values:
    """Return the first trial: the current settings. A reverse setting without a value gets the forward one's."""
    values = {name: settings.value(name) for name in grid_of(model, settings)}
    return {n: settings.value(n.replace("_reverse", "")) if v is None else v for n, v in values.items()}


def next_values(model: str, done: Sequence[Trial], settings: Settings) -> Values | None:
    """Return the next values to try, deterministic for the seed and the earlier trials.

    None if the grid is exhausted or the start cannot be fitted, for example for lack of data.
    """
    start, grid = start_of(model, settings), grid_of(model, settings)
    mine = [t for t in done if t.model == model]
    tried = {key(t.values): t for t in mine}
    if key(start) not in tried:
        return start
    if not len(tried[key(start)].ndcg):
        return None
    rng = np.random.default_rng([settings.train.seed, *model.encode(), len(mine)])
    near = [v for v in steps(max(mine, key=lambda t: t.mean).values, grid) if key(v) not in tried]
    if near and len(mine) > DRAWN and len(mine) % 2:
        return near[int(rng.integers(len(near)))]
    for _ in range(100):
        drawn = {name: values[int(rng.integers(len(values)))] for name, values in grid.items()}
        if key(drawn) not in tried:
            return drawn
    return near[int(rng.integers(len(near)))] if near else None


def summary(done: Sequence[Trial], settings: Settings, snapshot: str, cut: str) -> dict[str, Any]:
    """Return the content of `tuning.json`: `settings` to adopt, and per model the start, best and difference."""
    models = {m: _verdict([t for t in done if t.model == m], start_of(m, settings)) for m in tuned()}
    judged = {m: verdict for m, verdict in models.items() if verdict}
    taken: Values = {}
    for model, verdict in judged.items():
        if verdict["adopted"]:
            taken |= whole(verdict["best"]["values"])
        elif "reverse" in model:  # otherwise it follows the adopted forward setting
            taken |= verdict["start"]["values"]
    return {"snapshot": snapshot, "cut": cut, "measure": "NDCG@10", "settings": taken, "models": judged}


def _verdict(trials: Sequence[Trial], start: Values) -> dict[str, Any]:
    """Return the result of a model, empty if the start was not tried or could not be fitted."""
    first = next((t for t in trials if key(t.values) == key(start) and len(t.ndcg)), None)
    if first is None:
        return {}
    comparable = [t for t in trials if len(t.ndcg) == len(first.ndcg) and t is not first]
    finalists = sorted(comparable, key=lambda t: -t.mean)[:FINALISTS]
    level = 1 - 0.05 / max(1, len(comparable))  # the best of many looks good by chance (Bonferroni 1936)
    gains = [(t, paired_difference(t.ndcg, first.ndcg, times=4000, level=level)) for t in finalists]
    beyond = [(t, gain) for t, gain in gains if gain["low"] > 0]
    best, gain = (beyond or gains or [(first, paired_difference(first.ndcg, first.ndcg))])[0]
    return {
        "trials": len(trials),
        "seconds": round(sum(t.seconds for t in trials), 1),
        "owners": len(first.ndcg),
        "start": {"values": start, "ndcg": round(first.mean, 6)},
        "best": {"values": best.values, "ndcg": round(best.mean, 6)},
        "gain": {name: round(value, 6) for name, value in gain.items()},
        "adopted": bool(beyond),
    }


def whole(values: Mapping[str, Any]) -> Values:
    """Return the full settings of these values. The two ensemble weights are one choice and sum to 1."""
    als = values.get("ensemble_als_weight")
    return {**values, **({} if als is None else {"ensemble_two_tower_weight": round(1 - als, 6)})}


def trial_of(split: SingleModelSplit, model: str, values: Values, settings: Settings, store: Trials) -> Trial:
    """Fit, evaluate and store a trial. A model that cannot be fitted has no figures."""
    began = time.perf_counter()
    chosen = settings.layered(whole(values), "given")
    try:
        ndcg = _judged(split, model, chosen, store.path.parent / "halves")
    except (TooSparse, TrainingError):
        ndcg = np.zeros(0)
    trial = Trial(model, values, ndcg, round(time.perf_counter() - began, 3))  # as it is stored
    store.add(trial)
    return trial


def _judged(split: SingleModelSplit, model: str, chosen: Settings, halves: Path) -> NDArray[np.float64]:
    if model == _ENSEMBLE:
        als, two_tower = (_half(split, name, chosen, halves / name) for name in _HALVES)
        return split.blended(als, two_tower, chosen)
    found = split.judged(split.fitted(model, chosen), chosen, surfaces_of(model), choosing=True)
    return np.asarray(found["ndcg"])


def _half(split: SingleModelSplit, name: str, settings: Settings, directory: Path) -> Bundle:
    """Return a member of the ensemble with current settings, fitted once for all weights."""
    with suppress(BundleError):  # it is missing or incomplete
        return open_bundle(name, directory)
    bundle, aside = split.fitted(name, settings), directory.with_name(f".{name}.{uuid.uuid4().hex[:8]}")
    aside.mkdir(parents=True, mode=0o700)
    write_bundle(bundle, aside)
    with suppress(OSError):  # a concurrent task stored the same model first
        aside.rename(directory)
    shutil.rmtree(aside, ignore_errors=True)
    return bundle


def steps(values: Values, grid: Mapping[str, tuple[Any, ...]]) -> list[Values]:
    """Return every point one step away in one setting. A value outside the grid steps to its neighbours in it."""
    found = []
    for name, options in grid.items():
        ordered = list(options) if values[name] in options else sorted([*options, values[name]])
        place = ordered.index(values[name])
        found += [{**values, name: ordered[p]} for p in (place - 1, place + 1) if 0 <= p < len(ordered)]
    return found


def _spent(model: str, done: Sequence[Trial], by_count: bool) -> float:
    return sum(1.0 if by_count else t.seconds for t in done if t.model == model)


def key(values: Mapping[str, Any]) -> str:
    return json.dumps({n: v if isinstance(v, str) else float(v) for n, v in values.items()}, sort_keys=True)


#: Draws from a grid before it counts as exhausted.
_PATIENCE = 100


def plan_round(
    settings: Settings,
    trials: int,
    models: Sequence[str] | None = None,
    near: bool = False,
    snapshot: str | None = None,
) -> list[PointRef]:
    """Plan up to `trials` untried points, models in turn. Deterministic for the same earlier trials.

    near: steps from the best of each model, else its start, then draws. Raises DataError without a snapshot.
    """
    name = snapshot or newest_snapshot(settings)
    done, active = list(Trials.for_snapshot(settings, name)), searched(tuned() if models is None else models, settings)
    planned: list[PointRef] = []
    while active and len(planned) < trials:
        model = active[len(planned) % len(active)]
        values = _next(model, done, [dict(p.values) for p in planned if p.model == model], settings, near)
        if values is None:
            active.remove(model)
        else:
            planned.append(PointRef(name, model, values, len(planned)))
    return planned


def try_point(settings: Settings, point: PointRef) -> TrialRef:
    """Fit and evaluate one point before the temporal validation split. Return an earlier trial of it if stored."""
    store = Trials.for_snapshot(settings, point.snapshot)
    made = next((t for t in store if t.model == point.model and key(t.values) == key(point.values)), None)
    if made is None:
        snapshot = Snapshot.open(settings.artifacts / "snapshots" / point.snapshot)
        split = SingleModelSplit.at_share(snapshot, settings, settings.holdout.share)
        made = trial_of(split, point.model, dict(point.values), settings, store)
    return made.reference()


def keep_best(
    settings: Settings, budget: Mapping[str, Any], snapshot: str | None = None
) -> tuple[dict[str, Any], list[TrialRef]]:
    """Store `tuning.json` for the next build. Return it and all trials, the best of each model first.

    A setting is adopted only if the interval of the paired gain is above 0, at 95% for all trials of a model together.
    budget: recorded with the trials done. Without trials the old file stays. Raises TooSparse without a split.
    """
    name = snapshot or newest_snapshot(settings)
    done = list(Trials.for_snapshot(settings, name))
    split = SingleModelSplit.at_share(
        Snapshot.open(settings.artifacts / "snapshots" / name), settings, settings.holdout.share
    )
    spent = {"tried": len(done), "seconds": round(sum(t.seconds for t in done), 1)}
    found = {**summary(done, settings, name, split.cut), "budget": {**budget, **spent}}
    if done:
        Artifacts(settings).write_json(settings.artifacts / TUNING, found)
    return found, [t.reference() for t in sorted(done, key=lambda t: (t.model, -t.mean))]


def newest_snapshot(settings: Settings) -> str:
    """Return the name of the newest snapshot. Raises DataError if none is stored."""
    stored = Artifacts(settings).stored("snapshots")
    if not stored:
        raise DataError(
            f"expected a snapshot under {settings.artifacts}, found none; "
            "run `python -m pipelines export` or a build first"
        )
    return stored[-1].name


def trials_table(trials: Sequence[TrialRef]) -> str:
    """Return one line per trial: model, NDCG@10, seconds, values."""
    lines = [f"{'model':28} {'ndcg@10':>8} {'seconds':>8}  values"]
    for t in trials:
        figure = "none" if t.ndcg is None else f"{t.ndcg:.4f}"
        values = ", ".join(f"{name}={value}" for name, value in t.values.items())
        lines.append(f"{t.model:28} {figure:>8} {t.seconds:8.1f}  {values}")
    return "\n".join(lines)


def _next(
    model: str, done: Sequence[Trial], planned: Sequence[Values], settings: Settings, near: bool
) -> Values | None:
    mine = [t for t in done if t.model == model]
    start, grid = start_of(model, settings), grid_of(model, settings)
    taken = {key(t.values) for t in mine} | {key(v) for v in planned}
    fitted = [t for t in mine if len(t.ndcg)]
    if near:
        around = steps(max(fitted, key=lambda t: t.mean).values, grid) if fitted else []
        return next((v for v in around if key(v) not in taken), None)
    if key(start) not in taken:
        return start
    if mine and not fitted:
        return None  # its start cannot be fitted, for example for lack of data
    rng = np.random.default_rng([settings.train.seed, *model.encode(), len(taken)])
    for _ in range(_PATIENCE):
        drawn = {name: values[int(rng.integers(len(values)))] for name, values in grid.items()}
        if key(drawn) not in taken:
            return drawn
    return None


def best_table(found: dict[str, Any]) -> str:
    """Return a table per model: NDCG@10 of start and best, and whether the best is adopted."""
    lines = [
        f"tuned on {found['snapshot']}, events from {found['cut']} on held out",
        f"{'model':28} {'trials':>6} {'start':>7} {'best':>7} {'gain, 95% interval':>28}  adopted",
    ]
    for model, verdict in found["models"].items():
        gain = verdict["gain"]
        taken = json.dumps(verdict["best"]["values"]) if verdict["adopted"] else "no: not beyond chance"
        interval = f"{gain['mean']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]"
        lines.append(
            f"{model:28} {verdict['trials']:6} {verdict['start']['ndcg']:7.4f} "
            f"{verdict['best']['ndcg']:7.4f} {interval:>28}  {taken}"
        )
    return "\n".join([*lines, ""])
